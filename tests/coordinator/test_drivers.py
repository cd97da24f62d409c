"""Whole live sessions, with the real coordinator and symbols but neither Ray nor a network.

Time jumps as soon as all that is due has come; a day takes a second or two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barray.coordinator.config.file import as_config
from barray.coordinator.messages import AddIndicator, AddSymbol
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.market.bars import Bars
from barray.market.commands import AppendBars, Load
from barray.market.errors import ConfigError
from barray.market.symbol_data import SymbolSessionData
from tests.coordinator.processes import Processes
from tests.coordinator.vendor import Vendor
from tests.market.builders import MINUTE_NS, calendar, context_for, require, session_walk

pytestmark = pytest.mark.long
DAY = date(2024, 7, 3)  # a half day: 210 minutes
CONTEXT = context_for(require("1m", trailing_days=1), DAY)
OPEN, CLOSE = CONTEXT.open_ns, CONTEXT.close_ns
CALENDAR = calendar("XNYS", date(2024, 6, 20), date(2024, 7, 8))
TRUTH = {symbol: session_walk(CONTEXT, seed) for seed, symbol in enumerate(("AAPL", "MSFT", "SPY"))}


def minute(count: int) -> int:
    return OPEN + count * MINUTE_NS


def minutes(first: int, end: int) -> set[int]:
    return set(map(minute, range(first, end)))


class Live:
    """A live session of AAPL and MSFT, begun `begun` minutes after the open (or before)."""

    def __init__(self, folder: Path, begun: int = -1, **changes: Any) -> None:
        practice = {"origin": time.time(), "jumps": str(folder / "jumps")}
        start = np.datetime_as_string(np.datetime64(minute(begun), "ns"), unit="s")
        live = {"grace_s": 0, "close_s": 0, "stale_s": 150, **changes.pop("live", {})}
        settings = {
            "name": "live",
            "session": {"mode": "live", "start": str(DAY)},
            "symbols": ["AAPL", "MSFT"],
            "intervals": ["1m", "5m"],
            "sources": [{"type": "alpaca", "store": str(folder / "store")}],
            "live": {**live, "practice": {"start": f"{start}Z", **practice}},
        }
        config = as_config({**settings, **changes})
        self.clock = config.live.clock
        self.processes = Processes()
        self.vendor = Vendor(TRUTH, self.clock, minute(max(begun, 0)))
        self.coordinator = SessionCoordinator(config, CALENDAR, self.processes, self.vendor)

    async def to(self, count: int | None = None) -> dict[str, Any]:
        """Let it run until so many minutes after the open, or the close; how the stream fares then."""
        reached = await self.coordinator.advance_to(None if count is None else minute(count))
        assert reached == (CLOSE if count is None else minute(count))
        return self.coordinator.status()["live"]

    async def bars(self, symbol: str) -> Bars:
        """Those of the session that are visible."""
        held = (await self.coordinator.snapshot(symbol)).bars["1m"].bars
        return held.take(held.start_ns >= OPEN)

    async def is_true(self, *symbols: str, until: int | None = None) -> bool:
        """Whether every bar up to then is there, as it was."""
        end_ns = CLOSE if until is None else minute(until)
        for symbol in symbols or ("AAPL", "MSFT"):
            own = TRUTH[symbol]
            expected = own.take((own.start_ns >= OPEN) & (own.start_ns < end_ns))
            held = await self.bars(symbol)
            if not held.take(held.start_ns < end_ns).equals(expected):
                return False
        return True

    def noted(self) -> list[tuple[str, bool, int]]:
        """The stream's events, with the minute they were noted at."""
        events = self.coordinator.summary().events
        return [(e.reason, e.accepted, (e.at_ns - OPEN) // MINUTE_NS) for e in events if e.action == "stream"]


def run(live: Live, play: Callable[[Live], Awaitable[None]]) -> None:
    async def whole() -> None:
        await live.coordinator.begin()
        await play(live)
        await live.coordinator.end()
        await live.coordinator.teardown(final=True)
        assert live.processes.alive == []

    asyncio.run(whole())


def test_a_day_on_which_all_goes_well_is_the_day_as_it_was(tmp_path: Path) -> None:
    async def play(live: Live) -> None:
        counts = await live.to(30)
        assert await live.is_true(until=30)
        assert (counts["bars"], counts["gaps"], counts["late"]) == (60, 0, 0)
        counts = await live.to()
        assert await live.is_true()
        assert (counts["late"], counts["replaced"], counts["gaps"], counts["refused"]) == (0, 0, 0, 0)
        assert live.noted() == []

    run(Live(tmp_path), play)


def test_late_doubled_and_corrected_bars_are_where_they_belong_a_minute_later(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.vendor.mishap = lambda symbol, start: {5: "late", 7: "twice", 9: "wrong"}.get((start - OPEN) // MINUTE_NS, "")

    async def play(live: Live) -> None:
        await live.to(6)
        assert len(await live.bars("AAPL")) == 5
        assert await live.is_true(until=5)
        counts = await live.to(7)
        assert await live.is_true(until=7)
        assert counts["late"] == 2
        await live.to(10)
        held = await live.bars("AAPL")
        assert held.volume[9] == TRUTH["AAPL"].take(TRUTH["AAPL"].start_ns == minute(9)).volume[0] + 1
        counts = await live.to(11)
        assert await live.is_true(until=11)
        assert counts["replaced"] == 2

    run(live, play)


def test_after_a_cut_the_gap_is_filled_while_the_session_runs(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.vendor.cut = minutes(20, 24)

    async def play(live: Live) -> None:
        counts = await live.to(24)
        assert not counts["connected"]
        counts = await live.to(28)
        assert (counts["connected"], counts["connections"], counts["gaps"]) == (True, 2, 1)
        assert await live.is_true(until=28)
        asked = len(live.vendor.asked)
        await live.to(60)
        assert len(live.vendor.asked) == asked, "whole again, nothing more is asked"

    run(live, play)


def test_a_cut_while_history_is_down_is_filled_once_it_is_up_again(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.vendor.cut, live.vendor.down = minutes(20, 24), minutes(20, 40)

    async def play(live: Live) -> None:
        await live.to(39)
        assert not await live.is_true(until=39)
        await live.to(42)
        assert await live.is_true(until=42)

    run(live, play)


def test_what_the_stream_loses_unnoticed_is_had_at_the_close(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.vendor.mishap = lambda symbol, start: "lost" if (symbol, start) == ("MSFT", minute(50)) else ""

    async def play(live: Live) -> None:
        await live.to(209)
        assert len(await live.bars("MSFT")) == 208
        await live.to()
        assert await live.is_true()

    run(live, play)


def test_a_silence_is_noted_and_history_asked_until_bars_come_again(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.vendor.mute = minutes(30, 50)

    async def play(live: Live) -> None:
        counts = await live.to(45)
        assert counts["stale"]
        assert await live.is_true(until=44)
        counts = await live.to(60)
        assert not counts["stale"]
        assert await live.is_true(until=60)
        [(said, fell, at), (again, came, back)] = live.noted()
        assert said == "no bars for 180 s"
        assert (again, fell, came, at, back) == ("bars come again", False, True, 33, 51)

    run(live, play)


def test_a_gateway_that_goes_is_listened_to_anew_and_nothing_is_missed(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.vendor.gone, live.vendor.mute = {minute(25)}, {minute(25)}

    async def play(live: Live) -> None:
        await live.to(29)
        assert live.vendor.wanted == {"AAPL", "MSFT"}
        assert await live.is_true(until=29)

    run(live, play)


def test_a_symbol_added_during_the_day_has_all_of_it(tmp_path: Path) -> None:
    live = Live(tmp_path, schedule=[{"at": "10:10", "add_symbol": "SPY"}])

    async def play(live: Live) -> None:
        await live.to(39)
        assert live.vendor.wanted == {"AAPL", "MSFT"}
        await live.to(45)
        assert "SPY" in live.vendor.wanted
        assert await live.is_true("AAPL", "SPY", until=45)
        asked = len(live.vendor.asked)
        assert not (await live.coordinator.change(AddSymbol("NOPE"))).accepted
        await live.to(50)
        assert len(live.vendor.asked) == asked, "what did not join leaves no gap"
        assert await live.is_true("AAPL", "MSFT", "SPY", until=50)

    run(live, play)


def test_begun_in_the_middle_it_has_the_session_so_far_and_goes_on(tmp_path: Path) -> None:
    async def play(live: Live) -> None:
        begun: SymbolSessionData = await live.coordinator.snapshot("AAPL")
        assert begun.now_ns == minute(60)
        assert begun.added_mid_session
        assert await live.is_true(until=60)
        await live.to(70)
        assert await live.is_true(until=70)

    run(Live(tmp_path, begun=60), play)


def test_a_session_that_is_over_is_refused_one_that_is_about_to_be_is_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="closed at 2024-07-03T17:00:00Z"):
        asyncio.run(Live(tmp_path, begun=210).coordinator.begin())

    async def play(live: Live) -> None:
        await live.to()
        assert await live.is_true()

    run(Live(tmp_path / "again", begun=209), play)


def test_a_process_lost_on_a_live_day_comes_back_with_every_bar(tmp_path: Path) -> None:
    async def play(live: Live) -> None:
        await live.to(20)
        await live.coordinator.change(AddIndicator("AAPL", "SMA(3)@1m"))
        for process in live.processes.alive:
            process.fate = "dies"
        await live.to(22)
        assert await live.is_true(until=22)
        data = await live.coordinator.snapshot("AAPL")
        closes = TRUTH["AAPL"].take(TRUTH["AAPL"].start_ns < minute(22)).close[-3:]
        assert data.indicators["SMA(3)@1m"].values["real"][-1] == pytest.approx(closes.mean())
        assert len(live.processes.started) == 4

    run(Live(tmp_path), play)


def test_a_minute_is_one_call_a_process_and_none_where_no_bar_came(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.vendor.mishap = lambda symbol, start: "lost" if (symbol, start) == ("MSFT", minute(5)) else ""

    async def play(live: Live) -> None:
        live.processes.side_by_side.clear()
        await live.to(10)
        assert live.processes.side_by_side == [2, 2, 2, 2, 2, 1, 2, 2, 2, 2]
        told = [command for process in live.processes.alive for _, command in process.told]
        assert {type(command) for command in told} == {Load, AppendBars}

    run(live, play)


def test_ended_from_elsewhere_a_run_stops_where_it_is(tmp_path: Path) -> None:
    live = Live(tmp_path)

    async def play() -> None:
        await live.coordinator.begin()
        running = asyncio.ensure_future(live.coordinator.advance_to())
        while live.coordinator.summary().now_ns < minute(5):
            await asyncio.sleep(0)
        await live.coordinator.end()
        reached = await running
        assert minute(5) <= reached < CLOSE
        assert live.clock.now_ns() < CLOSE, "nobody waits for the rest"
        assert await live.is_true(until=(reached - OPEN) // MINUTE_NS)
        await live.coordinator.teardown()
        assert live.vendor.hung_up
        assert live.coordinator.status()["live"] is None

    asyncio.run(play())
