"""Calls to actors with a deadline: many at once, each failing by itself, and tried again where only the way failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, RayError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0
"""Before a call that did not come through is made again: at first, and at last."""
Send = Callable[[], Awaitable[Any]]
"""Makes a call, and makes it again if it is called again: it must not matter to the actor how often."""


async def gather(sends: Sequence[Send], timeout_s: float | None) -> list[Any]:
    """Results in order; where a call failed in Ray (dead process, lost object) or took too long, the exception instead.

    An actor that can't be reached is no dead one: it is called again. The deadline is one for all, from now on: they
    run side by side. None: as long as it takes.
    """
    calls = [_begun(send()) for send in sends]
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    waited = set(calls)
    while waited and (end_s is None or time.monotonic() < end_s):
        left_s = None if end_s is None else end_s - time.monotonic()
        done, waited = await asyncio.wait(waited, timeout=left_s, return_when=asyncio.FIRST_EXCEPTION)
        for place, call in enumerate(calls):
            if call in done and isinstance(call.exception(), ActorUnavailableError):
                calls[place] = asyncio.ensure_future(answer(sends[place]))
                waited.add(calls[place])
    return _outcomes(calls, timeout_s)


async def settled(answers: Sequence[Awaitable[Any]], timeout_s: float) -> list[Any]:
    """What each came to by the deadline, as for `gather`."""
    calls = [asyncio.ensure_future(one) for one in answers]
    if calls:
        await asyncio.wait(calls, timeout=timeout_s)
    return _outcomes(calls, timeout_s)


def _begun(call: Awaitable[Any]) -> asyncio.Future[Any]:
    """A future of the answer, without a task that would only wait for it, a third of what a call costs here."""
    return asyncio.wrap_future(call.future()) if isinstance(call, ray.ObjectRef) else asyncio.ensure_future(call)


def _outcomes(calls: Sequence[asyncio.Future[Any]], timeout_s: float | None) -> list[Any]:
    """Each one's result or RayError, and TimeoutError where there is none yet; those are given up."""
    late = TimeoutError(f"no answer within {timeout_s or 0:g} s")
    errors = [call.exception() if call.done() else late for call in calls]
    for call in calls:
        call.cancel()
    if bugs := [error for error in errors if error and error is not late and not isinstance(error, RayError)]:
        raise bugs[0]
    return [error or call.result() for call, error in zip(calls, errors, strict=True)]


async def answer(send: Send) -> Any:
    """The result of one call, or the RayError that it came to; what it raised there is raised here."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await send()
        except ActorUnavailableError:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        except RayError as error:
            return error


async def answer_of_the_living(send: Send, pulse: Send, silence_s: float) -> Any:
    """The same, or a TimeoutError where the actor is found not to answer even `pulse` for so long.

    `pulse` calls what the actor answers while it works, so that no long work is taken for a hang.
    """
    call = asyncio.ensure_future(answer(send))
    try:
        while not (await asyncio.wait([call], timeout=silence_s / 2))[0]:
            (beat,) = await gather([pulse], silence_s)
            if isinstance(beat, TimeoutError) and not call.done():
                return TimeoutError(f"it has not stirred for {silence_s:g} s")
        return call.result()
    finally:
        call.cancel()


def kill(actor: ActorHandle[Any]) -> None:
    """End an actor's process now; nothing happens where it is dead already."""
    ray.kill(actor, no_restart=True)
