"""Step 0 over sources of which some must fetch first: each is asked for what those before it could not serve."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from barray.data_sources.fetching.plan import IN_FLIGHT
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.data_sources.manager import DataManager
from barray.market.calendar import Sessions
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.session_range import RangeValidation, SessionRange
from barray.market.symbols import symbol_problem
from barray.market.validation import Reason, SymbolValidationResult

V = TypeVar("V")
Validate = Callable[[Sequence[str], DataManager], Awaitable[Mapping[str, V]]]
Ensure = Callable[[VendorSource, Sequence[str], Wanted, int], Awaitable[Mapping[str, Reason]]]
"""See barray.data_sources.fetching.gateway.Gateway.ensure."""


@dataclass(frozen=True, eq=False)
class Needed:
    """Consecutive sessions that a source is to serve, and up to when it may fetch more ahead of time, UTC ns."""

    sessions: Sessions
    ahead_ns: int = 0


@dataclass(frozen=True, eq=False)
class Needs(Generic[V]):
    """`base`: what a source is to serve of a symbol, by what Step 0 found at those before it (None: there are none).

    `days`: the sessions of which the source of daily history is to have bars; there may be none.
    """

    base: Callable[[V | None], Sequence[Needed]]
    days: Sessions


def needs_of_session(context: SessionContext, ahead_ns: int = 0) -> Needs[SymbolValidationResult]:
    """The session with its history, from one source; more ahead of time where no source before knows the symbol."""
    alone, more = (Needed(context.loaded),), (Needed(context.loaded, ahead_ns),)

    def base(found: SymbolValidationResult | None) -> Sequence[Needed]:
        return alone if found is not None and found.data_source_available else more

    return Needs(base, context.daily_sessions)


def needs_of_range(session_range: SessionRange, ahead_ns: int = 0) -> Needs[RangeValidation]:
    """The sessions that no source before serves, each with its history, in runs; more ahead of time as above."""
    known: dict[tuple[object, ...], tuple[Needed, ...]] = {}

    def base(found: RangeValidation | None) -> Sequence[Needed]:
        days = tuple(found.skipped) if found is not None and found.spans else tuple(session_range.dates)
        until_ns = 0 if found is not None and found.result.data_source_available else ahead_ns
        if (days, until_ns) not in known:
            known[days, until_ns] = tuple(Needed(run, until_ns) for run in session_range.runs(days))
        return known[days, until_ns]

    return Needs(base, session_range.daily_sessions)


@dataclass(frozen=True, eq=False)
class Fetch(Generic[V]):
    """Has sources fetch what is needed, symbols that need the same together, a few requests side by side."""

    requirements: SymbolRequirements
    needs: Needs[V]
    ensure: Ensure

    async def base(self, source: VendorSource, found: Mapping[str, V | None]) -> Mapping[str, Reason]:
        """Fetch base bars of these symbols, by what Step 0 found at the sources before; why some can't be served."""
        asked: dict[tuple[Wanted, int], list[str]] = {}
        failures: dict[str, Reason] = {}
        for symbol, before in found.items():
            since_ns: int | None = None
            for needed in self.needs.base(before):
                since_ns = int(needed.sessions.open_ns[0]) if since_ns is None else since_ns
                wanted = source.wanted(self.requirements, needed.sessions, needed.ahead_ns, since_ns)
                if isinstance(wanted, Reason):
                    failures[symbol] = wanted
                    break
                asked.setdefault((wanted, int(needed.sessions.close_ns[-1])), []).append(symbol)
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one(wanted: Wanted, needed_ns: int, symbols: Sequence[str]) -> Mapping[str, Reason]:
            async with gate:
                return await self.ensure(source, symbols, wanted, needed_ns)

        for came in await asyncio.gather(*(one(*key, symbols) for key, symbols in asked.items())):
            failures.update(came)
        return failures

    async def days(self, source: VendorSource, symbols: Sequence[str]) -> Mapping[str, Reason]:
        """Fetch the daily history of these symbols; why some of them can't be served."""
        sessions = self.needs.days
        if not len(sessions):
            return {}
        wanted = source.wanted_days(sessions)
        if isinstance(wanted, Reason):
            return dict.fromkeys(symbols, wanted)
        return await self.ensure(source, symbols, wanted, int(sessions.close_ns[-1]))


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
    if isinstance(manager.daily, VendorSource) and (some_days := [s for s in left if symbol_problem(s) is None]):
        manager = replace(manager, daily_problems=await fetch.days(manager.daily, some_days))
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
            problems[source.name] = await fetch.base(source, {symbol: results.get(symbol) for symbol in fetchable})
    return {symbol: results[symbol] for symbol in symbols}
