"""A strategy in a session: a backtest's orders and fills, whatever dies on the way, and all of it in the dump."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barray.actors.loading import load_range
from barray.coordinator import fleet
from barray.coordinator.prepare import prepare_run
from barray.coordinator.summary import SessionSummary
from barray.dump.read import read_dump
from barray.dump.validate import validate_session_dump
from barray.market.interval import Interval
from barray.market.known_table import tables_of
from barray.trading.engine.commands import LoadRange
from barray.trading.engine.notes import Pages
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.results.logs import Logs
from barray.trading.strategy.source import StrategySource
from tests.coordinator.traded import CALENDAR, TradedSession, run_day, settings_of
from tests.examples import at_most
from tests.market.builders import utc_ns
from tests.trading.random_days import TEXTS
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
FEW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
ADDS = """
class Adds(Strategy):
    def indicators(self):
        return {"rsi": "RSI(5)"}
    def on_window(self, view):
        if view.minute == 30: print(bool(view.add_symbol("TSLA")), view.add_symbol("NOPE").reason)
        if view.minute == 31: print(*view.symbols); view.order("TSLA", 5)
        if view.minute == 40: print(view.add_adhoc_indicator("TSLA", "SMA(3)@5m").accepted)
        if view.minute == 60: print(round(float(view.indicators["SMA(3)@5m"][view.index("TSLA")]), 6))
        if view.minute == 90: view.remove_symbol("TSLA")
        if view.minute == 100: view.order("AAPL", 3, stop_loss=1.0, tag="last")
"""


def backtested(config: dict[str, Any], text: str) -> tuple[Pages, Logs]:
    """The same day in a backtest's way: what was decided in it, and said."""
    run = prepare_run(TradedSession(config, text).config, lambda *_: CALENDAR, StrategySource("made_up.py", text))
    base = Interval.parse("1m")
    reader, days = run.config.data_manager.sources[0], run.session_range
    loaded = {
        symbol: load_range(LoadRange(symbol, days, reader, base, {}, tables=tables_of(run.tables, symbol, days)))
        for symbol in run.config.symbols
    }
    data = {symbol: one.prepare(run.plan.strategy()) for symbol, one in loaded.items()}
    window = run.config.strategy.window if run.config.strategy else None
    portfolio = PortfolioRun(run.plan, window or base, noted=True)
    portfolio.load(run.session_range, data, base)
    outcome = portfolio.session(int(run.session_range.rows[0]))
    return portfolio.notes.take(), outcome.logs


@settings(max_examples=at_most(12), deadline=None, suppress_health_check=FEW)
@given(st.integers(0, 1000), st.sampled_from(["on_window", "on_bar", "signals"]), st.booleans(), st.booleans())
def test_a_sessions_day_is_a_backtests_day(universe: Path, seed: int, form: str, shared: bool, coarse: bool) -> None:
    text = HEAD + TEXTS[form].replace('view.add_symbol(r.choice(("G", "H", "NONE")))', "pass")
    config = settings_of(
        universe,
        "AAPL",
        "MSFT",
        strategy={"parameters": {"seed": seed}, "form": form, **({"window": "15m"} if coarse else {})},
        account={"capital": 5_000, "shared": shared, "flat_at_close": seed % 2 == 0},
        costs={"commission": {"per_share": 0.01}, "volume_share": 0.1},
        run={"window": "7m"},
    )
    summary, _ = run_day(config, text)
    expected, _ = backtested(config, text)
    assert summary.trading is not None
    assert summary.trading.pages == expected
    assert expected.fills


def test_what_the_strategy_adds_goes_through_the_session_and_stands_in_the_dump(universe: Path, tmp_path: Path) -> None:
    session = TradedSession(settings_of(universe, "AAPL", account={"shared": True}), HEAD + ADDS)

    async def day() -> list[Path]:
        await session.begin()
        await session.coordinator.advance_to(utc_ns("2024-07-02T14:30"))
        half = await session.dump(tmp_path / "half", ("json", "parquet", "csv"))
        await session.coordinator.advance_to()
        await session.coordinator.end()
        return [*half, *await session.dump(tmp_path, ("json", "parquet", "csv"))]

    for path in asyncio.run(day()):
        assert validate_session_dump(path) == []
    summary = session.coordinator.summary()
    assert [(e.action, e.symbol, e.by, e.accepted, e.at_ns) for e in summary.events] == [
        ("add_symbol", "TSLA", "strategy", True, utc_ns("2024-07-02T14:00")),
        ("add_symbol", "NOPE", "strategy", False, utc_ns("2024-07-02T14:00")),
        ("add_indicator", "TSLA", "strategy", True, utc_ns("2024-07-02T14:10")),
        ("remove_symbol", "TSLA", "strategy", True, utc_ns("2024-07-02T15:00")),
    ]
    trading = summary.trading
    assert trading is not None
    assert [line.text for line in trading.logs.lines][1:3] == ["AAPL TSLA", "True"]
    assert [(f.symbol, f.quantity) for f in trading.pages.fills] == [("TSLA", 5.0), ("TSLA", -5.0), ("AAPL", 3.0)]
    assert trading.positions == {"AAPL": 3.0}
    assert list(trading.gone) == ["TSLA"]
    read = read_dump(tmp_path / "traded-2024-07-02.json").summary
    assert read is not None
    assert read.trading is not None
    assert (read.trading.pages, read.trading.opening, read.trading.logs) == (
        trading.pages,
        trading.opening,
        trading.logs,
    )


