"""Is a strategy honest? Checks of the strategy itself, in this process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from barray.actors.backtest_actor import load_range
from barray.coordinator.config.file import ConfigLike
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.step0 import all_failed
from barray.coordinator.strategies import StrategyLike, asked_for, plan_of, requirements_with
from barray.data_sources.failover import validate_with_fetches
from barray.data_sources.manager import DataManager
from barray.local.connection import load_calendar
from barray.local.gateways import LocalGatewayPool
from barray.market.errors import BarrayError, ConfigError
from barray.market.session_range import RangeValidation, SessionRange, session_range_of
from barray.market.validation import Reason
from barray.trading.checks.causality import LookaheadReport
from barray.trading.checks.causality import lookahead as _lookahead
from barray.trading.checks.warmup import WarmupReport
from barray.trading.checks.warmup import warmup as _warmup
from barray.trading.engine.commands import LoadRange, Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.source import StrategySource

_LONGEST = 4
"""How many times the history is tried at most."""


def lookahead(
    strategy: StrategyLike | ConfigLike | None = None,
    config: ConfigLike | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    symbols: Sequence[str] = (),
    cuts: int = 40,
) -> list[LookaheadReport]:
    """Whether any decision of a config's strategy depends on the future, symbol by symbol (default: all of the config).

    `strategy`, `config` and `parameters` as in `barray.backtest`. ConfigError as there, ValidationFailed where no
    symbol can be loaded.
    """
    settings, source = asked_for(strategy, config, parameters)
    plan = _plan(settings, source)
    return [
        _lookahead(
            plan.strategy,
            loaded.base,
            loaded.session_range.sessions,
            loaded.traded,
            loaded.session_range.history,
            plan.market,
            plan.account,
            form=plan.form,
            symbol=loaded.symbol,
            timezone=loaded.session_range.timezone,
            cuts=cuts,
        )
        for loaded in _loaded(settings, plan, symbols, history=1)[0]
    ]


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
    settings, source = asked_for(strategy, config, parameters)
    plan = _plan(settings, source)
    found, history = _loaded(settings, plan, symbols, history=_LONGEST)
    return [
        _warmup(
            plan.strategy,
            loaded.base,
            loaded.session_range.sessions,
            loaded.traded,
            history,
            plan.market,
            plan.account,
            form=plan.form,
            symbol=loaded.symbol,
            timezone=loaded.session_range.timezone,
        )
        for loaded in found
    ]


def _plan(config: SessionConfig, source: StrategySource) -> Plan:
    plan = plan_of(config, source)
    if plan.form == "on_window":
        raise ConfigError(
            "this check runs on_bar and signals", remedy="a strategy of on_window alone sees closed bars only"
        )
    return plan


def _loaded(
    config: SessionConfig, plan: Plan, symbols: Sequence[str], *, history: int
) -> tuple[list[LoadedRange], dict[int, int]]:
    """The symbols' bars over `history` times the history that the config asks for, and where that begins."""
    chosen = list(symbols or dict.fromkeys(config.symbols))
    if unknown := [symbol for symbol in chosen if symbol not in config.symbols]:
        raise ConfigError(f"{unknown[0]} is not in the config", remedy="choose from its symbols")
    requirements = requirements_with(config, [plan.strategy()])
    calendar = load_calendar(config, requirements)
    days = calendar.between(config.session.start, config.session.end)
    asked = session_range_of(requirements, calendar, days)
    needs = [row - asked.history[row] for row in asked.rows.tolist()]
    session_range = asked
    if history > 1:
        more = replace(requirements, trailing_days=max(1, *needs) * history)
        session_range = session_range_of(more, load_calendar(config, more), days)
    manager = DataManager(config.data_sources)

    async def validate(some: Sequence[str], over: DataManager) -> dict[str, RangeValidation]:
        return over.validate_range(some, requirements, asked)

    fetch = LocalGatewayPool().fetch_for(requirements, session_range.loaded)
    validated = asyncio.run(
        validate_with_fetches(chosen, manager, validate, lambda found: found.result.can_proceed, fetch)
    )
    dropped: dict[str, tuple[Reason, ...]] = {}
    loaded: list[LoadedRange] = []
    for symbol, found in validated.items():
        result = found.result
        if not result.can_proceed or result.base_interval is None or result.data_source is None:
            dropped[symbol] = result.reasons
            continue
        skipped = {day: "; ".join(map(str, reasons)) for day, reasons in found.skipped.items()}
        command = LoadRange(symbol, session_range, manager.source(result.data_source), result.base_interval, skipped)
        try:
            loaded.append(load_range(command))
        except BarrayError as error:
            dropped[symbol] = (Reason(str(error.code), error.reason, error.remedy or "", error.source),)
    if not loaded:
        raise all_failed(dropped, len(chosen), per_symbol=True)
    return loaded, dict(_shifted(session_range, needs))


def _shifted(session_range: SessionRange, needs: Sequence[int]) -> Iterator[tuple[int, int]]:
    for row, back in zip(session_range.rows.tolist(), needs, strict=True):
        yield row, row - back
