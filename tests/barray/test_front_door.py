"""Strategies given to barray.backtest and barray.sweep as classes, on real Ray."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import barray
from barray import Context, Strategy
from tests.shared_data import REPO

pytestmark = pytest.mark.ray
EXAMPLES = REPO / "examples/strategies"
LOTS = 5
BESIDE = """
import talib
from barray import indicator

def of(strategy):
    return strategy.size

@indicator(bars=lambda n: n - 1, windowed=True)
def mean(close, *, n=10):
    return talib.SMA(close, n)
"""


class Once(Strategy):
    """Buys as many as this module says."""

    def on_bar(self, ctx: Context) -> None:
        """Buy once."""
        if not ctx.position and not ctx.orders:
            ctx.buy(LOTS)


class Cross(Strategy):
    """What a sweep varies."""

    fast: int = 10
    slow: int = 30

    def indicators(self) -> dict[str, str]:
        """Two averages."""
        return {"fast": f"SMA({self.fast})", "slow": f"SMA({self.slow})"}

    def on_bar(self, ctx: Context) -> None:
        """Long while the fast one is above."""
        above = ctx.indicators["fast"][-1] > ctx.indicators["slow"][-1]
        if above and not ctx.position and not ctx.orders:
            ctx.buy(100)
        elif not above and ctx.position:
            ctx.close_position()


def config(universe: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "session": {"start": "2024-06-27", "end": "2024-07-03"},
        "symbols": ["AAPL", "MSFT"],
        "sources": [{"root": str(universe)}],
    }
    return {**settings, **changes}


@pytest.mark.usefixtures("ray_here")
def test_a_class_sees_its_modules_values_as_they_are_at_the_call(
    universe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(barray.backtest(Once, config(universe)).fills.quantity) == {5.0}
    monkeypatch.setitem(globals(), "LOTS", 8)
    assert set(barray.backtest(Once(), config(universe)).fills.quantity) == {8.0}


@pytest.mark.usefixtures("ray_here")
def test_an_account_that_is_shared_and_a_class_go_together(universe: Path) -> None:
    alone = barray.backtest(Cross, config(universe, account={"capital": 1e6}))
    shared = barray.backtest(Cross, config(universe, account={"capital": 2e6, "shared": True}))
    assert shared.trades.pnl.tolist() == pytest.approx(alone.trades.pnl.tolist())


@pytest.mark.usefixtures("ray_here")
def test_a_sweep_of_a_class_goes_on_where_it_was(universe: Path, tmp_path: Path) -> None:
    settings = config(
        universe,
        sweep={"parameters": {"fast": [5, 10], "slow": [20, 30]}, "where": "fast < slow"},
        report={"directory": str(tmp_path)},
    )
    first = barray.sweep(Cross, settings)
    again = barray.sweep(Cross, settings)
    assert (first.resumed, again.resumed) == (0, 4)
    assert first.sets.equals(again.sets)
    assert first.sets[["fast", "slow"]].to_numpy().tolist() == [[5, 20], [5, 30], [10, 20], [10, 30]]
    one = barray.backtest(Cross, config(universe), parameters={"fast": 5, "slow": 30})
    assert first.sets.pnl[1] == pytest.approx(one.stats.pnl)
    assert "best 4 of 4 sets by sharpe" in first._repr_html_()


def test_a_class_is_checked_in_this_process(universe: Path) -> None:
    reports = barray.lookahead(Cross, config(universe), symbols=["AAPL"], cuts=5)
    assert [(report.symbol, report.differences) for report in reports] == [("AAPL", ())]
    assert [report.symbol for report in barray.warmup(Cross, config(universe), symbols=["AAPL"])] == ["AAPL"]


def test_the_readmes_backtest_runs_as_it_stands(universe: Path, tmp_path: Path) -> None:
    """With the class of the block before it, over bars in the place it names."""
    page = (REPO / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page.partition("## Backtest, sweep")[2], re.S)
    (tmp_path / "try").mkdir()
    (tmp_path / "try/bars").symlink_to(universe)
    (tmp_path / "script.py").write_text("\n".join(blocks[:2]))
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "sharpe" in done.stdout
    assert "pnl_sum: double" in done.stdout


def test_a_script_without_a_guard_runs_once_and_its_class_as_the_same_file_does(universe: Path, tmp_path: Path) -> None:
    """The class stands in the script, or in a file; what it calls, own indicators too, in a module beside it."""
    (tmp_path / "sizes.py").write_text(BESIDE)
    text = (EXAMPLES / "sma_cross.py").read_text().replace("size=self.size", "size=sizes.of(self)")
    text = f"import sizes\n{text}".replace('f"SMA({self.fast})"', "sizes.mean(n=self.fast)")
    (tmp_path / "own.py").write_text(text)
    lines = [
        text,
        "import barray",
        f"config = {config(universe, ray={'num_cpus': 2})!r}",
        "print('once')",
        "result = barray.backtest(SmaCross, config)",
        f"other = barray.backtest({str(EXAMPLES / 'sma_cross.py')!r}, config)",
        "print(len(result.trades) > 0, result.trades.equals(other.trades), result.source)",
        f"other = barray.backtest({str(tmp_path / 'own.py')!r}, config)",
        "print(result.trades.equals(other.trades))",
    ]
    (tmp_path / "script.py").write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], cwd="/", check=True, capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:3] == ["once", "True True __main__.SmaCross", "True"]
