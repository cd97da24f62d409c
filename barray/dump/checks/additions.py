"""Checks of what was added to a symbol by hand: events and dump tell the same bars, values included, and indicators."""

from __future__ import annotations

import numpy as np

from barray.dump.checks.events import Told
from barray.dump.checks.lineage import Records
from barray.dump.checks.schema import parse_stamp
from barray.dump.checks.session import SessionFacts
from barray.dump.schema import BarJson, SymbolJson
from barray.dump.violations import Findings
from barray.market.bars import COLUMNS, Bar, format_ns
from barray.market.interval import Interval
from barray.market.series import IntervalBars

_Key = tuple[str, str]
"""Interval and stamp of a bar, as the dump writes them."""


def check_additions(
    entry: SymbolJson,
    place: str,
    told: Told,
    series: dict[Interval, IntervalBars],
    facts: SessionFacts,
    out: Findings,
) -> None:
    """Every bar and indicator that an event added is there, or a conflict says what became of it; and no other is."""
    out.tree(entry["adhoc"]["indicators"], told.indicators, f"{place}.adhoc.indicators", "event")
    records, listed = Records(entry, series, facts), _listed(entry, series)
    added: dict[_Key, list[BarJson]] = {}
    for interval, bar in told.bars:
        key = (str(interval), format_ns(bar.start_ns))
        added.setdefault(key, []).append(_values(bar))
        is_sources = records.tells(interval) and records.bar(interval, bar.start_ns) == _values(bar)
        if key not in listed and not is_sources:
            out.add(f"{place}.adhoc.bars.{key[0]}", "event", "nothing", f"the bar at {key[1]} that an event added")
    for key, values in listed.items():
        if key not in added:
            out.add(f"{place}.adhoc.bars.{key[0]}", "event", key[1], "bars that an accepted event added")
        for value in values:
            if key in added and value not in added[key]:
                out.add(f"{place}.adhoc.bars.{key[0]}", "event", value, f"{added[key][-1]}, as the event at {key[1]}")


def _listed(entry: SymbolJson, series: dict[Interval, IntervalBars]) -> dict[_Key, list[BarJson]]:
    """The adhoc bars that the dump has, and those that were overruled."""
    found: dict[_Key, list[BarJson]] = {}
    by_name = {str(interval): one.bars for interval, one in series.items()}
    for name, texts in entry["adhoc"]["bars"].items():
        for text in texts:
            bars, start_ns = by_name.get(name), parse_stamp(text)
            row = int(np.searchsorted(bars.start_ns, start_ns)) if bars is not None and start_ns is not None else 0
            known = bars is not None and row < len(bars) and bars.start_ns[row] == start_ns
            found[name, text] = [_values(bars[row])] if bars is not None and known else []
    for conflict in entry["adhoc"]["conflicts"]:
        found.setdefault((conflict["interval"], conflict["timestamp"]), []).append(conflict["adhoc"])
    return found


def _values(bar: Bar) -> BarJson:
    values: BarJson = {name: getattr(bar, name) for name in COLUMNS}  # type: ignore[assignment]
    return values
