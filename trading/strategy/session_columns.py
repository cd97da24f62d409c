"""A symbol of one session, as strategies see it: the same columns that a backtest of that session alone has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from barray.market.daily import DailyHistory
from barray.market.known_table import KnownTables, tables_of
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars
from barray.market.session_range import SessionRange
from barray.trading.strategy.data import SymbolData, prepare
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.range_bars import DailyPast


def session_columns(
    symbol: str, context: SessionContext, base: IntervalBars, daily: DailyHistory | None, needs: Needs
) -> SymbolData:
    """Everything that a strategy needs of it; `base`, `daily`: as the session laid them. Of a live session more is to
    come.
    """
    row = context.row
    past = DailyPast(daily.every, {row: context.first_row(daily.every.interval)}) if daily else None
    history = {row: context.history_row}
    found = prepare(symbol, base, needs, context.sessions, np.array([row]), history, past=past)
    return replace(found, open_ended=context.live)


def completed(data: SymbolData, needs: Needs, tables: KnownTables, session_range: SessionRange) -> SymbolData:
    """What a symbol handed out, with a strategy's own indicators, computed here, where its functions are, and with what
    the config's tables say of it. ConfigError, naming the symbol, where a function fails.
    """
    found = replace(data, tables=tables_of(tables, data.symbol, session_range))
    own = {name: spec for name, spec in needs.indicators.items() if spec.own is not None}
    if not own:
        return found
    told = replace(needs, intervals=(), indicators=own)
    history, past = session_range.history, data.past
    made = prepare(data.symbol, data.base, told, data.sessions, data.traded, history, past=past)
    return replace(
        found,
        series={**made.series, **data.series},
        indicators={**data.indicators, **made.indicators},
        specs={**data.specs, **made.specs},
    )


def session_range_of_day(context: SessionContext, timezone: str) -> SessionRange:
    """A session as a range of one."""
    row = context.row
    return SessionRange(
        context.calendar,
        context.hours,
        timezone,
        context.sessions,
        np.array([row]),
        {row: context.history_row},
        context.max_missing_days,
        context.suspect_jump,
        {row: context.daily_row} if context.daily_row is not None else {},
    )
