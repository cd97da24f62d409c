"""Step 0 over sources of which some must fetch first: each is asked for what those before it could not serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.manager import DataManager
from barray.market.symbols import symbol_problem
from barray.market.validation import Reason

V = TypeVar("V")
Validate = Callable[[Sequence[str], DataManager], Awaitable[Mapping[str, V]]]


class Fetch(Protocol):
    """Has a source fetch what these symbols need, or their daily history; why some of them can't be served."""

    def __call__(
        self, source: VendorSource, symbols: Sequence[str], *, daily: bool = False
    ) -> Awaitable[Mapping[str, Reason]]:
        """See the class."""
        ...


async def validate_with_fetches(
    symbols: Sequence[str], manager: DataManager, validate: Validate[V], proceeds: Callable[[V], bool], fetch: Fetch
) -> dict[str, V]:
    """Results of all symbols, in their order.

    Nothing is fetched for a symbol that a source before can serve, nor by a vendor that no symbol is left for.
    """
    remote = [row for row, source in enumerate(manager.sources) if isinstance(source, VendorSource)]
    problems: dict[str, Mapping[str, Reason]] = {}
    results: dict[str, V] = {}
    left = list(dict.fromkeys(symbols))
    if isinstance(manager.daily, VendorSource) and (some_days := [s for s in left if symbol_problem(s) is None]):
        manager = replace(manager, daily_problems=await fetch(manager.daily, some_days, daily=True))
    for end in (*remote, len(manager.sources)):
        if end or not remote:
            some = replace(manager, sources=manager.sources[:end], problems=dict(problems))
            results |= await validate(left, some)
            left = [symbol for symbol in left if not proceeds(results[symbol])]
        if end == len(manager.sources) or not left:
            break
        source = manager.sources[end]
        fetchable = [symbol for symbol in left if symbol_problem(symbol) is None]
        if isinstance(source, VendorSource) and fetchable:
            problems[source.name] = await fetch(source, fetchable)
    return {symbol: results[symbol] for symbol in symbols}
