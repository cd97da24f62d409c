"""`barray check`: Step 0 for every session date, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

from barray.actors.loading import load_range
from barray.actors.validation import validate_chunk
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import PreparedSessions, prepare_sessions
from barray.data_sources.failover import needs_of_session, validate_with_fetches
from barray.data_sources.manager import DataManager
from barray.local.connection import load_calendar
from barray.local.gateways import LocalGatewayPool
from barray.market.commands import Load, Loaded
from barray.market.errors import BarrayError, DataError, NoDataError
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.symbol_session import SymbolSession
from barray.market.validation import Reason, SymbolValidationResult
from barray.trading.engine.commands import LoadRange

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

        def found_by(over: DataManager, some: Sequence[str]) -> dict[str, SymbolValidationResult]:
            return asyncio.run(validate_with_fetches(some, over, validate, lambda result: result.can_proceed, fetch))

        fetch = gateways.fetch_for(requirements, needs_of_session(context, until_ns))
        results = found_by(manager, symbols)
        if not deep:
            return results
        return {s: _loaded(requirements, manager, context, r, found_by) for s, r in results.items()}

    with ThreadPoolExecutor(_THREADS) as pool:  # mostly waiting for files
        found = dict(zip(session_range.dates, pool.map(check_day, session_range.rows.tolist()), strict=True))
    if deep and config.strategy is not None and config.account.carry:
        _add_warnings_of_nights(found, run, manager)
    return found


def _add_warnings_of_nights(
    found: dict[date, dict[str, SymbolValidationResult]], run: PreparedSessions, manager: DataManager
) -> None:
    """Add, to each symbol's first session, what a backtest that holds over night will suspect of its prices besides."""
    for symbol, one in manager.validate_range(list(found[min(found)]), run.requirements, run.session_range).items():
        first = next((results for results in found.values() if results[symbol].can_proceed), None)
        base = one.result.base_interval
        if first is None or base is None or not one.result.can_proceed:
            continue
        skipped = {day: "; ".join(map(str, reasons)) for day, reasons in one.skipped.items()}
        try:
            load = LoadRange(symbol, run.session_range, manager.reader(one), base, skipped, manager.daily)
            warnings = load_range(load).warnings
        except BarrayError as error:  # others than of prices, the sessions' own checks have told
            warnings = (Reason.of(error),) if error.code == "suspect_jump" else ()
        told = [warning for results in found.values() for warning in results[symbol].warnings]
        more = tuple(warning for warning in warnings if warning not in told)
        first[symbol] = replace(first[symbol], warnings=(*first[symbol].warnings, *more))


def _loaded(
    requirements: SymbolRequirements,
    manager: DataManager,
    context: SessionContext,
    result: SymbolValidationResult,
    found_by: Callable[[DataManager, Sequence[str]], dict[str, SymbolValidationResult]],
) -> SymbolValidationResult:
    """The result with what loading the symbol's bars shows and the footers could not: a failure, or warnings.

    `found_by`: Step 0 anew, where one source's bars prove to be no good, and there are others.
    """
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
        mends = isinstance(error, DataError | NoDataError) and not load.failed_over_days(error)
        if mends and source != manager.sources[-1]:
            others = manager.passing_over({source.name: {result.symbol: Reason.of(error, source.name)}})
            again = found_by(others, [result.symbol])[result.symbol]
            return _loaded(requirements, others, context, again, found_by)
        reason = Reason.of(error)
        return replace(
            result, can_proceed=False, meets_config_requirements=False, reason=str(reason), reasons=(reason,)
        )
    return replace(result, warnings=report.warnings) if isinstance(report, Loaded) else result
