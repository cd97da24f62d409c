"""What lets a coordinator be asked again when an answer was lost on its way: it does nothing twice."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from barray.data_sources.environment import take_credentials

READS = frozenset(
    {
        "carried",
        "dropped",
        "error",
        "get_symbol_metadata",
        "lost",
        "recording",
        "snapshot",
        "snapshots",
        "status",
        "summary",
        "symbols",
        "to_keep",
    }
)
"""Methods that change nothing: they may be asked as often as one likes, without `once`."""
_ASKERS = 1000


class AskedOnce:
    """A coordinator whose askers number what they ask. What is asked again is answered as it was, or will be."""

    def __init__(self) -> None:
        take_credentials()  # before anybody's strategy is loaded here
        self._asked: dict[str, dict[int, asyncio.Future[Any]]] = {}

    async def once(
        self, asker: str, number: int, settled: int, method: str, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        """Call a method, unless this asker's `number` has: then wait for what that comes to.

        `settled`: the asker has had the answers to all numbers below, so they are forgotten.
        """
        own = self._asked.setdefault(asker, {})
        for answered in [earlier for earlier in own if earlier < settled]:
            del own[answered]
        if number not in own:
            own[number] = asyncio.ensure_future(_answer(self, method, arguments, options))
        self._forget_askers()
        return await asyncio.shield(own[number])

    def _forget_askers(self) -> None:
        """Those who asked first and wait for nothing, where there are many: most asked once and left."""
        idle = [asker for asker, own in self._asked.items() if all(future.done() for future in own.values())]
        for asker in idle[: len(self._asked) - _ASKERS]:
            del self._asked[asker]


async def _answer(asked: AskedOnce, method: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    answer = getattr(asked, method)(*arguments, **options)
    return await answer if inspect.isawaitable(answer) else answer
