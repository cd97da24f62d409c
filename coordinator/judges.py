"""Step 0 by the processes that are going to load what it lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol


class Courts(Protocol):
    """Where Step 0 may be done for a chunk of symbols; see barray.actors.validation.validate_chunk."""

    async def validate(self, work: tuple[Any, ...], timeout_s: float, node: str | None = None) -> Any:
        """On a node, if there is room, or wherever there is: the results, or an exception."""
        ...

    async def validate_in(self, process: Any, work: tuple[Any, ...], timeout_s: float) -> Any:
        """The same in a process."""
        ...


class Judges:
    """Processes that judge chunks of symbols, each one chunk at a time. The chunk of one that is lost is judged where
    there is room, as all are where there are no such processes.
    """

    def __init__(self, transport: Courts, processes: Sequence[Any]) -> None:
        self._transport = transport
        self._count = len(processes)
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        for process in processes:
            self._free.put_nowait(process)

    async def validate(self, work: tuple[Any, ...], timeout_s: float, node: str | None = None) -> Any:
        """See Courts.validate; what is to be judged on a node is judged there."""
        if node is None and self._count:
            process = await self._free.get()
            answer = await self._transport.validate_in(process, work, timeout_s)
            self._free.put_nowait(process)
            if not isinstance(answer, Exception):
                return answer
        return await self._transport.validate(work, timeout_s, node)
