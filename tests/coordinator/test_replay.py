"""Whole replayed sessions, with the real coordinator and symbols but no Ray: how time passes there."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barray.coordinator import messages as ask
from barray.coordinator.config.file import as_config
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.coordinator.summary import SessionEvent
from barray.market.commands import Load
from barray.market.errors import ConfigError, IllegalTransition, ValidationFailed
from barray.market.symbol_data import SymbolSessionData
from tests.coordinator.processes import Processes
from tests.examples import at_most
from tests.market.builders import MINUTE_NS, assert_same_snapshot, calendar, flat, utc_ns
from tests.sessions import config

pytestmark = pytest.mark.long
OPEN, CLOSE = utc_ns("2024-07-02T13:30"), utc_ns("2024-07-02T20:00")
CALENDAR = calendar("XNYS", date(2024, 6, 20), date(2024, 7, 8))


def replay(universe: Path, *symbols: str, **changes: Any) -> tuple[SessionCoordinator, Processes]:
    """A session of 2024-07-02."""
    processes = Processes()
    settings = as_config(config(universe, *symbols, session={"start": "2024-07-02"}, **changes))
    return SessionCoordinator(settings, CALENDAR, processes), processes


def test_a_replayed_day_survives_lost_processes_bar_for_bar(universe: Path) -> None:
    async def day(*, troubled: bool) -> list[SymbolSessionData]:
        coordinator, processes = replay(universe, "AAPL", "MSFT", schedule=[{"at": "12:00", "add_symbol": "TSLA"}])
        await coordinator.begin()
        await coordinator.advance_to(utc_ns("2024-07-02T15:00"))
        for process, fate in zip(processes.alive, ("dies", "hangs"), strict=True):
            process.fate = fate if troubled else ""
        await coordinator.advance_to()
        await coordinator.end()
        assert len(processes.started) == (5 if troubled else 3)
        return await coordinator.snapshots()

    for left, right in zip(asyncio.run(day(troubled=False)), asyncio.run(day(troubled=True)), strict=True):
        assert_same_snapshot(left, right)


def test_a_replay_stops_at_windows_and_at_what_is_scheduled_and_nowhere_else(universe: Path) -> None:
    """Every process is asked for a sign of life wherever time stops, if it is to be asked that often."""
    schedule = [{"at": "10:00", "add_symbol": "MSFT"}]
    coordinator, processes = replay(
        universe, "AAPL", run={"window": "2h"}, schedule=schedule, actors={"heartbeat_s": 0}
    )

    async def day() -> None:
        await coordinator.begin()
        processes.side_by_side.clear()
        with pytest.raises(ConfigError, match="after the session's close"):
            await coordinator.advance_to(utc_ns("2024-07-02T20:01"))
        await coordinator.advance_to(utc_ns("2024-07-02T18:00"))
        assert processes.side_by_side == [1, 1, 1, 2, 2, 2], "10:00; MSFT's process, its load; 11:30, 13:30, 14:00"
        with pytest.raises(IllegalTransition, match="cannot go back to 2024-07-02T17:59:00Z"):
            await coordinator.advance_to(utc_ns("2024-07-02T17:59"))
        await coordinator.end()
        with pytest.raises(IllegalTransition, match="it is ended"):
            await coordinator.advance_to()

    asyncio.run(day())


def minute(count: int) -> int:
    return OPEN + count * MINUTE_NS


def test_passing_time_calls_no_process(universe: Path) -> None:
    coordinator, processes = replay(universe, "AAPL", "MSFT", run={"window": "1m"})

    async def day() -> None:
        await coordinator.begin()
        processes.side_by_side.clear()
        await coordinator.advance_to()
        assert processes.side_by_side == []
        assert [type(command) for process in processes.alive for _, command in process.told] == [Load, Load]
        await coordinator.end()
        assert processes.side_by_side == [2], "one sign of life"
        assert [len(data.bars["1m"]) for data in await coordinator.snapshots()] == [3 * 390] * 2

    asyncio.run(day())


def test_others_get_their_turn_while_time_passes(universe: Path) -> None:
    coordinator, _ = replay(universe, "AAPL", run={"window": "1m"})

    async def day() -> None:
        await coordinator.begin()
        running = asyncio.ensure_future(coordinator.advance_to())
        while coordinator.summary().now_ns < minute(5):
            await asyncio.sleep(0)
        assert await coordinator.add_symbol("MSFT")
        added_ns = coordinator.summary().events[0].at_ns
        assert minute(5) <= added_ns < CLOSE
        await coordinator.end()
        assert added_ns <= await running < CLOSE

    asyncio.run(day())


@pytest.mark.parametrize("fate", ["dies", "hangs"])
def test_a_lost_process_is_noticed_though_time_alone_passes(universe: Path, fate: str) -> None:
    coordinator, processes = replay(universe, "AAPL", run={"window": "1m"}, actors={"heartbeat_s": 0.02})

    async def day() -> None:
        await coordinator.begin()
        processes.started[0].fate = fate
        await coordinator.advance_to(minute(1))
        assert len(processes.started) == 1, "it has just been heard"
        await asyncio.sleep(0.03)
        await coordinator.advance_to(minute(2))
        assert [process.alive for process in processes.started] == [False, True]
        assert (await coordinator.snapshot("AAPL")).now_ns == minute(2)

    asyncio.run(day())


def test_a_symbol_lost_for_good_while_time_passes_is_dropped_and_where_none_is_left_the_run_ends(
    universe: Path,
) -> None:
    coordinator, processes = replay(universe, "AAPL", "MSFT", actors={"heartbeat_s": 0, "max_restarts": 0})

    async def day() -> None:
        await coordinator.begin()
        processes.started[0].fate = "dies"
        await coordinator.advance_to(minute(1))
        summary = coordinator.summary()
        assert {symbol: [r.code for r in why] for symbol, why in summary.dropped.items()} == {"AAPL": ["actor_failed"]}
        assert [(event.action, event.symbol, event.at_ns) for event in summary.events] == [("drop", "AAPL", OPEN)]
        processes.started[1].fate = "dies"
        with pytest.raises(ValidationFailed, match="its process was lost"):
            await coordinator.end()

    asyncio.run(day())


def steps() -> st.SearchStrategy[list[tuple[int, Any]]]:
    """Minutes that pass, and what is done then: something asked, a snapshot taken (a symbol's name), processes lost."""
    symbols = st.sampled_from(["AAPL", "MSFT", "QQQ"])
    request = st.one_of(
        st.builds(ask.AddSymbol, symbols),
        st.builds(ask.RemoveSymbol, symbols),
        st.builds(ask.AddIndicator, symbols, st.sampled_from(["SMA(3)@1m", "RSI(5)@15m"])),
        st.builds(lambda s, at: ask.AddBar(s, "1m", flat(minute(at))), symbols, st.integers(0, 390)),
    )
    return st.lists(st.tuples(st.integers(0, 60), st.one_of(request, symbols, st.just("lost"))), min_size=1, max_size=8)


Seen = tuple[list[SymbolSessionData], tuple[SessionEvent, ...]]


async def play(universe: Path, steps: list[tuple[int, Any]], *, looked_at: bool) -> Seen:
    """All snapshots that are taken, and the events. `looked_at`: at all, every quarter of an hour; none is lost."""
    schedule = [{"at": "11:11", "add_symbol": "NVDA"}]
    coordinator, processes = replay(universe, "AAPL", "SPY", schedule=schedule, actors={"max_restarts": 100})
    await coordinator.begin()
    now, seen = 0, []
    for passing, what in [*steps, (390, "AAPL")]:
        until = min(now + passing, 390)
        for stop in range(now + 15, until, 15) if looked_at else ():
            await coordinator.advance_to(minute(stop))
            await coordinator.snapshots()
        await coordinator.advance_to(minute(until))
        now = until
        if not isinstance(what, str):
            await coordinator.change(what)
        elif what in coordinator.symbols():
            seen.append(await coordinator.snapshot(what))
            assert seen[-1].now_ns == minute(now)
        elif what == "lost" and not looked_at:
            for process in processes.alive:
                process.fate = "dies"
    await coordinator.end()
    seen += await coordinator.snapshots()
    return seen, coordinator.summary().events


@settings(deadline=None, max_examples=at_most(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps())
def test_however_time_commands_snapshots_and_losses_mingle_all_is_as_if_every_window_had_been_looked_at(
    universe: Path, steps: list[tuple[int, Any]]
) -> None:
    (seen, events), (expected, noted) = (asyncio.run(play(universe, steps, looked_at=one)) for one in (False, True))
    assert events == noted
    assert [data.symbol for data in seen] == [data.symbol for data in expected]
    for left, right in zip(seen, expected, strict=True):
        assert_same_snapshot(left, right)
        assert all((series.end_ns <= left.now_ns).all() for series in left.bars.values())
