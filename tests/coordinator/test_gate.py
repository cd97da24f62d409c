"""What is asked of a session from outside is written down before it takes effect, and done again where it was."""

from __future__ import annotations

import asyncio
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from barray.checkpoint.checkpoint import _CODEC
from barray.coordinator.gate import Asked
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.market.errors import BarrayError, ConfigError
from tests.coordinator.test_replay import CLOSE, minute, replay
from tests.market.builders import assert_same_snapshot

DAY = date(2024, 7, 2)
pytestmark = pytest.mark.long


def session(universe: Path) -> SessionCoordinator:
    schedule = [{"at": "10:00", "add_symbol": "MSFT"}, {"at": "12:00", "remove_symbol": "MSFT"}]
    return replay(universe, "AAPL", "AMZN", run={"window": "10m"}, schedule=schedule)[0]


def bar(start: int, close: float) -> dict[str, Any]:
    return {"start_ns": minute(start), "open": 5, "high": 9, "low": 1, "close": close, "volume": 10}


async def keep(coordinator: SessionCoordinator, kept: list[Asked]) -> None:
    """As whoever drives a session does, now and then."""
    while True:
        kept += coordinator.to_keep(len(kept))
        await asyncio.sleep(0.001)


async def interfere(coordinator: SessionCoordinator, chance: random.Random) -> None:
    """Ask for this and that, whenever it comes about."""
    asks = [
        lambda: coordinator.add_symbol("TSLA"),
        lambda: coordinator.add_symbol("NOPE"),
        lambda: coordinator.add_symbol("NVDA", "me"),
        lambda: coordinator.remove_symbol("AAPL"),
        lambda: coordinator.add_adhoc_indicator("AAPL", {"name": "SMA", "interval": "5m", "timeperiod": 3}),
        lambda: coordinator.add_adhoc_indicator("SPY", "NONE(3)@5m"),
        lambda: coordinator.add_adhoc_bar("SPY", "1m", bar(chance.randrange(300), 4.1)),
        lambda: coordinator.add_adhoc_bar("SPY", "1m", {"open": None}),
        coordinator.pause,
        coordinator.step,
        coordinator.resume,
    ]
    for _ in range(25):
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        asked = asyncio.ensure_future(chance.choice(asks)())
        await asyncio.wait([asked], timeout=0.1)  # a pause waits until it stands, which may be when the day is over
        asked.add_done_callback(lambda one: one.exception())
    if coordinator.status()["pace"] != "going":
        await coordinator.resume()


async def seen(coordinator: SessionCoordinator) -> Any:
    summary = await coordinator.end()
    return await coordinator.snapshots(), summary.events, summary.dropped, summary.now_ns


@pytest.mark.parametrize("seed", range(4))
def test_a_day_that_is_gone_through_again_comes_to_the_same(seed: int, universe: Path) -> None:
    async def first() -> tuple[Any, list[Asked]]:
        coordinator, kept = session(universe), list[Asked]()
        await coordinator.begin(DAY, [])
        keeper = asyncio.ensure_future(keep(coordinator, kept))
        others = asyncio.ensure_future(interfere(coordinator, random.Random(seed)))
        assert await coordinator.advance_to() == CLOSE
        await others
        keeper.cancel()
        return await seen(coordinator), kept

    async def again(kept: list[Asked]) -> Any:
        coordinator = session(universe)
        await coordinator.begin(DAY, [_CODEC.decode(_CODEC.encode(one)) for one in kept])
        assert await asyncio.wait_for(coordinator.advance_to(), 20) == CLOSE
        assert coordinator.to_keep(0) == [], "it is written down already"
        return await seen(coordinator)

    (snapshots, *others), kept = asyncio.run(first())
    assert len(kept) > 5
    found, *rest = asyncio.run(again(kept))
    assert rest == others
    assert [one.symbol for one in found] == [one.symbol for one in snapshots]
    for left, right in zip(snapshots, found, strict=True):
        assert_same_snapshot(left, right)


def test_nothing_is_done_before_it_is_written_down_and_no_window_ends_meanwhile(universe: Path) -> None:
    async def whole() -> None:
        coordinator = session(universe)
        await coordinator.begin(DAY, [])
        await coordinator.advance_to(minute(60))
        asked = asyncio.ensure_future(coordinator.add_symbol("TSLA"))
        running = asyncio.ensure_future(coordinator.advance_to())
        await asyncio.sleep(0.05)
        assert (coordinator.symbols(), coordinator.summary().now_ns) == (["AAPL", "AMZN", "MSFT"], minute(60))
        (one,) = coordinator.to_keep(0)
        assert (one.day, one.at_ns, one.told) == ("2024-07-02", minute(60), "2024-07-02 AddSymbol TSLA")
        assert not asked.done()
        coordinator.to_keep(1)
        assert await asked
        assert await running == CLOSE

    asyncio.run(whole())


def test_a_stop_is_done_again_with_its_reason_where_it_was(universe: Path) -> None:
    async def stop(coordinator: SessionCoordinator) -> None:
        while coordinator.summary().now_ns < minute(45):
            await asyncio.sleep(0)
        await coordinator.stop("seen enough")

    async def stopped(again: list[Asked]) -> Any:
        coordinator, kept = session(universe), list[Asked]()
        await coordinator.begin(DAY, again)
        tasks = [asyncio.ensure_future(keep(coordinator, kept))]
        tasks += [] if again else [asyncio.ensure_future(stop(coordinator))]
        at_ns = await coordinator.advance_to()
        for task in tasks:
            task.cancel()
        assert (await coordinator.end()).stopped == "seen enough"
        return coordinator.summary().events, at_ns, kept

    events, at_ns, kept = asyncio.run(stopped([]))
    assert minute(45) <= at_ns < CLOSE
    assert asyncio.run(stopped(kept)) == (events, at_ns, [])


def test_what_is_asked_of_a_session_that_does_not_run_is_not_written_down(universe: Path) -> None:
    async def whole() -> None:
        coordinator = session(universe)
        with pytest.raises(BarrayError, match="no session"):
            await coordinator.add_symbol("TSLA")
        await coordinator.begin(DAY, [])
        await coordinator.end()
        await coordinator.stop("too late")
        with pytest.raises(BarrayError):
            await coordinator.add_symbol("TSLA")
        with pytest.raises(ConfigError):
            await coordinator.add_symbol(3)  # type: ignore[arg-type]
        assert coordinator.to_keep(0) == []

    asyncio.run(whole())
