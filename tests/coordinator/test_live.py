"""Live sessions on real Ray, against Alpaca's protocol on loopback: a day whose time jumps when all has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import barray
from barray.check import check_config
from barray.cli.run import run_date
from barray.coordinator.config.file import as_config
from barray.coordinator.live import read_stored
from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
from barray.market.bars import Bars
from barray.market.clock import PracticeClock
from barray.market.interval import Interval
from barray.market.symbol_data import SymbolSessionData
from barray.market.validation import Reason
from barray.trading.scans.instructions import PromoteSymbol
from tests.sessions import scan_processes, trader_processes
from tests.vendors.alpaca import bars_below
from tests.vendors.alpaca_day import Day, Mishap, playing
from tests.vendors.alpaca_server import KEYS, AlpacaServer
from tests.vendors.serving import serving

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here", "keys")]
DAY = date(2024, 7, 3)
OPEN, CLOSE = (int(datetime.fromisoformat(f"2024-07-03T{at}+00:00").timestamp()) * 10**9 for at in ("13:30", "17:00"))
MINUTE_NS = 60 * 10**9
TRADES = """
from barray import Strategy

class Trades(Strategy):
    def indicators(self):
        return {"mean": "SMA(5)"}
    def on_window(self, view):
        if view.minute == 20: view.add_symbol("SPY")
        if view.minute == 30: view.order("SPY", 3)
        above = [s for s in view.symbols if view.close[view.index(s)] > view.indicators["mean"][view.index(s)]]
        if view.minute % 7 == 0: view.rebalance(dict.fromkeys(above, 0.2))
