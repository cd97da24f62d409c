"""Sweeps and checks of strategies over all symbols and over one account: on real Ray, as users run them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import barray
from barray.actors.portfolio_actor import PortfolioActor
from barray.actors.published import publish
from barray.cli.app import app
from barray.market.session_range import SessionRange
from barray.sample.universe import write_sample_data
from barray.trading.engine.commands import ColumnsLost
from barray.trading.sweeps.commands import EvaluatePortfolio, LaidBlock
from barray.trading.sweeps.result import SweepResult
from tests.trading.sweeps.test_portfolio_sets import laid_out, part_of, walks
from tests.trading.windows import MINUTE, plan, sessions_of

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
SYMBOLS = ["AAPL", "MSFT", "SPY"]
CODE = """
import os, signal, pathlib
import numpy as np
from barray import Strategy, parameter

class Ranks(Strategy):
    n: int = parameter(20, low=2)
    hold: int = 1

    def indicators(self):
        return {"momentum": f"ROC({self.n})"}

    def on_window(self, view):
        self.harm(view)
        values = view.indicators["momentum"]
        if view.minute % 30 or np.isnan(values).any() or not view.minutes_to_close: return
        best = np.argsort(-values, kind="stable")[: self.hold]
        view.rebalance({view.symbols[i]: 0.45 for i in best})

    def harm(self, view):
        pass
"""


def settings(folder: Path, root: Path, harm: str = "pass", **changes: Any) -> dict[str, Any]:
    (folder / "ranks.py").write_text(CODE.replace("pass\n", f"{harm}\n"))
    return {
        "name": "ranks",
        "session": {"start": "2024-06-28", "end": "2024-07-03"},
        "symbols": SYMBOLS,
        "history": {"trailing_days": 1},
        "sources": [{"root": str(root)}],
        "strategy": {"path": str(folder / "ranks.py"), "window": "5m"},
        "account": {"shared": True, "capital": 50_000.0},
        "sweep": {"parameters": {"n": [5, 20, 40], "hold": [1, 2]}, "metric": "pnl"},
        "report": {"directory": str(folder / "out")},
        **changes,
    }


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def figures(result: SweepResult) -> list[dict[str, Any]]:
    return [row.as_json() for row in result.rows]


def test_the_command_tells_the_figures_of_backtests_and_how_choosing_would_have_fared(
    universe: Path, tmp_path: Path
) -> None:
    made = settings(tmp_path, universe)
    made["sweep"]["walk_forward"] = {"in_sample": 2, "out_of_sample": 1}
    config = tmp_path / "ranks.json"
    config.write_text(json.dumps(made))
    done = run("sweep", config, "--quiet", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["sets"], told["failed"], len(told["walk_forward"])) == (6, 0, 2)
    assert set(told["walk_forward"][0]["parameters"]) == {"n", "hold"}
    with (tmp_path / "out/ranks-sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for row in (rows[0], rows[-1]):
        one = barray.backtest(made, parameters={"n": int(row["n"]), "hold": int(row["hold"])})
        assert sum(len(symbol.fills) for symbol in one.symbols.values()) > 10
        assert float(row["pnl"]) == pytest.approx(one.pnl, abs=1e-6)
        assert int(row["trades"]) == sum(len(symbol.trades) for symbol in one.symbols.values())
        assert float(row["return_pct"]) == pytest.approx(100 * one.pnl / 50_000)
    assert told["best"]["pnl"] == pytest.approx(float(rows[0]["pnl"]))
    assert "capital 50,000" in (tmp_path / "out/ranks-sweep.html").read_text()
    again = json.loads(run("sweep", config, "--quiet", "--json").stdout)
    assert (again["resumed"], again["best"]) == (6, told["best"])


def test_what_dies_on_the_way_changes_nothing_but_the_set_that_always_kills(universe: Path, tmp_path: Path) -> None:
    whole = barray.sweep(settings(tmp_path, universe))
    mark = tmp_path / "died"
    once = f"""
        mark = pathlib.Path({str(mark)!r})
        if self.n == 20 and self.hold == 2 and view.session_date.day == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""
    dying = barray.sweep(settings(tmp_path, universe, once))
    assert mark.exists()
    assert figures(dying) == figures(whole)
    columns = """
        import psutil
        mark = pathlib.Path(MARK)
        if self.n == 20 and view.minute == 100 and not mark.exists():
            mark.touch()
            every = psutil.process_iter(["cmdline", "environ", "create_time"])
            found = [p for p in every if " ".join(p.info["cmdline"] or ()).startswith("ray::Backtest")]
            own = os.environ.get("RAY_RAYLET_PID")
            ours = [p for p in found if (p.info["environ"] or {}).get("RAY_RAYLET_PID") == own]
            max(ours, key=lambda p: p.info["create_time"]).kill()
            os.kill(os.getpid(), signal.SIGKILL)
""".replace("MARK", repr(str(tmp_path / "killed")))
    assert figures(barray.sweep(settings(tmp_path, universe, columns))) == figures(whole)
    assert (tmp_path / "killed").exists()
    always = "\n        if self.n == 20 and self.hold == 2: os.kill(os.getpid(), signal.SIGKILL)"
    killing = barray.sweep(settings(tmp_path, universe, always, actors={"max_restarts": 0}))
    (failed,) = [row for row in killing.rows if row.error]
    assert failed.parameters == {"n": 20, "hold": 2}
    assert "its process was lost" in str(failed.error)
    kept = [row for row in figures(whole) if row["parameters"] != failed.parameters]
    assert [row for row in figures(killing) if not row["error"]] == kept


