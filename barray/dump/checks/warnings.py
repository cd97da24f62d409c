"""Checks of a symbol's warnings: they are those that its source's bars, as the dump has them, make."""

from __future__ import annotations

import numpy as np

from barray.dump.checks.series import days_given
from barray.dump.checks.session import SessionFacts
from barray.dump.schema import SymbolJson
from barray.dump.violations import Findings
from barray.dump.writers.json import reason_json
from barray.market.bars import IntArray
from barray.market.daily import daily_warnings, derive_beside
from barray.market.interval import DAY, Interval
from barray.market.jumps import jump_warnings
from barray.market.series import IntervalBars, lay_on_sessions


def check_warnings(
    entry: SymbolJson,
    place: str,
    series: dict[Interval, IntervalBars],
    adhoc: dict[Interval, IntArray],
    facts: SessionFacts,
    out: Findings,
) -> None:
    """`warnings` are found anew; bars added by hand have none. Where there are no base bars, neither are warnings."""
    context, lineage = facts.context, entry["lineage"]
    base = next((bars for interval, bars in series.items() if str(interval) == entry["base_interval"]), None)
    expected = []
    if base is not None and lineage is not None:
        starts, source = base.bars.start_ns, lineage["source"]
        own = base.bars.take(~np.isin(starts, adhoc.get(base.interval, starts[:0])))
        laid = lay_on_sessions(
            own, base.interval, context.sessions, context.row, symbol="", source=source, prices=context.prices
        )
        warnings = jump_warnings(laid, context.sessions, context.suspect_jump, source)
        if (daily := days_given(series, context)) is not None:
            days = derive_beside(laid, daily, DAY, context.sessions, context.row)
            days, name = days.take(slice(0, days.closed_by(facts.now_ns))), facts.requirements.daily or ""
            warnings += daily_warnings(days, context.sessions, context.suspect_jump, name)
        expected = [*map(reason_json, warnings)]
    out.tree(entry.get("warnings", []), expected, f"{place}.warnings", "warnings")