"""


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", KEYS.key)
    monkeypatch.setenv("APCA_API_SECRET_KEY", KEYS.secret)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bars]:
    folder = tmp_path_factory.mktemp("live")
    symbols = ["AAPL", "MSFT", "SPY"]
    barray.write_sample_data(folder, symbols=symbols, start=date(2024, 7, 1), end=DAY)
    return bars_below(folder)


def minute(wall_time: str) -> int:
    return int(datetime.fromisoformat(f"2024-07-03T{wall_time}+00:00").timestamp()) * 10**9


class Setting:
    """A server whose day goes on while the session runs: `begin` is the practice time of its making."""

    def __init__(
        self, folder: Path, truth: dict[str, Bars], begin: str = "13:29", mishap: Mishap | None = None
    ) -> None:
        self.folder, self.truth = folder, truth
        origin, jumps = time.time(), str(folder / "jumps")
        self.clock = PracticeClock(minute(begin), int(origin * 1e6) * 1000, jumps=jumps)
        self.server = AlpacaServer(hides_future=True, clock=lambda: self.clock.now_ns() / 1e9)
        self.server.hold(truth)
        today = {s: b.take((b.start_ns >= OPEN) & (b.start_ns < CLOSE)) for s, b in truth.items()}
        self.day = Day(self.server.stream, today, self.clock, mishap or (lambda symbol, start_ns: None))
        self.practice = {"start": f"2024-07-03T{begin}:00Z", "origin": origin, "jumps": jumps}

    def config(self, *symbols: str, **changes: Any) -> dict[str, Any]:
        url = self.server.url
        source = {
            "type": "alpaca",
            "url": url,
            "trading_url": url,
            "stream_url": url.replace("http", "ws") + "/v2/iex",
            "store": str(self.folder / "store"),
            "give_up_s": 2,
        }
        live = {"grace_s": 0.3, "stale_s": 30, "close_s": 0.5, "record": str(self.folder / "record")}
        return {
            "name": "live",
            "session": {"mode": "live", "start": str(DAY)},
            "symbols": list(symbols),
            "intervals": ["1m", "5m"],
            "indicators": ["SMA(5)@1m", "RSI(14)@5m"],
            "sources": [source],
            "live": {**live, "practice": self.practice},
            "export": {"directory": str(self.folder / "out")},
            **changes,
        }


@pytest.fixture
def setting(tmp_path: Path, truth: dict[str, Bars]) -> Iterator[Setting]:
    made = Setting(tmp_path, truth)
    with serving(made.server):
        yield made


def replayed(setting: Setting, *symbols: str) -> dict[str, SymbolSessionData]:
    config = setting.config(*symbols, name="again", session={"start": str(DAY)}, live={})
    with barray.Session({**config, "sources": [{"root": str(setting.folder / "record")}]}) as session:
        session.begin()
        session.advance_to()
        return {data.symbol: data for data in session.snapshots()}


def assert_alike(live: SymbolSessionData, again: SymbolSessionData) -> None:
    """Bars, quality and indicators."""
    for name, series in live.bars.items():
        assert series.bars.equals(again.bars[name].bars)
        assert live.quality[name] == again.quality[name]
    for key, data in live.indicators.items():
        assert np.array_equal(data.values["real"], again.indicators[key].values["real"], equal_nan=True), key


def assert_true(data: SymbolSessionData, truth: Bars) -> None:
    held = data.bars["1m"].bars
    assert held.take(held.start_ns >= OPEN).equals(truth.take((truth.start_ns >= OPEN) & (truth.start_ns < CLOSE)))


def test_a_day_with_every_mishap_is_the_day_as_it_was_and_replays_alike(tmp_path: Path, truth: dict[str, Bars]) -> None:
    def mishap(symbol: str, start_ns: int) -> str | None:
        return {5: "late", 12: "twice", 20: "wrong"}.get((start_ns - OPEN) // MINUTE_NS % 30)

    setting = Setting(tmp_path, truth, mishap=mishap)
    setting.day.cuts = frozenset({minute("14:45")})
    with serving(setting.server):
        config = setting.config("AAPL", "MSFT", "NOPE", schedule=[{"at": "11:30", "add_symbol": "SPY"}])
        with playing(setting.day), barray.Session(config) as session:
            dropped = session.begin().dropped
            session.advance_to("11:30")
            counts = session.status()["live"]
            assert session.snapshot("MSFT").quality["1m"].share == 1.0, "the cut's gap is filled while it runs"
            assert counts["gaps"] == 1
            assert counts["replaced"] > 0
            session.advance_to()
            session.end()
            session.export()
            session.record()
            live = {data.symbol: data for data in session.snapshots()}
        assert "has no data for NOPE" in str(dropped["NOPE"][0])
        added = {symbol: data.added_by for symbol, data in live.items()}
        assert added == {"AAPL": "config", "MSFT": "config", "SPY": "strategy"}
        assert setting.day.counts["cut"] == 1
        assert setting.server.stream.connections == 2
        dump = tmp_path / "out" / f"live-{DAY}.json"
        assert barray.validate_session_dump(dump) == []
        again = replayed(setting, "AAPL", "MSFT", "SPY")
    for symbol, data in again.items():
        assert_true(live[symbol], truth[symbol])
        assert_alike(live[symbol], data)


def test_begun_in_the_middle_it_has_the_session_so_far_and_goes_on(tmp_path: Path, truth: dict[str, Bars]) -> None:
    setting = Setting(tmp_path, truth, begin="14:30")
    with serving(setting.server), playing(setting.day):
        with barray.Session(setting.config("AAPL")) as session:
            session.begin()
            begun = session.snapshot("AAPL")
            assert begun.now_ns >= minute("14:30")
            assert begun.bars["1m"].bars.start_ns[-1] == begun.now_ns - MINUTE_NS
            assert begun.added_mid_session
            session.advance_to()
            session.end()
            session.record()
            live = session.snapshot("AAPL")
            counts = session.status()["live"]
        assert_true(live, truth["AAPL"])
        assert counts["bars"] > 50
        assert_alike(live, replayed(setting, "AAPL")["AAPL"])


@pytest.mark.parametrize("end", [KeyboardInterrupt(), barray.DataError("fails")], ids=repr)
def test_interrupted_or_failed_it_keeps_what_there_is(
    setting: Setting, truth: dict[str, Bars], end: BaseException
) -> None:
    pressed: list[str] = []

    def progress(status: Mapping[str, Any]) -> None:
        if not pressed and status["phase"] == "running" and status["now"] > f"{DAY}T14:00":
            pressed.append(status["now"])
            raise end

    with (
        playing(setting.day),
        pytest.raises(type(end)),
        barray.Session(setting.config("AAPL"), progress=progress) as session,
    ):
        run_date(session, DAY, None)
    kept = bars_below(setting.folder / "record")["AAPL"]
    today = kept.take(kept.start_ns >= OPEN)
    assert len(today) >= 29
    assert today.equals(truth["AAPL"].take(np.isin(truth["AAPL"].start_ns, today.start_ns)))
    assert (setting.folder / "out" / f"live-{DAY}.json").exists()


def test_what_cannot_be_kept_is_told_beside_the_reason(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    def progress(status: Mapping[str, Any]) -> None:
        out = setting.folder / "out"
        if not out.exists() and status["phase"] == "running" and status["now"] > f"{DAY}T13:40":
            out.write_text("a file where the folder should be")
            raise barray.DataError("the reason")  # once: it is called again while what there is is fetched

    with (
        playing(setting.day),
        pytest.raises(barray.DataError, match="the reason"),
        barray.Session(setting.config("AAPL"), progress=progress) as session,
    ):
        run_date(session, DAY, None)
    assert "out cannot be made: File exists" in capsys.readouterr().err
    assert len(bars_below(setting.folder / "record")["AAPL"])  # one failure is no reason for another


def test_damaged_files_of_the_store_cost_no_bar_and_unreadable_ones_their_symbol_alone(
    setting: Setting, truth: dict[str, Bars]
) -> None:
    spoilt: list[Path] = []

    def progress(status: Mapping[str, Any]) -> None:
        if not spoilt and status["phase"] == "running" and status["now"] > f"{DAY}T14:00":
            spoilt.extend((setting.folder / "store").rglob("*/MSFT/**/*.parquet"))
            for path in spoilt:
                path.write_bytes(b"PAR1 no more")

    with playing(setting.day), barray.Session(setting.config("AAPL", "MSFT"), progress=progress) as session:
        session.begin()
        session.advance_to()
        assert spoilt
        for symbol in ("AAPL", "MSFT"):
            assert_true(session.snapshot(symbol), truth[symbol])
    for path in spoilt:
        path.write_bytes(b"PAR1 no more")
    source = as_config(setting.config("AAPL")).data_sources[0]
    assert isinstance(source, VendorSource)
    failures: dict[str, Reason] = {}
    found = read_stored(source, ["AAPL", "MSFT"], Wanted(Interval(1, "m"), OPEN, CLOSE), failures)
    assert list(found) == ["AAPL"]
    assert list(failures) == ["MSFT"]


def test_a_refused_key_is_told_and_the_session_goes_on_without_the_stream(
    tmp_path: Path, truth: dict[str, Bars]
) -> None:
    setting = Setting(tmp_path, truth, begin="16:40")
    setting.server.stream.keys = type(KEYS)("another", "pair")
    with serving(setting.server), playing(setting.day), barray.Session(setting.config("AAPL")) as session:
        session.begin()
        session.advance_to()
        counts = session.status()["live"]
        assert session.snapshot("AAPL").quality["1m"].share == 1.0
        assert counts["problem"] == "auth failed ***"
        assert setting.server.stream.connections == 1


def test_a_strategys_live_day_is_valid_and_decides_the_same_again(tmp_path: Path, truth: dict[str, Bars]) -> None:
    def mishap(symbol: str, start_ns: int) -> str | None:
        return {5: "late", 12: "twice", 20: "wrong"}.get((start_ns - OPEN) // MINUTE_NS % 30)

    code = tmp_path / "trades.py"
    code.write_text(TRADES)
    setting = Setting(tmp_path, truth, mishap=mishap)
    with serving(setting.server):
        account = {"capital": 50_000, "shared": True}
        config = setting.config("AAPL", "MSFT", strategy={"path": str(code)}, account=account)
        with playing(setting.day), barray.Session(config) as session:
            session.begin()
            session.advance_to("10:30")
            (trader,) = trader_processes()
            trader.kill()
            session.advance_to()
            trading = session.end().trading
            (dump,) = session.export(formats=["json"])
    assert trading is not None
    assert trading.error is None
    assert {one.symbol for one in trading.pages.fills} == {"AAPL", "MSFT", "SPY"}
    assert trading.pages.revised
    assert barray.validate_session_dump(dump) == []
    again = barray.replay_day(tmp_path / "out" / f"live-{DAY}-recording.jsonl")
    assert again.difference is None
    assert len(again.then.decisions) == len(trading.pages.decisions)


def test_a_check_asks_for_history_alone(setting: Setting) -> None:
    """The session's own bars are still to come."""
    config = as_config(setting.config("AAPL", "NOPE"))
    results = check_config(config, deep=True)[DAY]
    assert results["AAPL"].can_proceed
    assert [reason.code for reason in results["NOPE"].reasons] == ["no_data_source"]