def test_an_adhoc_symbol_becomes_full_by_the_strategys_wish(universe: Path) -> None:
    schedule = [{"at": "09:45", "add_indicator": {"symbol": "TSLA", "indicator": "SMA(2)@1m"}}]
    summary, snapshots = run_day(
        settings_of(universe, "AAPL", schedule=schedule),
        HEAD + ADDS.split("        if view.minute == 90", maxsplit=1)[0],
    )
    assert [(e.action, e.symbol, e.by) for e in summary.events][:2] == [
        ("add_indicator", "TSLA", "scanner"),
        ("add_symbol", "TSLA", "strategy"),
    ]
    tsla = next(one for one in snapshots if one.symbol == "TSLA")
    assert (tsla.upgraded_from_adhoc, tsla.added_by) == (True, "strategy")


def test_what_the_schedule_does_at_a_windows_end_the_strategy_sees_there(universe: Path, tmp_path: Path) -> None:
    text = """
class Looks(Strategy):
    def on_window(self, view):
        print(view.minute, *view.symbols)
        if view.minute == 2: view.order("AAPL", 2), view.order("MSFT", 3)
        if view.minute == 16: view.order("TSLA", 4)
"""
    schedule = [{"at": "09:45", "add_symbol": "TSLA"}, {"at": "10:00", "remove_symbol": "AAPL"}]
    session = TradedSession(settings_of(universe, "AAPL", "MSFT", schedule=schedule), HEAD + text)

    async def day() -> Path:
        await session.begin()
        await session.coordinator.advance_to()
        await session.coordinator.end()
        return (await session.dump(tmp_path))[0]

    assert validate_session_dump(asyncio.run(day())) == []
    trading = session.coordinator.summary().trading
    assert trading is not None
    said = [line.text for line in trading.logs.lines]
    assert said[13:15] == ["14 AAPL MSFT", "15 AAPL MSFT TSLA"]
    assert said[28:30] == ["29 AAPL MSFT TSLA", "30 MSFT TSLA"]
    assert [(f.symbol, f.quantity, f.at_close) for f in trading.pages.fills] == [
        ("AAPL", 2.0, False),
        ("MSFT", 3.0, False),
        ("TSLA", 4.0, False),
    ]
    assert trading.positions == {"AAPL": 2.0, "MSFT": 3.0, "TSLA": 4.0}, "of one that was removed it is valued on"


def test_what_is_held_of_an_added_symbol_is_kept_over_the_close_and_the_symbol_is_full_at_the_next_open(
    universe: Path, tmp_path: Path
) -> None:
    text = """
class Holds(Strategy):
    def on_window(self, view):
        if view.minute == 16 and view.session_date.day == 1: view.order("TSLA", 4); view.order("NVDA", 1, limit=1.0)
        if view.minute == 5 and view.session_date.day == 2: print(*view.symbols); view.order("TSLA", -4)
"""
    schedule = [{"at": "09:45", "day": "2024-07-01", "add_symbol": symbol} for symbol in ("TSLA", "NVDA")]
    dates = {"start": "2024-07-01", "end": "2024-07-03"}
    session = TradedSession(settings_of(universe, "AAPL", schedule=schedule, session=dates), HEAD + text)

    async def days() -> list[Path]:
        paths = []
        for _ in range(3):
            await session.begin()
            await session.coordinator.advance_to()
            await session.coordinator.end()
            found.append((session.coordinator.symbols(), session.coordinator.summary()))
            paths += await session.dump(tmp_path)
            await session.coordinator.teardown()
        return paths

    found: list[tuple[list[str], SessionSummary]] = []
    for path in asyncio.run(days()):
        assert validate_session_dump(path) == []
    assert [symbols for symbols, _ in found] == [["AAPL", "NVDA", "TSLA"], ["AAPL", "TSLA"], ["AAPL"]]
    first, second, _ = (summary for _, summary in found)
    assert first.trading is not None
    assert second.trading is not None
    assert first.trading.positions == {"TSLA": 4.0}
    assert second.trading.positions == {}
    assert [line.text for line in second.trading.logs.lines] == ["AAPL TSLA"]
    assert [(e.at_ns, e.action, e.symbol, e.by) for e in second.events] == [
        (second.open_ns, "add_symbol", "TSLA", "strategy")
    ]


