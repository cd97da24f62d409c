"""Calls to actors with a deadline: many at once, each failing by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError


async def gather(references: Sequence[Awaitable[Any]], timeout_s: float | None) -> list[Any]:
    """Results in order; where a call failed in Ray (dead process, lost object) or took too long, the exception instead.

    The deadline is one for all, from now on: they run side by side. None: as long as it takes.
    """
    calls = [asyncio.ensure_future(reference) for reference in references]
    if not calls:
        return []
    _, late = await asyncio.wait(calls, timeout=timeout_s)
    for call in late:
        call.cancel()
    return [TimeoutError(f"no answer within {timeout_s:g} s") if call in late else _settled(call) for call in calls]


def _settled(call: asyncio.Future[Any]) -> Any:
    error = call.exception()
    if error is None:
        return call.result()
    if isinstance(error, RayError):
        return error
    raise error


def kill(actor: ActorHandle[Any]) -> None:
    """End an actor's process now; nothing happens where it is dead already."""
    ray.kill(actor, no_restart=True)
