"""Checks whether a strategy is honest: of the strategy itself, in this process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from barray.actors.loading import load_range
from barray.coordinator.config.file import ConfigLike
from barray.coordinator.prepare import PreparedRun, prepare_run, session_range_for
from barray.coordinator.step0 import all_failed
from barray.coordinator.strategies import StrategyLike, asked_for
from barray.data_sources.failover import needs_of_range, validate_with_fetches
from barray.data_sources.manager import DataManager
from barray.local.connection import load_calendar
from barray.local.gateways import LocalGatewayPool
from barray.market.errors import BarrayError, ConfigError
from barray.market.interval import Interval
from barray.market.known_table import tables_of
from barray.market.session_range import RangeValidation, SessionRange
from barray.market.validation import Reason
from barray.trading.checks.causality import lookahead as _lookahead
from barray.trading.checks.lookahead_report import LookaheadReport
from barray.trading.checks.warmup import WarmupReport
from barray.trading.checks.warmup import warmup as _warmup
from barray.trading.engine.commands import LoadRange
from barray.trading.engine.symbol_run import LoadedRange

_LONGEST = 4
"""How many times the history is tried at most."""


def lookahead(
    strategy: StrategyLike | ConfigLike | None = None,
    config: ConfigLike | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    symbols: Sequence[str] = (),
    cuts: int | None = None,
) -> list[LookaheadReport]:
    """Whether any decision of a config's strategy depends on the future, symbol by symbol (default: all of the config).

    Where one strategy sees all symbols (`on_window`), or they share an account, there is one report of all these
    together, whose differences name the symbol; `symbols` chosen are then a portfolio of their own. `strategy`,
    `config` and `parameters` as in `barray.backtest`. `cuts`: at how many times the future is changed, see
    barray.trading.checks.causality.lookahead. ConfigError as in `barray.backtest`, ValidationFailed where no symbol can
    be loaded.
    """
    run = _prepared(strategy, config, parameters)
    subjects = _subjects(run, _loaded(run, symbols, history=1))
    return [_lookahead(loaded, run.plan, window=_window(run), cuts=cuts) for loaded in subjects]


def warmup(
    strategy: StrategyLike | ConfigLike | None = None,
    config: ConfigLike | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    symbols: Sequence[str] = (),
) -> list[WarmupReport]:
    """Whether more history than the config loads would change decisions; as much as lies in the sources, up to 4 times.

    Arguments and errors as for `lookahead`.
    """
    run = _prepared(strategy, config, parameters)
    subjects = _subjects(run, _loaded(run, symbols, history=_LONGEST))
    return [_warmup(loaded, run.plan, window=_window(run)) for loaded in subjects]


def _prepared(
    strategy: StrategyLike | ConfigLike | None, config: ConfigLike | None, parameters: Mapping[str, Any] | None
) -> PreparedRun:
    settings, source = asked_for(strategy, config, parameters)
    return prepare_run(settings, load_calendar, source)


def _subjects(run: PreparedRun, loaded: list[LoadedRange]) -> list[list[LoadedRange]]:
    """What is checked by itself: each symbol, or all of them."""
    return [loaded] if run.plan.in_windows else [[one] for one in loaded]


def _window(run: PreparedRun) -> Interval | None:
    return run.config.strategy.window if run.config.strategy is not None else None


def _loaded(run: PreparedRun, symbols: Sequence[str], *, history: int) -> list[LoadedRange]:
    """The symbols' ranges as the run asks for them, with bars over `history` times their history."""
    config, requirements, asked = run.config, run.requirements, run.session_range
    chosen = list(symbols or dict.fromkeys(config.symbols))
    if unknown := [symbol for symbol in chosen if symbol not in config.symbols]:
        raise ConfigError(f"{unknown[0]} is not in the config", remedy="choose from its symbols")
    session_range = _with_history(run, history) if history > 1 else asked
    moved = int(session_range.rows[0] - asked.rows[0])
    as_asked = {row + moved: first + moved for row, first in asked.history.items()}
    days_asked = {row + moved: first + moved for row, first in asked.daily.items()}
    manager = config.data_manager

    async def validate(some: Sequence[str], over: DataManager) -> dict[str, RangeValidation]:
        return over.validate_range(some, requirements, asked)

    fetch = LocalGatewayPool().fetch_for(requirements, needs_of_range(session_range))
    validated = asyncio.run(validate_with_fetches(chosen, manager, validate, lambda found: found.whole, fetch))
    dropped: dict[str, tuple[Reason, ...]] = {}
    loaded: list[LoadedRange] = []
    for symbol, found in validated.items():
        result = found.result
        if not result.can_proceed or result.base_interval is None:
            dropped[symbol] = result.reasons
            continue
        skipped = {day: "; ".join(map(str, reasons)) for day, reasons in found.skipped.items()}
        tables = tables_of(run.tables, symbol, session_range)
        base, reader = result.base_interval, manager.reader(found)
        command = LoadRange(symbol, session_range, reader, base, skipped, manager.daily, tables=tables)
        try:
            found_range = load_range(command)
            limit = asked.max_missing_days
            whole = replace(session_range, history=as_asked, daily=days_asked, max_missing_days=limit)
            loaded.append(replace(found_range, session_range=whole))
        except BarrayError as error:
            dropped[symbol] = (Reason.of(error),)
    if not loaded:
        raise all_failed(dropped, len(chosen), per_symbol=True)
    return loaded


def _with_history(run: PreparedRun, times: int) -> SessionRange:
    """The run's sessions with so many times the history, of base bars and of daily ones."""
    asked = run.session_range
    firsts = asked.daily or asked.history
    longest = max(1, *(row - first for row, first in firsts.items()))
    more = replace(run.requirements, trailing_days=longest * times, daily=None)
    whole = replace(session_range_for(run.config, more, load_calendar), max_missing_days=None)  # what there is will do
    if not asked.daily:
        return whole
    back = max(1, *(row - first for row, first in asked.history.items())) * times
    history = {row: max(first, row - back) for row, first in whole.history.items()}
    return replace(whole, history=history, daily=whole.history)
