"""`barray backtest`, `sweep`, `lookahead`, `warmup` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import Result

from tests.commands import run_command

EXAMPLES = Path(__file__).parents[3] / "examples/strategies"
CONFIG = """\
name: cli
session: {start: 2024-07-01, end: 2024-07-03}
symbols: [AAPL, NOPE]
history: {trailing_days: 1}
sources: [{root: ROOT}]
strategy: {path: STRATEGY}
report: {directory: out, formats: [html, csv]}
sweep: {parameters: {fast: [5, 10]}}
"""
CHEAT = """
import numpy as np
from barray import Signals, Strategy

class Cheat(Strategy):
    def signals(self, data):
        rises = np.zeros(len(data.close), bool)
        rises[:-1] = data.close[1:] > data.close[:-1]
        return Signals(rises, ~rises, size=1)
"""


def barray(*arguments: object) -> Result:
    return run_command(*arguments)


def write(folder: Path, universe: Path, strategy: object = EXAMPLES / "sma_cross.py", extra: str = "") -> Path:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("ROOT", str(universe)).replace("STRATEGY", str(strategy)) + extra)
    return path


@pytest.mark.long
def test_lookahead_passes_an_honest_strategy_and_fails_one_that_peeks(universe: Path, tmp_path: Path) -> None:
    honest = barray("lookahead", write(tmp_path, universe), "--symbols", "AAPL", "--cuts", 10)
    assert honest.exit_code == 0, honest.output
    assert "no decision depends on the future" in honest.output
    (tmp_path / "cheat.py").write_text(CHEAT)
    cheat = barray("lookahead", write(tmp_path, universe, "cheat.py"), "--symbols", "AAPL", "--cuts", 10, "--json")
    assert cheat.exit_code == 1
    (report,) = json.loads(cheat.stdout)
    assert report["ok"] is False
    assert "looks ahead" in report["sentences"][0]


@pytest.mark.long
def test_warmup_says_whether_more_history_matters(universe: Path, tmp_path: Path) -> None:
    enough = barray("warmup", write(tmp_path, universe), "--symbols", "AAPL")
    assert enough.exit_code == 0, enough.output
    code = """
from barray import Strategy

class Long(Strategy):
    def indicators(self):
        return {"slow": "EMA(200)"}

    def on_bar(self, ctx):
        wanted = 10 if ctx.close[-1] > ctx.indicators["slow"][-1] else 0
        if wanted != ctx.position:
            ctx.order_target(wanted)
"""
    (tmp_path / "long.py").write_text(code)
    short = barray("warmup", write(tmp_path, universe, "long.py"), "--symbols", "AAPL")
    assert short.exit_code == 1, short.output
    assert "trailing_days" in short.output


@pytest.mark.parametrize(
    ("extra", "command", "said"),
    [
        ("account: {capital: -5}\n", "backtest", "account.capital"),
        ("costs: {comission: {}}\n", "backtest", "did you mean commission?"),
        ("strategy: {}\n", "backtest", "stands twice"),
    ],
)
def test_a_config_that_cannot_be_meant_is_exit_code_2(
    universe: Path, tmp_path: Path, extra: str, command: str, said: str
) -> None:
    result = barray(command, write(tmp_path, universe, extra=extra))
    assert result.exit_code == 2, result.output
    assert said in result.output


@pytest.mark.ray
@pytest.mark.usefixtures("ray_here")
def test_backtest_and_sweep_write_their_files_and_say_what_came_of_it(universe: Path, tmp_path: Path) -> None:
    config = write(tmp_path, universe, extra="schedule: [{at: '10:00', add_symbol: TSLA}]\n")
    shown = barray("backtest", config, "--quiet")
    assert shown.exit_code == 0, shown.output
    assert "SmaCross, 1 symbols" in shown.output
    assert "NOPE: dropped" in shown.output
    page = (tmp_path / "out/cli/report.html").read_text()
    assert "AAPL" in page
    assert "Step 0: 1 of 2 symbols passed" in page
    assert '<td>NOPE</td><td><span class="loss">failed</span></td><td>–</td>' in page
    assert "<td>AAPL</td><td>passed</td><td>parquet</td><td>1m</td><td>parquet</td><td></td>" in page
    assert "Step 0, answers of parquet" in page
    assert (tmp_path / "out/cli/trades.csv").exists()
    machine = barray("backtest", config, "--quiet", "--json", "--out", tmp_path / "elsewhere")
    told = json.loads(machine.stdout)
    assert told["ignored"] == ["schedule", "sweep"]
    assert "note: barray backtest makes no use of schedule (for run), sweep (for sweep)" in machine.stderr
    assert told["total"]["trades"] == told["symbols"]["AAPL"]["trades"] > 10
    assert (tmp_path / "elsewhere/report.html").exists()
    swept = barray("sweep", config, "--quiet", "--json")
    assert swept.exit_code == 0, swept.output
    assert json.loads(swept.stdout)["sets"] == 2
    assert json.loads(swept.stdout)["ignored"] == ["schedule"]
    assert (tmp_path / "out/cli-sweep.html").exists()
    assert len((tmp_path / "out/cli-sweep.csv").read_text().splitlines()) == 3


@pytest.mark.ray
@pytest.mark.usefixtures("ray_here")
def test_a_strategy_that_fails_on_one_symbol_fails_the_run_and_the_json_stays_json(
    universe: Path, tmp_path: Path
) -> None:
    code = "from barray import Strategy\nclass Odd(Strategy):\n    def on_bar(self, ctx):\n"
    code += "        if ctx.symbol == 'MSFT' and ctx.minute == 3: print('soon'); 1 / 0\n"
    (tmp_path / "odd.py").write_text(code)
    config = write(tmp_path, universe, "odd.py")
    config.write_text(config.read_text().replace("AAPL, NOPE", "AAPL, MSFT"))
    machine = barray("backtest", config, "--quiet", "--json")
    assert machine.exit_code == 1
    told = json.loads(machine.stdout)
    assert list(told["errors"]) == ["MSFT"]
    assert "MSFT 2024-07-01 09:33:00 EDT: soon" in machine.stderr
    shown = barray("backtest", config, "--quiet")
    assert shown.exit_code == 1
    assert "the strategy failed on 1 of 2 symbols" in shown.stderr
    assert "ZeroDivisionError: division by zero (MSFT, 2024-07-01 09:33 EDT, " in shown.stderr
    config.write_text(config.read_text().replace("AAPL, MSFT", "NOPE"))
    nothing = barray("backtest", config, "--quiet", "--json")
    assert nothing.exit_code == 1
    assert "has no data for NOPE" in json.loads(nothing.stdout)["error"]
