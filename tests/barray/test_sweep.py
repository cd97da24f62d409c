"""Sweeps that go on with what is still true, rank like with like, and say how far they got: on real Ray."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barray.report.sweep_page import render_sweep
from barray.runs.sweep import sweep
from barray.sample.universe import write_sample_data
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.signals import Signals
from tests.commands import run_command

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
FIRST, LAST = "2024-07-01", "2024-07-02"
HOLD = """
import os, signal, pathlib
import numpy as np
from barray import Signals, Strategy

class Hold(Strategy):
    n: int = 1

    def signals(self, data):
        self.harm(data.symbol)
        entries = np.zeros(len(data.close), bool)
        entries[self.n] = True
        return Signals(entries, np.zeros(len(entries), bool), size=10)

    def harm(self, symbol):
        pass
"""


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """Two symbols, two days."""
    write_sample_data(tmp_path / "bars", symbols=["AAPL", "MSFT"], start=FIRST, end=LAST)
    return tmp_path


def settings(folder: Path, sets: int, code: str = HOLD, **changes: Any) -> dict[str, Any]:
    path = folder / "hold.py"
    path.write_text(code)
    return {
        "name": "held",
        "session": {"start": FIRST, "end": LAST},
        "symbols": ["AAPL", "MSFT"],
        "sources": [{"root": str(folder / "bars")}],
        "strategy": {"path": str(path)},
        "sweep": {"parameters": {"n": list(range(1, sets + 1))}, "metric": "pnl"},
        "report": {"directory": str(folder)},
        "actors": {"max_restarts": 0, "symbols_per_actor": 1},
        **changes,
    }


def test_after_the_bars_changed_nothing_is_told_of_the_old_ones(bars: Path) -> None:
    wanted = settings(bars, 3)
    old = sweep(wanted)
    write_sample_data(bars / "bars", symbols=["MSFT"], start=LAST, end=LAST, seed=8)
    new = sweep(wanted)
    assert (new.resumed, new.outdated) == (0, 3)
    assert [row.pnl for row in new.rows] != [row.pnl for row in old.rows]
    true = sweep({**wanted, "name": "fresh"}, fresh=True)
    assert [row.pnl for row in new.rows] == [row.pnl for row in true.rows]
    again = sweep(wanted)
    assert (again.resumed, again.outdated) == (3, 0)
    write_sample_data(bars / "bars", symbols=["MSFT"], start=LAST, end=LAST)
    assert sweep(wanted).resumed == 3, "what was made of the first bars is true again"


def test_sets_made_without_lost_symbols_are_neither_ranked_with_the_rest_nor_kept(bars: Path) -> None:
    trap = bars / "trap"
    killed = f"""        if symbol == "MSFT" and self.n == 129 and pathlib.Path({str(trap)!r}).exists():
            os.kill(os.getpid(), signal.SIGKILL)
"""
    wanted = settings(bars, 130, HOLD.replace("        pass\n", killed))
    trap.touch()
    broken = sweep(wanted)
    assert list(broken.dropped) == ["MSFT"]
    assert len(broken.ranked) == 128
    assert {row.parameters["n"] for row in broken.unlike} == {129, 130}
    assert set(broken.sets.error[-2:]) == {"not ranked: made without MSFT"}
    assert broken.capital == 200_000
    trap.unlink()
    whole = sweep(wanted)
    assert (whole.resumed, whole.outdated, dict(whole.dropped)) == (128, 0, {})
    assert len(whole.ranked) == 130
    assert all(set(row.symbol_pnl) == {"AAPL", "MSFT"} for row in whole.rows)


def test_symbols_lost_from_the_first_set_on_are_there_again_in_the_next_run(bars: Path) -> None:
    trap = bars / "trap"
    killed = f"""        if symbol == "MSFT" and pathlib.Path({str(trap)!r}).exists():
            os.kill(os.getpid(), signal.SIGKILL)
"""
    wanted = settings(bars, 3, HOLD.replace("        pass\n", killed))
    trap.touch()
    assert list(sweep(wanted).dropped) == ["MSFT"]
    trap.unlink()
    whole = sweep(wanted)
    assert (whole.resumed, dict(whole.dropped)) == (0, {})
    assert [sorted(row.symbol_pnl) for row in whole.rows] == [["AAPL", "MSFT"]] * 3


class Early(Strategy):
    """Buys at the first bar, if ever."""

    size: int = 1

    def signals(self, data: SymbolData) -> Signals:
        first = np.arange(len(data.close)) == 0
        return Signals(first, ~first, size=float(self.size))


class Never(Early):
    def signals(self, data: SymbolData) -> Signals:
        no = np.zeros(len(data.close), np.bool_)
        return Signals(no, no)


def test_two_classes_of_one_file_have_a_journal_each(bars: Path) -> None:
    wanted = settings(bars, 1, sweep={"parameters": {"size": [1, 2]}, "metric": "pnl"})
    del wanted["strategy"]
    assert all(row.trades for row in sweep(Early, wanted).rows)
    never = sweep(Never, wanted)
    assert never.resumed == 0
    assert not any(row.trades for row in never.rows)


def test_an_interrupted_sweep_says_how_far_it_got_and_what_goes_on(bars: Path) -> None:
    pressed = bars / "pressed"
    harm = f"""        pressed = pathlib.Path({str(pressed)!r})
        if symbol == "MSFT" and self.n == 129 and not pressed.exists():
            pressed.touch()
            os.kill(int(pathlib.Path({str(bars / "driver")!r}).read_text()), signal.SIGINT)
            signal.pause()
"""
    config = bars / "held.json"
    config.write_text(json.dumps(settings(bars, 130, HOLD.replace("        pass\n", harm))))
    (bars / "driver").write_text(str(os.getpid()))
    stopped = run_command("sweep", str(config), "--quiet")
    assert stopped.exit_code == 130
    assert "128 of 130 sets are done and kept in" in stopped.stderr
    assert f"to go on: barray sweep {config}" in stopped.stderr
    ended = run_command("sweep", str(config), "--quiet", "--json")
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert (told["resumed"], told["sets"], told["not_ranked"]) == (128, 130, 0)


def test_a_sweep_shows_and_keeps_what_is_said_with_its_first_set_and_with_those_in_error(
    bars: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    harm = """        print(f"{self.n} on {symbol}")
        if self.n > 20:
            raise ValueError("too many")
"""
    wanted = settings(bars, 140, HOLD.replace("        pass\n", harm))
    found = sweep(wanted)
    keys = [f'{{"n":{n}}}' for n in (1, *range(21, 31))]
    assert list(found.logs) == keys
    assert [(line.symbol, line.text) for line in found.logs[keys[0]].lines] == [
        ("AAPL", "1 on AAPL"),
        ("MSFT", "1 on MSFT"),
    ]
    said = capfd.readouterr().err
    assert 'set {"n":1}:\nAAPL: 1 on AAPL\nMSFT: 1 on MSFT\nset {"n":21}:\nAAPL: 21 on AAPL\n' in said
    assert "2 on AAPL" not in said.splitlines()
    assert "31 on" not in said
    page = render_sweep(found).decode()
    assert "What the strategy said" in page
    assert "1 on MSFT" in page
    again = sweep(wanted)
    assert (again.resumed, again.logs) == (140, {}), "those of an earlier run are not heard again"
    assert [row.error for row in again.rows] == [row.error for row in found.rows]
