"""A config's tables from the file to the strategy, on real Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import barray
from barray.cli.app import app
from barray.runs.sweep import sweep

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
FACTS = """who,known_at,target,sector
AAPL,2024-07-01,100,Phones
AAPL,2024-07-02T14:00:00Z,300,Phones
MSFT,2024-06-01,50,Software
"""
STRATEGY = """
import numpy as np
from barray import Signals, Strategy, indicator

class Follows(Strategy):
    scale: float = 1.0

    def on_bar(self, ctx):
        if not ctx.orders:
            ctx.order_target(self.scale * ctx.table("facts", "target"))

@indicator(bars=0)
def scaled(close, *, scale=1.0):
    return close * scale

class Together(Strategy):
    scale: float = 1.0

    def indicators(self):
        return {"scaled": scaled(scale=self.scale)}

    def on_window(self, view):
        assert view.table("facts", "sector").tolist() == ["Phones", "Software"]
        targets = view.table("facts", "target") * np.round(view.indicators["scaled"] / view.close)
        for symbol, target in zip(view.symbols, targets):
            view.order_target(symbol, target)
"""


def config(folder: Path, universe: Path, kind: str = "Follows", **changes: Any) -> dict[str, Any]:
    (folder / "facts.csv").write_text(
        FACTS.replace("2024-07-01,", "2024-07-01T13:30:00Z,").replace("06-01,", "06-01T00:00:00Z,")
    )
    (folder / "follows.py").write_text(STRATEGY)
    return {
        "name": "facts",
        "session": {"start": "2024-07-01", "end": "2024-07-02"},
        "symbols": ["AAPL", "MSFT"],
        "sources": [{"root": str(universe)}],
        "strategy": {"path": str(folder / "follows.py"), "class": kind},
        "tables": {"facts": {"path": str(folder / "facts.csv"), "symbol": "who"}},
        "account": {"capital": 1e6, "carry": True},
        "report": {"directory": str(folder), "formats": ["json"]},
        **changes,
    }


@pytest.mark.parametrize("kind", ["Follows", "Together"])
def test_a_strategy_follows_a_table_that_lies_beside_its_config(kind: str, universe: Path, tmp_path: Path) -> None:
    settings = config(tmp_path, universe, kind)
    settings["tables"]["facts"]["path"] = "facts.csv"
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    done = CliRunner().invoke(app, ["backtest", str(tmp_path / "config.yaml"), "--json"])
    assert done.exit_code == 0, done.output
    result = barray.backtest(tmp_path / "config.yaml")
    found = [
        (fill.symbol, fill.quantity, f"{fill.time.tz_convert('UTC'):%m-%d %H:%M}") for fill in result.fills.itertuples()
    ]
    assert sorted(found) == [
        ("AAPL", 100.0, "07-01 13:31"),
        ("AAPL", 200.0, "07-02 14:00"),
        ("MSFT", 50.0, "07-01 13:31"),
    ]
    assert result.settings["tables"]["facts"]["rows"] == 3


@pytest.mark.parametrize("kind", ["Follows", "Together"])
def test_a_sweep_does_again_what_was_made_of_another_table(kind: str, universe: Path, tmp_path: Path) -> None:
    settings = config(tmp_path, universe, kind, sweep={"parameters": {"scale": [1.0, 2.0]}, "metric": "pnl"})
    old = sweep(settings)
    assert abs(old.rows[1].pnl / old.rows[0].pnl - 2) < 1e-9
    assert sweep(settings).resumed == 2
    (tmp_path / "facts.csv").write_text((tmp_path / "facts.csv").read_text().replace("300", "400"))
    new = sweep(settings)
    assert (new.resumed, new.outdated) == (0, 2)
    assert [row.pnl for row in new.rows] != [row.pnl for row in old.rows]
