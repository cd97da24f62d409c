"""A session's days with scans are a backtest's: the same symbols, orders and fills. Without Ray."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from barray.actors.loading import load_range
from barray.actors.scan_actor import ScanActor
from barray.coordinator.config.file import as_config
from barray.coordinator.prepare import prepare_run
from barray.coordinator.scan_fleet import ScanFleet
from barray.coordinator.summary import SessionSummary
from barray.dump.validate import validate_session_dump
from barray.market.calendar import TradingCalendar
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.sample.universe import write_sample_data
from barray.trading.engine.commands import LoadRange
from barray.trading.engine.notes import Pages
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.scanned_run import ScannedOutcome, ScannedRun
from barray.trading.orders.reasons import LEFT
from barray.trading.scans.instructions import Evict
from barray.trading.scans.result import LookedAt
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.source import StrategySource
from tests.coordinator.processes import Processes
from tests.coordinator.traded import CALENDAR, TradedSession, settings_of
from tests.examples import at_most
from tests.trading.random_days import TEXTS
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller example takes minutes to find, and tells no more."""
FEW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
MINUTE = Interval.parse("1m")
DATES = {"start": "2024-07-02", "end": "2024-07-03"}


@pytest.fixture(scope="module")
def universes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Random walks of a dozen symbols, some of them broken on the last day."""
    roots = []
    for seed in range(3):
        root = tmp_path_factory.mktemp("random")
        write_sample_data(
            root, symbols=12, start=date(2024, 6, 27), end=date(2024, 7, 3), seed=seed, missing_share=0.05 * seed
        )
        roots.append(root)
    return roots


def random_scans(seed: int) -> list[dict[str, Any]]:
    """One or two scans that promote a few symbols, which change from time to time."""
    rng, scans = random.Random(seed), []
    for number in range(rng.choice((1, 2))):
        sign = rng.choice((1, -1))
        where = f"change_since_open {'>' if sign > 0 else '<'} {sign * rng.choice((0.0, 0.001, 0.003))}"
        scans.append(
            {
                "name": f"scan{number}",
                "at": {"every": rng.choice(("5m", "7m", "30m")), "since": rng.choice(("09:35", "10:02"))},
                "where": [where, *rng.choice(((), ("RSI(5)@5m > 40",)))],
                "rank": f"{'-' if sign < 0 else ''}change_since_open",
                "keep": {"top": rng.choice((3, 6))},
                "promote": {
                    "full": rng.choice((1, 2, 4)),
                    "evict": rng.choice(("rank", "never")),
                    "light": rng.choice((0, 2)),
                },
                "carry": ["SMA(3)@5m"],
            }
        )
    return scans


class Backtested:
    """The same days as a backtest has them, every symbol's columns at hand."""

    def __init__(
        self,
        told: Mapping[str, Any],
        text: str,
        base: Interval = MINUTE,
        cpus: int = 2,
        days: TradingCalendar = CALENDAR,
    ) -> None:
        self.base, self.cpus = base, cpus
        source = StrategySource("made_up.py", text)
        prepared = prepare_run(as_config(told, strategy_given=True), lambda *_: days, source)
        assert prepared.scans is not None
        self.prepared, self.scans = prepared, prepared.scans
        self.outcomes: list[ScannedOutcome] = []
        self.pages: list[Pages] = []

    def get(self, symbols: Sequence[str], row: int) -> dict[str, SymbolData | str]:
        """Columns of one session, or why there are none."""
        found: dict[str, SymbolData | str] = {}
        prepared = self.prepared
        today = prepared.session_range.at(np.array([row]))
        manager = prepared.config.data_manager.on(today.dates[0])
        for symbol, step0 in manager.validate_range(symbols, prepared.requirements, today).items():
            if not step0.result.can_proceed:
                found[symbol] = step0.result.reason
                continue
            try:
                load = LoadRange(symbol, today, manager.reader(step0), self.base, {})
                found[symbol] = load_range(load).prepare(prepared.plan.strategy())
            except BarrayError as error:
                found[symbol] = str(error)
        return found

    async def looked_at(self) -> list[LookedAt]:
        """What the scans find."""
        fleet = ScanFleet(self.scans, self.prepared.config.actors, Processes({"here": float(self.cpus)}, ScanActor))
        await fleet.start()
        found = await fleet.sessions(tuple(self.scans.session_range.rows.tolist()))
        assert all(isinstance(one, LookedAt) for one in found)
        return found  # type: ignore[return-value]

    def go(self) -> None:
        """Through all sessions."""
        prepared, span = self.prepared, self.prepared.session_range
        run = self.run = PortfolioRun(
            prepared.plan, (prepared.config.strategy and prepared.config.strategy.window) or MINUTE
        )
        run.notes.on = True
        data = {s: self.get([s], int(span.rows[0]))[s] for s in prepared.config.symbols}
        for row, seen in zip(span.rows.tolist(), asyncio.run(self.looked_at()), strict=True):
            data = {s: one for s in prepared.config.symbols if isinstance(one := self.get([s], row)[s], SymbolData)}
            run.load(span.at(span.rows[span.rows == row]), data, self.base)
            scanned = ScannedRun(run, self.scans.plans(), self.get, span, run.block, self.base, prepared.config.renames)
            run.additions.add = self.get
            self.outcomes.append(scanned.session(row, seen.found))
            self.pages.append(run.notes.take())


