"""Step 0 over sources of which some must fetch first: each is asked for what those before it could not serve."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from barray.data_sources.fetching.plan import IN_FLIGHT
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.data_sources.manager import DataManager
from barray.market.calendar import Sessions
from barray.market.requirements import SymbolRequirements
from barray.market.session_range import RangeValidation, SessionRange
from barray.market.symbols import symbol_problem
from barray.market.validation import Reason, SymbolValidationResult

V = TypeVar("V")
Validate = Callable[[Sequence[str], DataManager], Awaitable[Mapping[str, V]]]
Fetch = Callable[[VendorSource, Mapping[str, V | None]], Awaitable[Mapping[str, Reason]]]
"""Has a source fetch what these symbols need of it, by what Step 0 found at those before it (None: there are none); why
some of them can't be served."""
Ensure = Callable[[VendorSource, Sequence[str], Wanted, int], Awaitable[Mapping[str, Reason]]]
"""See barray.data_sources.fetching.gateway.Gateway.ensure."""


@dataclass(frozen=True, eq=False)
class Needed:
    """Consecutive sessions that a source is to serve, and up to when it may fetch more ahead of time, UTC ns."""

    sessions: Sessions
    ahead_ns: int = 0


Needs = Callable[[V | None], Sequence[Needed]]
"""What a source is to serve of a symbol, by what Step 0 found at those before it."""


def needs_of_session(loaded: Sessions, ahead_ns: int = 0) -> Needs[SymbolValidationResult]:
    """The session with its history, from one source; more ahead of time where no source before knows the symbol."""
    alone, more = (Needed(loaded),), (Needed(loaded, ahead_ns),)
    return lambda found: alone if found is not None and found.data_source_available else more


def needs_of_range(session_range: SessionRange, ahead_ns: int = 0) -> Needs[RangeValidation]:
    """The sessions that no source before serves, each with its history, in runs; more ahead of time as above."""
    known: dict[tuple[object, ...], tuple[Needed, ...]] = {}

    def needs(found: RangeValidation | None) -> Sequence[Needed]:
        days = tuple(found.skipped) if found is not None and found.spans else tuple(session_range.dates)
        until_ns = 0 if found is not None and found.result.data_source_available else ahead_ns
        if (days, until_ns) not in known:
            known[days, until_ns] = tuple(Needed(run, until_ns) for run in session_range.runs(days))
        return known[days, until_ns]

    return needs


def fetching(requirements: SymbolRequirements, needs: Needs[V], ensure: Ensure) -> Fetch[V]:
    """Has a source fetch what `needs` says, symbols that need the same together, a few requests side by side."""

    async def fetch(source: VendorSource, found: Mapping[str, V | None]) -> Mapping[str, Reason]:
        asked: dict[tuple[Wanted, int], list[str]] = {}
        failures: dict[str, Reason] = {}
        for symbol, before in found.items():
            since_ns: int | None = None
            for needed in needs(before):
                since_ns = int(needed.sessions.open_ns[0]) if since_ns is None else since_ns
                wanted = source.wanted(requirements, needed.sessions, needed.ahead_ns, since_ns)
                if isinstance(wanted, Reason):
                    failures[symbol] = wanted
                    break
                asked.setdefault((wanted, int(needed.sessions.close_ns[-1])), []).append(symbol)
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one(wanted: Wanted, needed_ns: int, symbols: Sequence[str]) -> Mapping[str, Reason]:
            async with gate:
                return await ensure(source, symbols, wanted, needed_ns)

        for came in await asyncio.gather(*(one(*key, symbols) for key, symbols in asked.items())):
            failures.update(came)
        return failures

    return fetch


async def validate_with_fetches(
    symbols: Sequence[str], manager: DataManager, validate: Validate[V], proceeds: Callable[[V], bool], fetch: Fetch[V]
) -> dict[str, V]:
    """Results of all symbols, in their order.

    Nothing is fetched for a symbol that a source before can serve, nor by a vendor that no symbol is left for.
    """
    remote = [row for row, source in enumerate(manager.sources) if isinstance(source, VendorSource)]
    problems: dict[str, Mapping[str, Reason]] = {}
    results: dict[str, V] = {}
    left = list(dict.fromkeys(symbols))
    for end in (*remote, len(manager.sources)):
        if end or not remote:
            some = replace(manager, sources=manager.sources[:end]).passing_over(problems)
            results |= await validate(left, some)
            left = [symbol for symbol in left if not proceeds(results[symbol])]
        if end == len(manager.sources) or not left:
            break
        source = manager.sources[end]
        known = manager.problems.get(source.name, {})
        fetchable = [symbol for symbol in left if symbol_problem(symbol) is None and symbol not in known]
        if isinstance(source, VendorSource) and fetchable:
            problems[source.name] = await fetch(source, {symbol: results.get(symbol) for symbol in fetchable})
    return {symbol: results[symbol] for symbol in symbols}
