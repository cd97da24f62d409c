"""Step 0: validates all symbols over the cluster, bounded work in flight, and drops those that fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from barray.actors.nodes import Claim, shared_out, spread
from barray.coordinator.fleet import Transport, cpus_of
from barray.data_sources.failover import Fetch, validate_with_fetches
from barray.data_sources.manager import DataManager
from barray.market.errors import ValidationFailed, shorten
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.session_range import RangeValidation, SessionRange
from barray.market.validation import Reason, SymbolValidationResult

Judge = Callable[[tuple[Any, ...], float, str | None], Awaitable[Any]]
"""Step 0 for a chunk of symbols, see Transport.validate."""
_CHUNK = 64
_START_S = 60.0
"""What a task may take to get a worker, on top of its symbols' deadlines."""


async def validate_all(
    symbols: Sequence[str],
    manager: DataManager,
    requirements: SymbolRequirements,
    context: SessionContext,
    deadline_s: float,
    *,
    transport: Transport,
    fetch: Fetch[SymbolValidationResult],
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, SymbolValidationResult]:
    """Results of all symbols, in their order; a task a CPU, two where there are many symbols. `progress` hears how many
    results there are.

    `fetch` is called for each vendor source, with the symbols that those before it could not serve.
    """

    async def validate(some: Sequence[str], over: DataManager) -> dict[str, SymbolValidationResult]:
        return await _fan_out(some, over, requirements, context, deadline_s, transport, progress)

    return await validate_with_fetches(symbols, manager, validate, lambda result: result.can_proceed, fetch)


async def validate_range(
    symbols: Sequence[str],
    manager: DataManager,
    requirements: SymbolRequirements,
    session_range: SessionRange,
    deadline_s: float,
    *,
    transport: Transport,
    fetch: Fetch[RangeValidation],
    judge: Judge | None = None,
) -> dict[str, RangeValidation]:
    """The same over all sessions of a range; a source is called to fetch for symbols of which any session is left.
    `judge`: where, if not by tasks.
    """

    async def validate(some: Sequence[str], over: DataManager) -> dict[str, RangeValidation]:
        work = requirements, session_range, deadline_s
        found = await _fan_out(some, over, *work, transport, lambda done: None, judge)
        return {s: r if isinstance(r, RangeValidation) else RangeValidation(r) for s, r in found.items()}

    return await validate_with_fetches(symbols, manager, validate, lambda found: found.whole, fetch)


async def _fan_out(
    symbols: Sequence[str],
    manager: DataManager,
    requirements: SymbolRequirements,
    context: SessionContext | SessionRange,
    deadline_s: float,
    transport: Transport,
    progress: Callable[[int], None],
    judge: Judge | None = None,
) -> dict[str, Any]:
    judge = judge or transport.validate
    in_flight = 2 * cpus_of(transport)
    size = max(1, min(_CHUNK, -(-len(symbols) // cpus_of(transport))))  # a task's worker takes as long as 100 symbols
    shares = _by_node(symbols, transport) if manager.copied else [(None, symbols)]
    chunks = [(node, list(some[i : i + size])) for node, some in shares for i in range(0, len(some), size)]
    gate = asyncio.Semaphore(in_flight)
    results: dict[str, Any] = {}

    async def one(node: str | None, chunk: list[str]) -> None:
        async with gate:
            work = (chunk, manager, requirements, context, deadline_s)
            answer = await judge(work, _START_S + 2 * deadline_s, node)
        results.update(answer if isinstance(answer, dict) else _unanswered(chunk, answer))
        progress(len(results))

    await asyncio.gather(*(one(node, chunk) for node, chunk in chunks))
    return {symbol: results[symbol] for symbol in symbols}


def _by_node(symbols: Sequence[str], transport: Transport) -> list[tuple[str | None, Sequence[str]]]:
    """Symbols by the node that their processes will be on, if these are as many."""
    nodes = transport.nodes()
    places = list(islice(spread(nodes.values(), Counter(), Claim(0.0)), len(symbols)))
    homes = [nodes[node].home if node else "" for node in places]
    found: dict[str | None, list[str]] = {}
    for node, group in zip(places, shared_out(symbols, homes, 1), strict=True):
        found.setdefault(node, []).extend(group)
    return list(found.items())


def _unanswered(chunk: Sequence[str], error: Any) -> dict[str, SymbolValidationResult]:
    reason = Reason("validation_lost", f"validation was lost: {type(error).__name__}", "look into Ray's logs")
    return {s: SymbolValidationResult(s, reason=str(reason), reasons=(reason,)) for s in chunk}


def require_enough(results: Mapping[str, SymbolValidationResult], *, per_symbol: bool) -> list[str]:
    """The symbols that proceed, in order.

    ValidationFailed, listing every reason, where none does; or where any does not and `per_symbol` is off.
    """
    passed = [symbol for symbol, result in results.items() if result.can_proceed]
    if passed and (per_symbol or len(passed) == len(results)):
        return passed
    reasons = {symbol: result.reasons for symbol, result in results.items() if not result.can_proceed}
    raise all_failed(reasons, len(results), per_symbol=per_symbol)


def all_failed(reasons: Mapping[str, Sequence[Reason]], asked: int, *, per_symbol: bool) -> ValidationFailed:
    """The error that ends a session, with every dropped symbol's reasons."""
    listed = "".join(f"\n  {shorten(s) or ascii(s)}: {'; '.join(map(str, r))}" for s, r in reasons.items())
    if per_symbol:
        return ValidationFailed(f"none of {asked} symbols can be loaded:{listed}")
    return ValidationFailed(
        f"{len(reasons)} of {asked} symbols failed and validation.per_symbol is off:{listed}",
        code="bulk_validation_failed",
    )