def sessions(told: Mapping[str, Any], text: str, folder: Path) -> list[SessionSummary]:
    """All dates, gone through as sessions; their dumps are valid."""
    session = TradedSession(told, text)

    async def days() -> list[SessionSummary]:
        found = []
        for _ in CALENDAR.between(session.config.session.start, session.config.session.end):
            await session.begin()
            await session.coordinator.advance_to()
            found.append(await session.coordinator.end())
            assert validate_session_dump((await session.dump(folder))[0]) == []
            await session.coordinator.teardown()
        return found

    return asyncio.run(days())


@settings(max_examples=at_most(10), deadline=None, suppress_health_check=FEW, phases=QUICK, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from(["on_window", "on_bar", "signals"]), st.booleans(), st.booleans())
def test_a_sessions_days_with_scans_are_a_backtests(
    universes: list[Path], tmp_path: Path, seed: int, form: str, shared: bool, alone: bool
) -> None:
    rng = random.Random(seed)
    names = sorted(path.name for path in universes[seed % 3].iterdir())
    text = HEAD + TEXTS[form].replace('r.choice(("G", "H", "NONE"))', f"r.choice({(*names[-2:], 'NONE')!r})")
    text = text.replace('"G"', repr(names[-1])).replace("view.remove_symbol(", "view.index(")
    window = rng.choice((None, "5m", "15m")) if form == "on_window" else None
    told = settings_of(
        universes[seed % 3],
        *([] if alone else rng.sample(names, 2)),
        session=DATES,
        scans=random_scans(seed),
        strategy={"parameters": {"seed": seed}, "form": form, **({"window": window} if window else {})},
        account={"capital": 5_000, "shared": shared, "flat_at_close": seed % 4 == 0},
        costs={"commission": {"per_share": 0.01}, "volume_share": 0.1},
    )
    found = sessions(told, text, tmp_path)
    backtest = Backtested(told, text)
    backtest.go()
    for summary, outcome, pages in zip(found, backtest.outcomes, backtest.pages, strict=True):
        assert summary.scanned is not None
        assert summary.scanned.instructions == outcome.followed.instructions
        assert summary.scanned.kept == outcome.followed.kept
        assert (summary.trading.pages if summary.trading else Pages()) == pages
        by_scans = [
            (event.at_ns, event.action, event.symbol, event.accepted)
            for event in summary.events
            if event.action in ("add_symbol", "remove_symbol") and event.by == "scanner"
        ]
        told_of = [
            (event.at_ns, event.action, event.symbol, event.accepted)
            for event in outcome.events.lines
            if event.by == "scanner"
        ]
        assert [one for one in by_scans if one in told_of] == told_of
        require_nobody_was_evicted_with_an_order(outcome, summary)


def require_nobody_was_evicted_with_an_order(outcome: ScannedOutcome, summary: SessionSummary) -> None:
    """No order ends, and no position is closed, because a symbol left by a scan."""
    evicted: dict[str, list[int]] = {}
    for event in outcome.events.lines:
        if event.by == "scanner" and event.action == "remove_symbol":
            evicted.setdefault(event.symbol, []).append(event.at_ns)
    assert LEFT.code not in {outcome.orders.code.names[code] for code in outcome.orders.code.codes.tolist()}
    assert summary.scanned is not None
    for step in summary.scanned.steps:
        assert not {one.symbol for one in step.instructions if isinstance(one, Evict)}.intersection(step.pinned)
    for fill in summary.trading.pages.fills if summary.trading else ():
        assert not (fill.at_close and fill.at_ns in evicted.get(fill.symbol, ())), fill


KEEPS = (
    HEAD
    + """
class Keeps(Strategy):
    def on_window(self, view):
        self.seen = getattr(self, "seen", 0) + 1
        for symbol in view.symbols:
            if view.minute == 60 and not view.positions.get(symbol):
                view.order(symbol, 1 + self.seen % 7)
"""
)


def test_a_day_goes_on_from_what_another_process_held_over_the_night(universes: list[Path], tmp_path: Path) -> None:
    scan = {
        "at": {"every": "30m", "since": "10:00"},
        "where": "change_since_open > -1",
        "rank": "change_since_open",
        "promote": {"full": 2, "evict": "rank"},
    }
    told = settings_of(universes[0], session=DATES, scans=[scan], account={"shared": True})
    whole = sessions(told, KEEPS, tmp_path)
    held = [event for event in whole[1].events if event.by == "strategy" and event.action == "add_symbol"]
    assert held

    async def begun_anew() -> SessionSummary:
        first = TradedSession(told, KEEPS)
        await first.begin()
        await first.coordinator.advance_to()
        await first.coordinator.end()
        state = first.coordinator.carried()
        assert isinstance(state, bytes)
        await first.coordinator.teardown()
        second = TradedSession({**told, "session": {"start": DATES["end"]}}, KEEPS)
        second.coordinator.carry(state)
        await second.begin()
        await second.coordinator.advance_to()
        return await second.coordinator.end()

    again = asyncio.run(begun_anew())
    assert again.events == whole[1].events
    assert again.trading is not None
    assert whole[1].trading is not None
    assert again.trading.pages == whole[1].trading.pages
