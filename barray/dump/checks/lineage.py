"""Checks of where a symbol's bars come from: the lineage of those loaded, and the adhoc ones that they overruled."""

from __future__ import annotations

from typing import cast

import numpy as np

from barray.dump.checks.names import read_interval
from barray.dump.checks.schema import STAMP_FORM, parse_stamp, parse_stamps
from barray.dump.checks.series import days_given
from barray.dump.checks.session import SessionFacts
from barray.dump.schema import BarJson, LineageJson, SymbolJson, digest
from barray.dump.violations import Findings
from barray.market.bars import COLUMNS, Bar, Bars, IntArray, format_ns, value_problem
from barray.market.daily import derive_beside
from barray.market.interval import DAY, Interval
from barray.market.series import IntervalBars, lay_on_sessions


def check_lineage(
    name: str,
    entry: SymbolJson,
    series: dict[Interval, IntervalBars],
    adhoc: dict[Interval, IntArray],
    facts: SessionFacts,
    out: Findings,
) -> None:
    """`lineage` agrees with Step 0 and with the base bars, those added by hand not counted."""
    place, lineage, step0 = f"symbols.{name}.lineage", entry["lineage"], facts.step0.get(name)
    if (lineage is None) != (entry["base_interval"] is None):
        out.add(
            place,
            "lineage",
            "nothing" if lineage is None else "a lineage",
            "one if there is a base_interval, else none",
        )
    if lineage is None:
        return
    if lineage["interval"] != entry["base_interval"]:
        out.add(f"{place}.interval", "lineage", lineage["interval"], entry["base_interval"])
    if step0 is None or not step0["can_proceed"]:
        out.add(
            f"step0.{name}.can_proceed", "step0", "nothing" if step0 is None else False, "true: its bars were loaded"
        )
    else:
        found = {"source": lineage["source"], "interval": lineage["interval"]}
        out.tree(found, {"source": step0["data_source"], "interval": step0["base_interval"]}, place, "lineage")
    _check_daily(entry, f"symbols.{name}.daily_lineage", series, facts, out)
    base = next((bars for interval, bars in series.items() if str(interval) == entry["base_interval"]), None)
    if base is not None:
        starts = base.bars.start_ns
        loaded = starts[~np.isin(starts, adhoc.get(base.interval, starts[:0]))]
        _check_extent(lineage, loaded, place, out)


def _check_daily(
    entry: SymbolJson, place: str, series: dict[Interval, IntervalBars], facts: SessionFacts, out: Findings
) -> None:
    """`daily_lineage` agrees with the requirements, and with the daily bars that a source gave."""
    lineage, days = entry.get("daily_lineage"), days_given(series, facts.context)
    if lineage is None or days is None:
        if (lineage is None) != (days is None):
            found, expected = ("nothing", "a lineage") if lineage is None else ("a lineage", "nothing")
            out.add(place, "lineage", found, expected)
        return
    found_source = {"source": lineage["source"], "interval": lineage["interval"]}
    out.tree(found_source, {"source": facts.requirements.daily, "interval": str(DAY)}, place, "lineage")
    _check_extent(lineage, days.bars.start_ns, place, out)


def _check_extent(lineage: LineageJson, loaded: IntArray, place: str, out: Findings) -> None:
    edges = [format_ns(int(loaded[row])) for row in (0, -1)] if len(loaded) else [None, None]
    given = {"first": lineage["first"], "last": lineage["last"], "bars": lineage["bars"]}
    out.tree(given, {"first": edges[0], "last": edges[1], "bars": len(loaded)}, place, "lineage")


def check_conflicts(
    entry: SymbolJson,
    place: str,
    series: dict[Interval, IntervalBars],
    facts: SessionFacts,
    out: Findings,
) -> None:
    """The overruled bars are possible, and the source's bars beside them are those of the dump."""
    conflicts, where = entry["adhoc"]["conflicts"], f"{place}.adhoc.conflicts"
    if conflicts and not entry["metadata"]["upgraded_from_adhoc"]:
        out.add(where, "unexpected", f"{len(conflicts)} conflicts", "none: only an upgrade overrules adhoc bars")
    bars, records = [], Records(entry, series, facts)
    for nth, conflict in enumerate(conflicts):
        interval = read_interval(conflict["interval"], f"{where}[{nth}].interval", out)
        start_ns = parse_stamp(conflict["timestamp"])
        if start_ns is None:
            out.add(f"{where}[{nth}].timestamp", "bad_stamp", conflict["timestamp"], STAMP_FORM)
        if interval is None or start_ns is None:
            return
        bars.append(Bar(start_ns, *(conflict["adhoc"][name] for name in COLUMNS)))  # type: ignore[literal-required]
        if problem := value_problem(bars[-1], facts.context.prices):
            out.add(f"{where}[{nth}].adhoc.{problem.split()[0]}", "bad_values", problem, "a possible bar")
        if records.tells(interval):
            record = records.bar(interval, start_ns)
            out.tree(conflict["record"], record, f"{where}[{nth}].record", "conflict")
            if conflict["adhoc"] == record:
                out.add(f"{where}[{nth}]", "conflict", "an adhoc bar equal to the source's", "a difference")
    expected = digest(Bars.of(bars)) if bars else None
    if entry["adhoc"]["conflicts_digest"] != expected:
        out.add(f"{place}.adhoc.conflicts_digest", "digest", entry["adhoc"]["conflicts_digest"], expected)


class Records:
    """The source's own bars of a symbol, as far as a dump tells them; each interval is derived once."""

    def __init__(self, entry: SymbolJson, series: dict[Interval, IntervalBars], facts: SessionFacts) -> None:
        self._context = facts.context
        self._days = days_given(series, facts.context)
        self._base = next((bars for known, bars in series.items() if str(known) == entry["base_interval"]), None)
        self._derived: dict[Interval, Bars] = {}
        if self._base is not None:  # bars added after the upgrade are not the source's
            texts = entry["adhoc"]["bars"].get(str(self._base.interval), [])
            added = parse_stamps(texts)
            own = self._base.bars.take(~np.isin(self._base.bars.start_ns, () if added is None else added))
            context, interval = self._context, self._base.interval
            self._base = lay_on_sessions(
                own, interval, context.sessions, context.row, symbol="", source="dump", prices=context.prices
            )

    def tells(self, interval: Interval) -> bool:
        """Whether there are base bars that this interval is derived from."""
        return self._base is not None and self._base.interval.derives(interval)

    def bar(self, interval: Interval, start_ns: int) -> BarJson | None:
        """The source's bar at `start_ns`, None where it has none. Ask `tells` first."""
        if interval not in self._derived and self._base is not None:
            sessions, row = self._context.sessions, self._context.row
            self._derived[interval] = derive_beside(self._base, self._days, interval, sessions, row).bars
        record = self._derived[interval]
        row = int(np.searchsorted(record.start_ns, start_ns))
        if row == len(record) or record.start_ns[row] != start_ns:
            return None
        return cast(BarJson, {name: getattr(record[row], name) for name in COLUMNS})