@settings(max_examples=at_most(8), deadline=None, suppress_health_check=FEW)
@given(st.integers(0, 1000), st.sampled_from(["on_window", "on_bar"]))
def test_whatever_process_is_lost_the_dump_is_the_same(universe: Path, tmp_path: Path, seed: int, form: str) -> None:
    text = HEAD + TEXTS[form].replace('"G", "H", "NONE"', '"TSLA", "NVDA", "NOPE"').replace('"G"', '"TSLA"')
    schedule = [{"at": "11:00", "add_symbol": "SPY"}, {"at": "13:00", "remove_symbol": "MSFT"}]
    config = settings_of(
        universe,
        "AAPL",
        "MSFT",
        schedule=schedule,
        strategy={"parameters": {"seed": seed}, "window": "5m"},
        account={"capital": 20_000, "shared": True},
        run={"window": "20m"},
    )

    def dumped(name: str, *, troubled: bool) -> bytes:
        session, chance = TradedSession(config, text), random.Random(seed)

        async def day() -> Path:
            await session.begin()
            for moment in ("15:00", "16:17", "18:00", "20:00"):
                await session.coordinator.advance_to(utc_ns(f"2024-07-02T{moment}"))
                for process in (*session.symbols.alive, *session.traders.alive) if troubled else ():
                    process.fate = chance.choice(("dies", "loses", ""))
            await session.coordinator.end()
            return (await session.dump(tmp_path / name))[0]

        path = asyncio.run(day())
        assert validate_session_dump(path) == []
        return path.read_bytes()

    assert dumped("troubled", troubled=True) == dumped("whole", troubled=False)


