"""Checks of where a symbol's bars come from: the lineage of those loaded, and the adhoc ones that they overruled."""

from __future__ import annotations

from typing import cast

import numpy as np

from barray.dump.checks.schema import STAMP_FORM, parse_stamp
from barray.dump.checks.session import SessionFacts, read_interval
from barray.dump.schema import BarJson, SymbolJson, digest
from barray.dump.violations import Findings
from barray.market.bars import COLUMNS, Bar, Bars, IntArray, format_ns, value_problem
from barray.market.interval import Interval
from barray.market.series import IntervalBars, derive, lay_on_sessions


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
    base = next((bars for interval, bars in series.items() if str(interval) == entry["base_interval"]), None)
    if base is not None:
        starts = base.bars.start_ns
        loaded = starts[~np.isin(starts, adhoc.get(base.interval, starts[:0]))]
        edges = [format_ns(loaded[row]) for row in (0, -1)] if len(loaded) else [None, None]
        given = {"first": lineage["first"], "last": lineage["last"], "bars": lineage["bars"]}
        out.tree(given, {"first": edges[0], "last": edges[1], "bars": len(loaded)}, place, "lineage")


def check_conflicts(
    entry: SymbolJson,
    place: str,
    series: dict[Interval, IntervalBars],
    adhoc: dict[Interval, IntArray],
    facts: SessionFacts,
    out: Findings,
) -> None:
    """The overruled bars are possible, and the source's bars beside them are those of the dump."""
    conflicts, where = entry["adhoc"]["conflicts"], f"{place}.adhoc.conflicts"
    if conflicts and not entry["metadata"]["upgraded_from_adhoc"]:
        out.add(where, "unexpected", f"{len(conflicts)} conflicts", "none: only an upgrade overrules adhoc bars")
    bars = []
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
        known, record = _record_bar(interval, start_ns, entry, series, adhoc, facts)
        if known:
            out.tree(conflict["record"], record, f"{where}[{nth}].record", "conflict")
            if conflict["adhoc"] == record:
                out.add(f"{where}[{nth}]", "conflict", "an adhoc bar equal to the source's", "a difference")
    expected = digest(Bars.of(bars)) if bars else None
    if entry["adhoc"]["conflicts_digest"] != expected:
        out.add(f"{place}.adhoc.conflicts_digest", "digest", entry["adhoc"]["conflicts_digest"], expected)


def _record_bar(
    interval: Interval,
    start_ns: int,
    entry: SymbolJson,
    series: dict[Interval, IntervalBars],
    adhoc: dict[Interval, IntArray],
    facts: SessionFacts,
) -> tuple[bool, BarJson | None]:
    """Whether the source's bar at `start_ns` can be told from the dump, and that bar (None where there is none)."""
    base = next((bars for known, bars in series.items() if str(known) == entry["base_interval"]), None)
    if base is None or not base.interval.derives(interval):
        return False, None
    context = facts.context
    if base.interval in adhoc:  # bars added after the upgrade are not the source's
        own = base.bars.take(~np.isin(base.bars.start_ns, adhoc[base.interval]))
        base = lay_on_sessions(
            own, base.interval, context.sessions, context.row, symbol="", source="dump", prices=context.prices
        )
    record = derive(base, interval, context.sessions, context.row).bars
    row = int(np.searchsorted(record.start_ns, start_ns))
    if row == len(record) or record.start_ns[row] != start_ns:
        return True, None
    return True, cast(BarJson, {name: getattr(record[row], name) for name in COLUMNS})