def test_after_the_bars_of_any_symbol_changed_all_sets_are_evaluated_anew(tmp_path: Path) -> None:
    root = tmp_path / "bars"
    write_sample_data(root, symbols=SYMBOLS, start="2024-06-27", end="2024-07-03")
    made = settings(tmp_path, root)
    old = barray.sweep(made)
    write_sample_data(root, symbols=["MSFT"], start="2024-07-02", end="2024-07-02", seed=8)
    new = barray.sweep(made)
    assert (new.resumed, new.outdated) == (0, 6)
    assert [row.data["AAPL"] for row in new.rows] == [row.data["AAPL"] for row in old.rows]
    assert [row.pnl for row in new.rows] != [row.pnl for row in old.rows]


def test_a_process_maps_one_block_after_another_and_says_where_columns_were_laid_out_for_other_sets() -> None:
    session_range = sessions_of(6, 40, back=1)
    made, loaded = plan(CODE, "on_window", capital=5_000.0), walks(session_range, 3)
    wanted = tuple({"n": n, "hold": 2} for n in (2, 4, 6))

    def evaluated(actor: PortfolioActor, *blocks: LaidBlock) -> Any:
        command = EvaluatePortfolio(made, MINUTE, MINUTE, blocks, wanted, {"A": "digest"})
        return actor.execute([("sets 0", command)])[0]

    def laid(part: SessionRange, sets: tuple[Any, ...] = wanted) -> LaidBlock:
        block = laid_out({symbol: part_of(one, part) for symbol, one in loaded.items()}, sets, made)
        return LaidBlock(part, (publish(dict(zip(block.symbols, block.data, strict=True))),))

    actor, parts = PortfolioActor(), [laid(part) for part in session_range.split(3)]
    whole = evaluated(actor, laid(session_range))
    for blocks in (parts, parts):
        found = evaluated(actor, *blocks)
        assert [row.as_json() for row in found.rows] == [row.as_json() for row in whole.rows]
    assert all(row.trades > 3 and row.error is None for row in found.rows)
    assert isinstance(evaluated(actor, laid(session_range, wanted[:1])), ColumnsLost)


OWN = """
from barray import Strategy, parameter

class Dips(Strategy):
    n: int = parameter(10, low=2)

    def indicators(self):
        return {"mean": f"SMA({self.n})"}

    def on_bar(self, ctx):
        below = ctx.close[-1] < ctx.indicators["mean"][-1]
        if below != bool(ctx.position) and not ctx.orders:
            ctx.order_target(100 if below else 0)
"""


@pytest.mark.parametrize("method", ["grid", "optuna"])
def test_symbols_with_strategies_of_their_own_share_an_account_in_a_sweep_too(
    universe: Path, tmp_path: Path, method: str
) -> None:
    """Which sets optuna asks for is not known when the bars are laid out."""
    (tmp_path / "dips.py").write_text(OWN)
    made = settings(tmp_path, universe, strategy={"path": str(tmp_path / "dips.py")}, account={"shared": True})
    made["sweep"] = {"parameters": {"n": {"low": 5, "high": 60, "step": 5}}, "metric": "pnl", "method": method}
    made["sweep"] |= {"sets": 20} if method == "optuna" else {}
    found = barray.sweep(made)
    assert len(found.rows) == len(found.ranked) == 12
    one = barray.backtest(made, parameters=dict(found.rows[3].parameters))
    assert sum(len(symbol.refusals) for symbol in one.symbols.values()) >= 0
    assert found.rows[3].pnl == one.pnl
    assert found.capital == 100_000


CHEAT = """
import numpy as np
from barray import Strategy

class Cheat(Strategy):
    def on_window(self, view):
        past = view.history("close", 1)
        two = np.lib.stride_tricks.as_strided(past, (2, past.shape[1]))  # the memory behind it
        if view.minute % 30 == 0 and view.minutes_to_close:
            view.order_target("MSFT", 5 if two[1, 1] > two[0, 1] else 0)
"""


def test_the_checks_of_the_command_line_judge_a_portfolio_as_a_whole(universe: Path, tmp_path: Path) -> None:
    config = tmp_path / "ranks.json"
    config.write_text(json.dumps(settings(tmp_path, universe, session={"start": "2024-07-02", "end": "2024-07-03"})))
    honest = run("lookahead", config, "--cuts", 8)
    assert honest.exit_code == 0, honest.output
    assert "portfolio: no decision depends on the future" in " ".join(honest.output.split())
    enough = run("warmup", config)
    assert enough.exit_code == 0, enough.output
    (tmp_path / "ranks.py").write_text(CHEAT)
    cheat = run("lookahead", config, "--cuts", 8, "--json")
    assert cheat.exit_code == 1
    (report,) = json.loads(cheat.stdout)
    assert report["symbol"] == "portfolio"
    assert "MSFT at 2024-07-0" in report["sentences"][1]
    long = CODE.replace('f"ROC({self.n})"', '"EMA(300)"')
    (tmp_path / "ranks.py").write_text(long)
    short = run("warmup", config, "--json")
    assert short.exit_code == 1
    assert any("momentum (EMA(300)@1m)" in line for line in json.loads(short.stdout)[0]["sentences"])
