"""A session held, let go window by window, and ended, from outside; with the real coordinator, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.pace import Turnstile
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.market.errors import IllegalTransition
from tests.coordinator.test_drivers import CLOSE as LIVE_CLOSE
from tests.coordinator.test_drivers import Live
from tests.coordinator.test_replay import CLOSE, minute, replay
from tests.market.builders import assert_same_snapshot

DAY = date(2024, 7, 2)
WINDOWS = {"window": "30m"}


def played(universe: Path, play: Callable[[SessionCoordinator], Awaitable[None]], **run: Any) -> None:
    """A session of one symbol whose day has begun."""

    async def whole() -> None:
        coordinator, _ = replay(universe, "AAPL", run={**WINDOWS, **run})
        await coordinator.begin(DAY)
        await asyncio.wait_for(play(coordinator), 20)

    asyncio.run(whole())


async def driven(coordinator: SessionCoordinator, to_ns: int | None = None) -> asyncio.Task[int]:
    """Somebody lets time pass."""
    task = asyncio.create_task(coordinator.advance_to(to_ns))
    await asyncio.sleep(0)
    return task


def pace(coordinator: SessionCoordinator) -> tuple[str, int]:
    return coordinator.status()["pace"], coordinator.summary().now_ns


@pytest.mark.long
def test_a_pause_holds_where_the_window_ends_a_step_is_one_window_and_resume_goes_on(universe: Path) -> None:
    async def play(coordinator: SessionCoordinator) -> None:
        assert await coordinator.pause() == minute(0), "nobody lets time pass: it stands"
        running = await driven(coordinator)
        assert [await coordinator.step() for _ in range(3)] == [minute(30), minute(60), minute(90)]
        assert pace(coordinator) == ("paused", minute(90))
        assert await coordinator.add_symbol("MSFT"), "it can be looked at and changed as before"
        await coordinator.resume()
        assert await running == CLOSE
        assert coordinator.status()["pace"] == "going"

    played(universe, play)


@pytest.mark.long
def test_a_session_that_was_paused_is_the_same_to_the_last_event(universe: Path) -> None:
    seen: list[Any] = []

    async def play(coordinator: SessionCoordinator) -> None:
        if seen:
            await coordinator.pause()
        running = await driven(coordinator, minute(90))
        if seen:
            for _ in range(3):
                await coordinator.step()
            await coordinator.resume()
        await running
        await coordinator.change(_removal())
        await coordinator.advance_to()
        await coordinator.end()
        seen.append((await coordinator.snapshots(), coordinator.summary()))

    for _ in range(2):
        played(universe, play)
    (calm, summary), (paused, again) = seen
    assert summary.events == again.events
    for left, right in zip(calm, paused, strict=True):
        assert_same_snapshot(left, right)


def _removal() -> Any:
    from barray.coordinator.messages import RemoveSymbol

    return RemoveSymbol("NVDA")


@pytest.mark.long
def test_two_who_are_attached_pause_as_one_and_their_steps_add_up(universe: Path) -> None:
    async def play(coordinator: SessionCoordinator) -> None:
        running = await driven(coordinator)
        first, second = await asyncio.gather(coordinator.pause(), coordinator.pause())
        assert first == second == coordinator.summary().now_ns
        stood = coordinator.summary().now_ns
        assert set(await asyncio.gather(coordinator.step(), coordinator.step())) == {stood + minute(60) - minute(0)}
        await coordinator.resume()
        with pytest.raises(IllegalTransition, match="the session is going: there is nothing to resume"):
            await coordinator.resume()
        assert await running == CLOSE

    played(universe, play)


@pytest.mark.long
def test_who_waits_for_a_step_hears_that_another_has_resumed_it(universe: Path) -> None:
    async def play(coordinator: SessionCoordinator) -> None:
        await coordinator.pause()
        running = await driven(coordinator)
        stepping = asyncio.ensure_future(coordinator.step())
        await asyncio.sleep(0)
        await coordinator.resume()
        await stepping
        assert await running == CLOSE

    played(universe, play)


@pytest.mark.long
def test_a_stop_ends_it_at_the_windows_end_paused_or_not_and_no_other_date_begins(universe: Path) -> None:
    async def play(coordinator: SessionCoordinator) -> None:
        await coordinator.pause()
        running = await driven(coordinator)
        await coordinator.step()
        await coordinator.stop("seen enough")
        await coordinator.stop("again")
        assert await running == minute(30)
        assert await coordinator.advance_to(minute(45)) == minute(30), "no time is left"
        summary = await coordinator.end()
        assert [(e.action, e.symbol, e.by, e.reason) for e in summary.events] == [("stop", "", "user", "seen enough")]
        assert (summary.stopped, summary.now_ns) == ("seen enough", minute(30))
        await coordinator.teardown()
        with pytest.raises(IllegalTransition, match="no further date begins") as refused:
            await coordinator.begin()
        assert refused.value.code == "stopped"
        with pytest.raises(IllegalTransition, match="was stopped"):
            await coordinator.pause()

    played(universe, play)


@pytest.mark.long
def test_a_stop_does_not_wait_for_the_pause_between_windows(universe: Path) -> None:
    async def play(coordinator: SessionCoordinator) -> None:
        running = await driven(coordinator)
        while coordinator.summary().now_ns == minute(0):
            await asyncio.sleep(0.01)
        await coordinator.stop("")
        assert await running == minute(30)

    played(universe, play, pause_s=3600)


@pytest.mark.long
def test_steps_and_resumes_that_make_no_sense_are_refused_and_change_nothing(universe: Path) -> None:
    async def play(coordinator: SessionCoordinator) -> None:
        with pytest.raises(IllegalTransition, match="nothing to step"):
            await coordinator.step()
        await coordinator.pause()
        with pytest.raises(IllegalTransition, match="no time is passing"):
            await coordinator.step()
        assert pace(coordinator) == ("paused", minute(0))

    played(universe, play)


@pytest.mark.long
def test_a_paused_session_that_is_torn_down_does_not_go_on_in_the_next(universe: Path) -> None:
    async def play(coordinator: SessionCoordinator) -> None:
        await coordinator.pause()
        held = await driven(coordinator)
        await coordinator.teardown()
        await coordinator.begin(DAY)
        await asyncio.wait([held])
        assert pace(coordinator) == ("paused", minute(0)), "the pause holds for the next"

    played(universe, play)


@pytest.mark.long
def test_a_live_session_goes_on_by_itself_but_can_be_stopped(tmp_path: Path) -> None:
    live = Live(tmp_path)

    async def whole() -> None:
        await live.coordinator.begin()
        for asked in (live.coordinator.pause, live.coordinator.step):
            with pytest.raises(IllegalTransition, match="a live session's time goes on by itself"):
                await asked()
        with pytest.raises(IllegalTransition, match="no way to resume it"):
            await live.coordinator.resume()
        await live.to(5)
        await live.coordinator.stop("enough")
        assert await live.coordinator.advance_to() < LIVE_CLOSE
        assert (await live.coordinator.end()).stopped == "enough"
        await live.coordinator.teardown(final=True)

    asyncio.run(whole())


def test_at_the_last_window_a_step_is_kept_for_what_comes_next() -> None:
    async def whole() -> None:
        turnstile = Turnstile()
        turnstile.pause()

        async def passing() -> list[bool]:
            with turnstile.passing():
                return [await turnstile.may_go_on(lambda: False, last=last) for last in (False, True)]

        first = asyncio.ensure_future(passing())
        await asyncio.sleep(0)
        turnstile.step()
        await turnstile.standing()
        assert turnstile.told == "paused"
        turnstile.step()
        last = asyncio.ensure_future(turnstile.standing())
        await asyncio.wait([first])
        assert turnstile.told == "pausing", "the step has not been taken"
        second = asyncio.ensure_future(passing())
        await last
        assert turnstile.told == "paused"
        turnstile.stop()
        assert (await first, await second) == ([True, True], [True, False])

    asyncio.run(whole())
