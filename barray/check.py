"""`barray check`: Step 0 for every session date, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

from barray.actors.validation import validate_chunk
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import prepare_sessions
from barray.data_sources.failover import validate_with_fetches
from barray.data_sources.manager import DataManager
from barray.local.connection import load_calendar
from barray.local.gateways import LocalGatewayPool
from barray.market.commands import Load, Loaded
from barray.market.errors import BarrayError
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.symbol_session import SymbolSession
from barray.market.validation import Reason, SymbolValidationResult

_CHUNK = 64
_THREADS = 4


def check_config(config: SessionConfig, *, deep: bool = False) -> dict[date, dict[str, SymbolValidationResult]]:
    """Results by session date and symbol, in the config's order. `deep` also loads every bar, as Step 3 would.

    Judged is what any run of the config needs: its own requirements, its strategy's and its sweep's. ConfigError where
    these can't be meant, naming the strategy's file and line.
    """
    run = prepare_sessions(config, load_calendar)
    requirements, session_range = run.requirements, run.session_range
    symbols = list(dict.fromkeys(config.symbols))
    manager = config.data_manager  # one for all days: each directory is listed once
    until_ns = int(session_range.loaded.close_ns[-1])
    gateways = LocalGatewayPool()

    def check_day(row: int) -> dict[str, SymbolValidationResult]:
        context = replace(session_range.context(row), live=config.is_live)

        async def validate(some: Sequence[str], over: DataManager) -> dict[str, SymbolValidationResult]:
            results: dict[str, SymbolValidationResult] = {}
            for start in range(0, len(some), _CHUNK):
                chunk = some[start : start + _CHUNK]
                results |= validate_chunk(chunk, over, requirements, context, config.validation.deadline_s)
            return results

        fetch = gateways.fetch_for(requirements, context, until_ns)
        results = asyncio.run(
            validate_with_fetches(symbols, manager, validate, lambda result: result.can_proceed, fetch)
        )
        return {s: _loaded(requirements, manager, context, r) for s, r in results.items()} if deep else results

    with ThreadPoolExecutor(_THREADS) as pool:  # mostly waiting for files
        return dict(zip(session_range.dates, pool.map(check_day, session_range.rows.tolist()), strict=True))


def _loaded(
    requirements: SymbolRequirements, manager: DataManager, context: SessionContext, result: SymbolValidationResult
) -> SymbolValidationResult:
    """The result with what loading the symbol's bars shows and the footers could not: a failure, or warnings."""
    if not result.can_proceed or result.base_interval is None or result.data_source is None:
        return result
    source = manager.source(result.data_source)
    load = Load(
        context,
        source,
        result.base_interval,
        requirements.all_intervals,
        requirements.indicators,
        "config",
        context.open_ns,
        context.live,
        manager.daily,
    )
    try:
        report = SymbolSession(result.symbol).apply(load, *load.read(result.symbol))
    except BarrayError as error:
        reason = Reason.of(error)
        return replace(
            result, can_proceed=False, meets_config_requirements=False, reason=str(reason), reasons=(reason,)
        )
    return replace(result, warnings=report.warnings) if isinstance(report, Loaded) else result