def test_a_backtest_of_a_live_session_is_refused(setting: Setting) -> None:
    with pytest.raises(barray.ConfigError, match="mode: replay"):
        barray.backtest(setting.config("AAPL", strategy={"path": "x.py"}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": [{"root": "x"}]}, "a live session needs a source of type alpaca"),
        ({"live": {"grace_s": -1}}, "live.grace_s"),
        ({"live": {"practice": {"start": "2024-07-03T13:30:00"}}}, "start has no time zone"),
        ({"session": {"mode": "lively", "start": "2024-07-03"}}, "session.mode"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(changes: dict[str, Any], said: str) -> None:
    config = {
        "session": {"mode": "live", "start": "2024-07-03"},
        "symbols": ["A"],
        "intervals": ["1m"],
        "sources": [{"type": "alpaca"}],
    }
    with pytest.raises(barray.ConfigError, match=said):
        barray.Session({**config, **changes})


FINDS = {
    "name": "rising",
    "universe": ["AAPL", "MSFT", "SPY"],
    "at": {"every": "10m", "since": "09:40"},
    "where": ["session_volume > 0", "RSI(5)@5m > 0"],
    "rank": "change_since_open",
    "promote": {"full": 1, "evict": "rank", "light": 1},
    "carry": ["SMA(5)@1m"],
}
BUYS = """
from barray import Strategy

class Buys(Strategy):
    def on_window(self, view):
        for symbol in view.symbols:
            if symbol not in view.positions: view.order(symbol, 3)
        if view.minute % 30 == 29:
            for symbol in view.positions: view.order_target(symbol, 0)
"""


def test_scans_of_a_live_day_promote_and_its_recording_finds_the_same(tmp_path: Path, truth: dict[str, Bars]) -> None:
    def mishap(symbol: str, start_ns: int) -> str | None:
        return {9: "late", 12: "twice", 19: "wrong"}.get((start_ns - OPEN) // MINUTE_NS % 30)

    code = tmp_path / "buys.py"
    code.write_text(BUYS)
    setting = Setting(tmp_path, truth, begin="15:58", mishap=mishap)
    with serving(setting.server):
        account = {"capital": 50_000, "shared": True}
        config = setting.config(scans=[FINDS], strategy={"path": str(code)}, account=account)
        with playing(setting.day), barray.Session(config) as session:
            session.begin()
            session.advance_to("12:30")
            (scanner,) = scan_processes()
            scanner.kill()
            session.advance_to()
            summary = session.end()
            dump = session.export(formats=["json"])[0]
    scanned, trading = summary.scanned, summary.trading
    assert scanned is not None
    assert trading is not None
    assert (scanned.error, trading.error, len(scanned.steps)) == (None, None, 7)
    promoted = {one.symbol for one in scanned.instructions if isinstance(one, PromoteSymbol)}
    assert {one.symbol for one in trading.pages.fills} == promoted
    assert barray.validate_session_dump(dump) == []
    recording = tmp_path / "out" / f"live-{DAY}-recording.jsonl"
    again = barray.replay_day(recording)
    assert again.identical
    assert again.scans is not None
    assert len(again.scans.again) == 7
    recording.write_text(recording.read_text().replace('"what":"promote"', '"what":"evict"', 1))
    assert not barray.replay_day(recording).identical