def test_a_trader_goes_on_elsewhere_before_its_node_goes(
    universe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_TEND_S", -1.0)
    config = settings_of(universe, "AAPL", "MSFT", actors={"max_restarts": 0}, run={"window": "20m"})

    def dumped(name: str, *, leaves: bool) -> tuple[bytes, list[str]]:
        session = TradedSession(config, HEAD + TEXTS["on_bar"])

        async def day() -> Path:
            await session.begin()
            await session.coordinator.advance_to(utc_ns("2024-07-02T16:00"))
            session.traders.cpus = {"other": 1.0}
            session.traders.leaving = {"here"} if leaves else set()
            await session.coordinator.advance_to(utc_ns("2024-07-02T18:00"))
            assert [process.node for process in session.traders.alive] == ["other" if leaves else "here"]
            await session.coordinator.end()
            return (await session.dump(tmp_path / name))[0]

        return asyncio.run(day()).read_bytes(), [process.node for process in session.traders.started]

    (left, nodes), (stayed, _) = dumped("left", leaves=True), dumped("stayed", leaves=False)
    assert nodes == ["here", "other"]
    assert left == stayed


@pytest.mark.parametrize("form", ["on_window", "on_bar"])
def test_a_strategy_that_raises_or_hangs_ends_and_the_session_goes_on(
    universe: Path, tmp_path: Path, form: str
) -> None:
    seen = "view" if form == "on_window" else "ctx"
    for does, told in (("raise KeyError('lost')", "KeyError: 'lost'"), ("while True: pass", "did not come back")):
        text = f"""
class Breaks(Strategy):
    def {form}(self, {seen}):
        if {seen}.minute == 3: {seen}.order({"'AAPL', " if form == "on_window" else ""}2)
        if {seen}.minute == 7:
            {does}
"""
        session = TradedSession(settings_of(universe, "AAPL", actors={"call_timeout_s": 0.5}), HEAD + text)

        async def day(session: TradedSession = session) -> Path:
            await session.begin()
            await session.coordinator.advance_to()
            await session.coordinator.end()
            return (await session.dump(tmp_path))[0]

        assert validate_session_dump(asyncio.run(day())) == []
        trading = session.coordinator.summary().trading
        assert trading is not None
        assert told in (trading.error or trading.errors["AAPL"])
        assert trading.positions == {"AAPL": 2.0}


OWN = """
import numpy as np
import talib
from barray import indicator

@indicator(bars=lambda n: 7 * n)
def smooth(close, *, n=20):
    return talib.EMA(close, n)

@indicator(bars=3, outputs=("low", "high"))
def span(low, high):
    return talib.MIN(low, 4), talib.MAX(high, 4)

class Owns(Strategy):
    n: int = 20
    def indicators(self):
        return {"smooth": smooth(n=self.n) @ "5m", "span": span, "rsi": "RSI(5)"}
"""
SCORES = """symbol,known_at,score
AAPL,2024-06-28T13:30:00Z,0.01
AAPL,2024-07-02T15:00:00Z,0.3
MSFT,2024-07-01T13:30:00Z,-0.02
"""
LOOKS = {
    "on_window": """
    def on_window(self, view):
        values, score = view.indicators["smooth"], view.table("scores", "score")
        for k, symbol in enumerate(view.symbols):
            print(symbol, values[k], view.indicators["span.high"][k], score[k])
            view.order_target(symbol, 3 if view.close[k] > values[k] + score[k] else 0)
""",
    "on_bar": """
    def on_bar(self, ctx):
        value, score = ctx.indicators["smooth"][-1], ctx.table("scores", "score")
        print(ctx.symbol, value, ctx.indicators["span.high"][-1], score)
        ctx.order_target(3 if ctx.close[-1] > value + score else 0)
""",
    "signals": """
    def signals(self, data):
        value, score = data.indicators["span.high"], data.table("scores", "score")
        low = data.indicators["span"] + 0.1 + 0 * data.indicators["rsi"]
        return Signals(entries=data.close > value - score, exits=data.close < low)
""",
}


@settings(max_examples=at_most(6), deadline=None, suppress_health_check=FEW)
@given(st.sampled_from([5, 20, 40]), st.sampled_from(list(LOOKS)))
def test_own_indicators_and_tables_say_in_a_session_what_they_say_in_a_backtest(
    universe: Path, tmp_path: Path, n: int, form: str
) -> None:
    rows = [
        "symbol,known_at,score",
        "AAPL,2024-06-28T13:30:00Z,0.01",
        "AAPL,2024-07-02T15:00:00Z,0.3",
        "MSFT,2024-07-01T13:30:00Z,-0.02",
    ]
    (tmp_path / "scores.csv").write_text("\n".join(rows))
    tables = {"scores": {"path": str(tmp_path / "scores.csv")}}
    config = settings_of(universe, "AAPL", "MSFT", tables=tables, strategy={"parameters": {"n": n}, "form": form})
    text = HEAD + OWN + LOOKS[form]
    session = TradedSession(config, text)

    async def day() -> Path:
        await session.begin()
        await session.coordinator.advance_to()
        await session.coordinator.end()
        return (await session.dump(tmp_path))[0]

    dump, expected = asyncio.run(day()), backtested(config, text)
    trading = session.coordinator.summary().trading
    assert trading is not None
    assert (trading.pages, trading.logs) == expected
    assert trading.pages.fills
    assert form == "signals" or trading.logs.lines
    assert validate_session_dump(dump) == []
    [_, own] = json.loads(dump.read_bytes())["requirements"]["own_indicators"]
    assert own == {"name": "span@1m", "interval": "1m", "bars": 3}


def test_an_own_function_that_fails_ends_the_strategy_and_says_where(universe: Path) -> None:
    text = HEAD + OWN.replace("return talib.EMA(close, n)", "raise KeyError(n)") + LOOKS["on_window"]
    summary, _ = run_day(settings_of(universe, "AAPL"), text)
    assert summary.trading is not None
    assert "indicator smooth: KeyError: 20" in str(summary.trading.error)


def test_the_account_goes_on_from_day_to_day_and_each_days_dump_is_valid(universe: Path, tmp_path: Path) -> None:
    text = """
class Holds(Strategy):
    def on_bar(self, ctx):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 10: ctx.buy(7); ctx.buy(1, limit=1.0)
        if self.calls == 400: ctx.sell(2, tag=str(self.calls))
"""
    dates = {"start": "2024-07-02", "end": "2024-07-03"}
    session = TradedSession(settings_of(universe, "AAPL", "MSFT", session=dates), HEAD + text)

    async def days() -> list[Path]:
        paths = []
        for _ in range(2):
            await session.begin()
            await session.coordinator.advance_to()
            await session.coordinator.end()
            paths += await session.dump(tmp_path)
            last = session.coordinator.summary().trading
            await session.coordinator.teardown()
        assert last is not None
        assert last.positions == {"AAPL": 5.0, "MSFT": 5.0}
        assert last.opening.holdings["AAPL"].position == 7.0
        assert len(last.opening.holdings["AAPL"].orders) == 1
        assert not session.traders.alive
        return paths

    for path in asyncio.run(days()):
        assert validate_session_dump(path) == []
