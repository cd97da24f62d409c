"""Calls with a deadline, without Ray: which are made again, and which actors are given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayActorError

from barray.actors.answers_once import AnswersOnce
from barray.actors.handles import answer_of_the_living, gather


class Counter(AnswersOnce):
    """Counts, and forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.forgotten: list[str] = []

    def add(self, much: int) -> int:
        self.count += much
        return self.count

    def forget(self, symbols: Any) -> None:
        self.forgotten += symbols


def test_a_call_that_comes_again_is_answered_as_before_and_does_nothing() -> None:
    counter = Counter()
    assert [counter.once((1, ("A",), "add", (5,))) for _ in range(3)] == [5, 5, 5]
    assert counter.once((2, (), "add", (1,))) == 6
    assert counter.once((1, ("A",), "add", (5,))) == 6, "one that comes too late: nobody waits for its answer"
    assert (counter.count, counter.forgotten) == (6, ["A"])


async def _nothing_ever() -> None:
    await asyncio.Event().wait()


async def _at_once() -> str:
    return "alive"


def test_one_is_called_again_while_others_still_work() -> None:
    tried: list[str] = []

    async def both() -> list[Any]:
        reached = asyncio.Event()

        async def unreachable() -> str:
            tried.append("unreachable")
            if len(tried) == 1:
                raise ActorUnavailableError("no way through", None)
            reached.set()
            return "answered"

        async def working() -> str:
            await reached.wait()
            return "done"

        return await gather([working, unreachable], 30)

    assert asyncio.run(both()) == ["done", "answered"]


def test_an_actor_that_cannot_be_reached_is_called_again_and_one_that_died_is_not() -> None:
    tried: list[str] = []

    async def unreachable() -> str:
        tried.append("unreachable")
        if tried.count("unreachable") < 3:
            raise ActorUnavailableError("no way through", None)
        return "answered"

    async def dead() -> str:
        tried.append("dead")
        raise RayActorError

    answered, died = asyncio.run(gather([unreachable, dead], 30))
    assert answered == "answered"
    assert isinstance(died, RayActorError)
    assert (tried.count("unreachable"), tried.count("dead")) == (3, 1)


def test_what_the_actor_raises_is_raised() -> None:
    async def wrong() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(gather([wrong], 30))


def test_an_actor_without_a_pulse_is_given_up_however_long_its_work_may_take() -> None:
    found = asyncio.run(answer_of_the_living(_nothing_ever, _nothing_ever, 0.02))
    assert isinstance(found, TimeoutError)
    assert "has not stirred for 0.02 s" in str(found)


def test_an_actor_with_a_pulse_is_waited_for() -> None:
    beats: list[str] = []

    async def beat() -> str:
        beats.append("beat")
        return await _at_once()

    async def work() -> str:
        while len(beats) < 5:
            await asyncio.sleep(0)
        return "done"

    assert asyncio.run(answer_of_the_living(work, beat, 0.02)) == "done"
