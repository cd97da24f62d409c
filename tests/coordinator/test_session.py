"""Whole sessions on real Ray: the life cycle, changes mid-session, recovery, and nothing left behind."""

from __future__ import annotations

import shutil
import signal
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import barray
from barray.actors.metrics import node_exports
from barray.coordinator.lifecycle import Phase
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.coordinator.session_state import SessionState
from barray.market.bars import Bars
from tests.sessions import actor_processes, bar, config, symbol_processes, trader_processes, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
DAY = date(2024, 7, 2)


def dumps(settings: dict[str, Any], folder: Path, change: Any = None) -> dict[str, bytes]:
    """Run every date and give the JSON dumps by name; `change` is called with the session at 11:00."""
    with barray.Session(settings) as session:
        for day in session.dates:
            session.begin(day)
            session.advance_to("11:00")
            if change is not None:
                change(session)
            session.advance_to()
            session.end()
            session.export(folder, ["json"])
            session.teardown()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_ray_that_exports_no_metrics_is_asked_for_none() -> None:
    assert not node_exports()


def test_each_symbol_has_a_process_of_its_own_and_teardown_ends_them_all(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", "MSFT", "NVDA")) as session:
        session.begin()
        wait_until(lambda: len(symbol_processes()) == 3)
        assert session.status()["processes"] == 3
        session.end()
        session.teardown()
        wait_until(lambda: not symbol_processes())
        assert session.status()["phase"] == "clean"
        assert session.status()["next_date"] == "2024-07-03"


def test_windows_and_lifecycle_do_not_change_a_byte_of_the_dump(universe: Path, tmp_path: Path) -> None:
    def scan(session: barray.Session) -> None:
        assert session.add_symbol("SPY")
        assert session.add_adhoc_indicator("TSLA", "SMA(2)@1m")

    whole = dumps(config(universe, "AAPL", "MSFT"), tmp_path / "whole", scan)
    changes = {"run": {"window": "7m"}, "actors": {"lifecycle": "reuse"}}
    cut = dumps(config(universe, "AAPL", "MSFT", **changes), tmp_path / "cut", scan)
    assert list(whole) == ["test-2024-07-02.json", "test-2024-07-03.json"]
    assert cut == whole
    assert all(barray.validate_session_dump(path) == [] for path in (tmp_path / "whole").iterdir())


def test_reuse_keeps_the_processes_of_config_symbols_alone(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", actors={"lifecycle": "reuse"})) as session:
        session.begin()
        session.add_symbol("MSFT")
        session.end()
        session.teardown()
        wait_until(lambda: len(symbol_processes()) == 1)
        kept = symbol_processes()[0].pid
        session.begin()
        assert [process.pid for process in symbol_processes()] == [kept]
        assert session.symbols() == ["AAPL"]
    wait_until(lambda: not symbol_processes())


def test_killed_processes_come_back_by_replay_and_the_dump_does_not_change(universe: Path, tmp_path: Path) -> None:
    def add(session: barray.Session) -> None:
        assert session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T14:59:00Z"))
        assert session.add_symbol("TSLA")
        assert session.add_adhoc_indicator("AAPL", "RSI(5)@15m")

    def add_and_kill(session: barray.Session) -> None:
        add(session)
        for process in symbol_processes():
            process.send_signal(signal.SIGKILL)

    settings = config(universe, "AAPL", "MSFT", session={"start": str(DAY)})
    assert dumps(settings, tmp_path / "killed", add_and_kill) == dumps(settings, tmp_path / "calm", add)


def test_a_process_lost_too_often_costs_its_symbol_and_no_other(universe: Path) -> None:
    settings = config(
        universe, "AAPL", "MSFT", session={"start": str(DAY)}, actors={"max_restarts": 0, "heartbeat_s": 0}
    )
    with barray.Session(settings) as session:
        session.begin()
        victim = symbol_processes()[0]
        victim.kill()
        session.advance_to()
        left = session.symbols()
        assert len(left) == 1
        (dropped,) = session.summary().dropped.values()
        assert dropped[0].code == "actor_failed"
        assert [event.action for event in session.summary().events] == ["drop"]


def test_an_adhoc_symbol_whose_process_is_lost_on_its_upgrade_is_dropped_at_once(universe: Path) -> None:
    settings = config(universe, "AAPL", session={"start": str(DAY)}, actors={"max_restarts": 0})
    with barray.Session(settings) as session:
        session.begin()
        (other,) = symbol_processes()
        session.advance_to("10:00")
        assert session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T13:59:00Z"))
        next(process for process in symbol_processes() if process != other).kill()
        refused = session.add_symbol_detailed("TSLA")
        assert not refused.accepted
        assert "process was lost" in refused.reason
        assert session.status()["adhoc"] == []
        assert session.symbols() == ["AAPL"]
        assert [reason.code for reason in session.summary().dropped["TSLA"]] == ["actor_failed"]
        assert [event.action for event in session.summary().events] == ["add_bar", "drop", "add_symbol"]
        assert session.add_symbol("TSLA")  # a new process: what was lost before does not count against it
        assert session.symbols() == ["AAPL", "TSLA"]


def test_a_hung_process_is_killed_and_brought_back(universe: Path) -> None:
    settings = config(universe, "AAPL", session={"start": str(DAY)}, actors={"call_timeout_s": 3})
    with barray.Session(settings) as session:
        session.begin()
        (victim,) = symbol_processes()
        victim.send_signal(signal.SIGSTOP)
        session.advance_to()
        assert session.symbols() == ["AAPL"]
        assert len(session.snapshot("AAPL").bars["1m"]) == 2 * 390 + 390


def test_damaged_bars_drop_the_symbol_on_loading_and_the_rest_proceed(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", "NFLX", "AMD", session={"start": "2024-07-03"})) as session:
        summary = session.begin()
        assert session.symbols() == ["AAPL"]
        assert summary.step0["NFLX"].can_proceed  # its footer is fine, its values are not
        assert summary.dropped["NFLX"][0].code == "bad_values"
        assert summary.dropped["AMD"][0].code == "unreadable_file"
        wait_until(lambda: len(symbol_processes()) == 1)


def test_without_per_symbol_validation_any_failure_ends_the_session(universe: Path) -> None:
    settings = config(universe, "AAPL", "NOPE", validation={"per_symbol": False})
    with barray.Session(settings) as session, pytest.raises(barray.ValidationFailed, match=r"1 of 2 symbols failed"):
        session.begin()
    wait_until(lambda: not symbol_processes())


def test_a_symbol_added_at_any_time_is_what_it_would_be_from_the_start(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", "NVDA", session={"start": str(DAY)})) as session:
        session.begin()
        session.advance_to("12:34")
        from_start = session.snapshot("NVDA")
        assert session.remove_symbol("NVDA")
        assert "NVDA" not in session.symbols()
        assert session.add_symbol("NVDA")
        added = session.snapshot("NVDA")
    assert added.added_mid_session
    assert added.quality == from_start.quality
    assert list(added.bars) == list(from_start.bars)
    for name, series in added.bars.items():
        assert Bars.equals(series.bars, from_start.bars[name].bars)
    for key, indicator in added.indicators.items():
        for output, values in indicator.values.items():
            assert values.tobytes() == from_start.indicators[key].values[output].tobytes()


def test_refused_additions_say_why_and_change_nothing(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", session={"start": str(DAY)})) as session:
        session.begin()
        session.advance_to("10:00")
        refusals = {
            "no data": session.add_symbol_detailed("NOPE"),
            "starts with a letter": session.add_symbol_detailed("../../etc"),
            "empty": session.add_adhoc_bar_detailed("", "1m", bar("2024-07-02T13:59:00Z")),
            "1000 characters": session.add_adhoc_indicator_detailed("A" * 1000, "RSI@1m"),
            "not an interval": session.add_adhoc_bar_detailed("TSLA", "90x", bar("2024-07-02T13:59:00Z")),
            "negative": session.add_adhoc_bar_detailed("TSLA", "1m", bar("2024-07-02T13:59:00Z", price=-1)),
            "after session time": session.add_adhoc_bar_detailed("TSLA", "1m", bar("2024-07-02T14:00:00Z")),
            "whole number": session.add_adhoc_bar_detailed("TSLA", "5m", bar("2024-07-02T13:52:00Z")),
            "outside the regular hours": session.add_adhoc_bar_detailed("TSLA", "1m", bar("2024-07-02T12:00:00Z")),
            "already has a bar": session.add_adhoc_bar_detailed("AAPL", "1m", bar("2024-07-02T13:59:00Z")),
            "derived from 1m": session.add_adhoc_bar_detailed("AAPL", "5m", bar("2024-07-02T13:55:00Z")),
            "already has RSI": session.add_adhoc_indicator_detailed("AAPL", "RSI(14)@5m"),
            "is not an indicator": session.add_adhoc_indicator_detailed("AAPL", "NOSUCH@5m"),
        }
        for reason, result in refusals.items():
            assert not result.accepted, reason
            assert reason in result.reason
        assert session.symbols() == ["AAPL"]
        assert session.status()["processes"] == 1
        assert [event.accepted for event in session.summary().events] == [False] * len(refusals)


def test_scheduled_actions_happen_at_their_time_in_their_order(universe: Path) -> None:
    flat = {"open": 5, "high": 5, "low": 5, "close": 5, "volume": 1}
    schedule = [
        {"at": "11:00", "add_symbol": "TSLA"},
        {"at": "10:00", "add_bar": {"symbol": "TSLA", "interval": "1m", "time": "09:59", **flat}},
        {"at": "10:00", "add_indicator": {"symbol": "TSLA", "indicator": "SMA(2)@1m"}, "day": "2024-07-02"},
        {"at": "12:00", "remove_symbol": "TSLA", "by": "scanner"},
        {"at": "15:00", "add_symbol": "NVDA"},
    ]
    with barray.Session(config(universe, "AAPL", schedule=schedule)) as session:
        session.begin()
        session.advance_to("10:59")
        assert session.status()["adhoc"] == ["TSLA"]
        session.advance_to("11:00")
        assert session.status()["full"] == ["AAPL", "TSLA"]
        session.advance_to()
        assert session.symbols() == ["AAPL", "NVDA"]
        events = [(event.action, event.by, event.at_ns) for event in session.summary().events]
        assert [event[:2] for event in events] == [
            ("add_bar", "scanner"),
            ("add_indicator", "scanner"),
            ("add_symbol", "strategy"),
            ("remove_symbol", "scanner"),
            ("add_symbol", "strategy"),
        ]
        session.end()
        session.teardown()
        session.begin("2024-07-03")  # a half day: nothing is due at 15:00, and the indicator was for one day only
        session.advance_to()
        assert [event.action for event in session.summary().events] == ["add_bar", "add_symbol", "remove_symbol"]


def test_time_does_not_go_back_nor_beyond_the_close(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", session={"start": str(DAY)})) as session:
        session.begin()
        session.advance_to("12:00")
        with pytest.raises(barray.IllegalTransition, match="stands at 2024-07-02T16:00:00Z and cannot go back to"):
            session.advance_to("11:00")
        assert session.advance_to("12:00") == session.summary().now_ns
        with pytest.raises(barray.ConfigError, match="after the session's close"):
            session.advance_to("18:00")
        with pytest.raises(barray.ConfigError, match="no time of day"):
            session.advance_to("noon")


def test_calls_out_of_order_are_refused_and_change_nothing(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", session={"start": str(DAY)})) as session:
        with pytest.raises(barray.IllegalTransition, match="no session is running"):
            session.advance_to()
        with pytest.raises(barray.IllegalTransition, match="no session is running"):
            session.add_symbol("AAPL")
        session.begin()
        with pytest.raises(barray.IllegalTransition, match="cannot be validating"):
            session.begin()
        session.end()
        with pytest.raises(barray.IllegalTransition, match="it is ended"):
            session.advance_to()
        assert session.symbols() == ["AAPL"]
        with pytest.raises(barray.NoDataError, match="not in the session"):
            session.snapshot("MSFT")


def test_a_second_session_of_the_same_name_is_refused(universe: Path) -> None:
    settings = config(universe, "AAPL")
    with barray.Session(settings), pytest.raises(barray.ConfigError, match="is running"), barray.Session(settings):
        pass
    with barray.Session(settings) as session:  # the name is free again
        assert session.status()["phase"] == "clean"


def test_new_files_are_seen_by_the_next_session(universe: Path, tmp_path: Path) -> None:
    root = tmp_path / "bars"
    shutil.copytree(universe / "AAPL", root / "AAPL")
    shutil.copytree(universe / "MSFT", tmp_path / "MSFT")
    with barray.Session(config(root, "AAPL", "MSFT")) as session:
        assert list(session.begin().dropped) == ["MSFT"]
        session.end()
        session.teardown()
        shutil.move(tmp_path / "MSFT", root / "MSFT")
        assert list(session.begin().dropped) == []


class FailingState(SessionState):
    """Raises on entering the phase named by the config's session name."""

    def enter(self, phase: Phase) -> None:
        super().enter(phase)
        if phase.name.lower() == self._config.name:
            raise RuntimeError(f"planted in {phase.value}")


class FailingCoordinator(SessionCoordinator):
    """Has a state that fails."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state = FailingState(*arguments[:2])


@pytest.mark.parametrize("phase", ["validating", "planning", "provisioning", "loading", "running", "ended"])
def test_an_exception_in_any_phase_leaves_no_process_behind(universe: Path, phase: str) -> None:
    settings = config(universe, "AAPL", name=phase, session={"start": str(DAY)})

    def run() -> None:
        with barray.Session(settings, coordinator=FailingCoordinator) as session:
            session.begin()
            session.advance_to()
            session.end()

    with pytest.raises(Exception, match=f"planted in {phase}"):
        run()
    wait_until(lambda: not actor_processes())


class StuckCoordinator(SessionCoordinator):
    """Fails to tear down."""

    async def teardown(self, *, final: bool = False) -> date | None:
        raise RuntimeError("planted in teardown")


def test_a_teardown_that_fails_is_logged_and_every_process_ended_nevertheless(
    universe: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with barray.Session(config(universe, "AAPL", name="stuck"), coordinator=StuckCoordinator) as session:
        session.begin()
        assert actor_processes()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "barray"]
    assert said.startswith("could not tear down: ")
    assert said.endswith("RuntimeError: planted in teardown")
    wait_until(lambda: not actor_processes())


def test_a_coordinator_that_is_killed_ends_the_session_with_a_word_on_where_rays_logs_are(universe: Path) -> None:
    def run() -> None:
        with barray.Session(config(universe, "AAPL", name="killed")) as session:
            session.begin()
            for process in actor_processes():
                process.kill()
            session.advance_to()

    with pytest.raises(barray.BarrayError, match="Ray's logs: ") as error:
        run()
    assert error.value.code == "coordinator_lost"
    assert list(Path(str(error.value).rpartition("logs: ")[2]).glob("python-core-worker-*.log"))


class UnlikeOurs(SessionCoordinator):
    """As of a node whose packages are other than the driver's."""

    def __init__(self, *arguments: Any) -> None:
        raise AttributeError("module has no such name")


def test_a_coordinator_that_a_node_can_t_make_is_told_as_that(universe: Path) -> None:
    def run() -> None:
        with barray.Session(config(universe, "AAPL", name="unlike"), coordinator=UnlikeOurs) as session:
            session.begin()

    said = r"could not begin where it was placed: AttributeError: module has no such name; its node needs the packages"
    with pytest.raises(barray.BarrayError, match=said) as error:
        run()
    assert error.value.code == "coordinator_lost"


def test_a_coordinator_that_hangs_ends_the_session_and_goes(universe: Path) -> None:
    def run() -> None:
        settings = config(universe, "AAPL", name="stopped", actors={"call_timeout_s": 3})
        with barray.Session(settings) as session:
            session.begin()
            for process in actor_processes():
                process.suspend()
            session.advance_to()

    with pytest.raises(barray.BarrayError, match="answered nothing for 3 s") as error:
        run()
    assert error.value.code == "coordinator_lost"
    wait_until(lambda: not actor_processes())


TRADES = {
    "on_window": """
class Made(Strategy):
    def on_window(self, view):
        rising = [s for s in view.symbols if view.close[view.index(s)] > view.open[view.index(s)]]
        if view.minute % 20 == 5: view.rebalance(dict.fromkeys(rising, 0.3))
        if view.minute == 30: assert view.add_symbol("TSLA")
        if view.minute == 40: view.order("TSLA", 5)
""",
    "on_bar": """
class Made(Strategy):
    def indicators(self): return {"slow": "SMA(30)"}
    def on_bar(self, ctx): ctx.order_target(9 if ctx.close[-1] > ctx.indicators["slow"][-1] else -9)
""",
    "signals": """
class Made(Strategy):
    def signals(self, data):
        rises = data.close > np.append(np.inf, data.close[:-1])
        return Signals(rises, ~rises, size=7.0)
""",
}


@pytest.mark.parametrize(("form", "shared"), [("on_window", True), ("on_bar", False), ("signals", True)])
def test_a_strategys_session_is_its_backtest_also_where_its_process_is_killed(
    universe: Path, tmp_path: Path, form: str, shared: bool
) -> None:
    code = tmp_path / "made.py"
    code.write_text("import numpy as np\nfrom barray import Signals, Strategy\n" + TRADES[form])
    account = {"capital": 50_000, "shared": shared}
    settings = config(universe, "AAPL", "MSFT", strategy={"path": str(code)}, account=account)
    result = barray.backtest(settings)
    expected = {symbol: one.fills for symbol, one in result.symbols.items()}
    fills = []
    with barray.Session(settings) as session:
        for day in session.dates:
            session.begin(day)
            session.advance_to("12:00")
            (trader,) = trader_processes()
            trader.kill()
            session.advance_to()
            trading = session.end().trading
            assert trading is not None
            assert trading.error is None
            fills += trading.pages.fills
            assert [barray.validate_session_dump(path) for path in session.export(tmp_path / "out", ["json"])] == [[]]
            session.teardown()
    assert {one.symbol for one in fills} == {symbol for symbol, own in expected.items() if len(own)}
    for symbol, own in expected.items():
        mine = [(one.bar_ns, one.quantity, one.price, one.commission) for one in fills if one.symbol == symbol]
        theirs = [(f.bar_ns, f.quantity, f.price, f.commission) for f in map(own.__getitem__, range(len(own)))]
        assert mine == theirs
    wait_until(lambda: not symbol_processes() and not trader_processes())
