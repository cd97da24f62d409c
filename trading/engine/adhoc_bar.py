"""A bar that a strategy adds to a symbol's, where its source has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from barray.market.adhoc import parse_bar, place, validate_adhoc_bar
from barray.market.bars import Bar, Bars, Prices, format_ns
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.series import lay_on_sessions
from barray.market.session_range import SessionRange
from barray.trading.strategy.data import SymbolData, prepare
from barray.trading.strategy.needs import Needs


def with_bar(
    data: SymbolData,
    interval: str | Interval,
    bar: Bar | Mapping[str, Any],
    needs: Needs,
    session_range: SessionRange,
    row: int,
    now_ns: int,
) -> SymbolData | str:
    """The symbol's data with one more base bar, everything derived and computed anew; or why it can't have it.

    The light checks are those of a session: a sane bar on the grid of the session (its row) or its history, closed by
    `now_ns`; where the source has a bar, that one stays.
    """
    symbol, base = data.symbol, data.base
    prices: Prices = "any" if (base.bars.low <= 0).any() else "positive"
    context = replace(session_range.context(row), prices=prices)
    accepted, reason = validate_adhoc_bar(symbol, interval, bar, context, now_ns)
    if not accepted:
        return reason
    given = Interval.parse(interval)
    if given != base.interval:
        why = "is derived from" if base.interval.derives(given) else "is not what is loaded, which is"
        return f"{given} of {symbol} {why} {base.interval}; add {base.interval} bars instead"
    added = place(parse_bar(bar), given, context)
    if added.start_ns < context.sessions.open_ns[context.history_row]:
        return f"{format_ns(added.start_ns)} is before the history that {symbol} was loaded with"
    at = int(np.searchsorted(base.bars.start_ns, added.start_ns))
    if at < len(base) and base.bars.start_ns[at] == added.start_ns:
        return f"{symbol} {given} already has a bar at {format_ns(added.start_ns)}"
    bars = Bars.concat([base.bars.take(slice(0, at)), Bars.of([added]), base.bars.take(slice(at, len(base)))])
    first = int(data.traded[0])
    laid = lay_on_sessions(bars, given, data.sessions, first, symbol=symbol, source="adhoc", prices=context.prices)
    try:
        more = prepare(symbol, laid, needs, data.sessions, data.traded, session_range.history, past=data.past)
    except ConfigError as error:  # an own indicator failed
        return str(error)
    return replace(more, tables=data.tables)
