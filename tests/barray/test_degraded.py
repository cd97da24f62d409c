"""A run that lost symbols because the machine failed says so; one whose data are bad does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from barray.coordinator.summary import lost_symbols
from barray.dump.validate import validate_session_dump
from barray.dump.writers.csv import write_csv
from barray.dump.writers.json import write_json
from barray.dump.writers.parquet import write_parquet
from barray.export.results import write_result
from barray.market.errors import ActorFailed, NoDataError
from barray.market.validation import Reason
from barray.report.page import write_report
from tests.barray.dump_builder import build, laid_out, signed, tree_of, with_summary
from tests.barray.result_builder import random_backtest
from tests.commands import run_command

DIES = """
import os
from barray import Strategy, parameter

class Dies(Strategy):
    size: int = parameter(1, low=1, high=9)

    def on_bar(self, ctx):
        if ctx.symbol == "MSFT":
            os.kill(os.getpid(), 9)
        if ctx.minute == 10:
            ctx.buy(self.size)
"""


def test_what_is_lost_is_told_from_what_is_bad() -> None:
    lost, bad = Reason.of(ActorFailed("died 4 times")), Reason.of(NoDataError("has no bars"))
    raised = Reason.of(ActorFailed("ZeroDivisionError", code="bug"))
    assert lost_symbols({"B": (bad, lost), "A": (lost,), "C": (bad,), "D": (raised,)}) == ("A", "B")
    assert lost_symbols({"C": (bad,)}) == ()


def test_a_dump_that_does_not_own_up_to_what_was_lost_is_wrong(tmp_path: Path) -> None:
    path = build().write(tmp_path / "session.json")
    tree = tree_of(path)
    for reasons in (tree["dropped"]["NONE"], tree["step0"]["NONE"]["reasons"]):
        reasons[0]["code"] = "actor_failed"
    path.write_bytes(laid_out(signed(tree)))
    assert ("session.degraded", "degraded") in {(found.place, found.code) for found in validate_session_dump(path)}
    tree["session"]["degraded"] = ["NONE"]
    path.write_bytes(laid_out(signed(tree)))
    assert "degraded" not in {found.code for found in validate_session_dump(path)}


@pytest.mark.parametrize("kind", ["json", "csv", "parquet"])
def test_a_degraded_dump_is_true_and_that_it_is_degraded_is_said(tmp_path: Path, kind: str) -> None:
    whole = build(minutes=61, trailing_days=1)
    reason = Reason("actor_failed", "its process was lost 4 times")
    step0 = {**whole.summary.step0, "NONE": replace(whole.summary.step0["NONE"], reason=str(reason), reasons=(reason,))}
    built = with_summary(whole, step0=step0, dropped={"NONE": (reason,)})
    written = {"json": write_json, "csv": write_csv, "parquet": write_parquet}[kind]
    for one, said in (
        (built, "nothing is wrong; the session is degraded: the machine failed, and lost NONE"),
        (whole, "nothing is wrong"),
    ):
        path = written(tmp_path / f"dump.{kind}", one.summary, one.symbols)
        told = run_command("validate-dump", str(path))
        assert told.exit_code == 0, told.output
        assert " ".join(told.stdout.split()).endswith(said)
        as_json = run_command("validate-dump", "--json", str(path))
        assert json.loads(as_json.stdout)["degraded"] == (["NONE"] if one is built else [])


def test_report_and_summary_of_a_degraded_backtest_say_so(tmp_path: Path) -> None:
    whole = random_backtest(2, 1, 3)
    degraded = random_backtest(2, 1, 3, dropped={"LOST": ("died",), "BAD": ("no bars",)}, lost=("LOST",))
    assert degraded.degraded
    assert not whole.degraded
    for result, expected in ((whole, None), (degraded, ["LOST"])):
        write_result(result, tmp_path, ["json"])
        assert json.loads((tmp_path / "summary.json").read_text()).get("degraded") == expected
        page = write_report(result, tmp_path / "report.html", {}).read_text()
        assert ("the machine failed, and lost LOST" in page) == bool(expected)
        assert ("degraded: 1 symbol lost" in page) == bool(expected)


def command(verb: str, universe: Path, folder: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    (folder / "dies.py").write_text(DIES)
    config = {
        "name": "lossy",
        "session": {"start": "2024-07-02"},
        "symbols": ["AAPL", "MSFT", "NOPE"],
        "sources": [{"root": str(universe)}],
        "strategy": {"path": str(folder / "dies.py"), "form": "on_bar"},
        "sweep": {"parameters": {"size": [1, 2]}, "metric": "pnl"},
        "actors": {"max_restarts": 1},
        "ray": {"num_cpus": 2},
        "report": {"directory": str(folder)},
        **changes,
    }
    (folder / "lossy.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "barray", verb, str(folder / "lossy.yaml"), "--quiet", "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.ray
@pytest.mark.parametrize("name", ["backtest", "sweep"])
def test_a_backtest_or_a_sweep_that_lost_a_symbol_ends_with_an_exit_code_of_its_own(
    name: str, universe: Path, tmp_path: Path
) -> None:
    lossy = command(name, universe, tmp_path)
    assert lossy.returncode == 3, lossy.stderr
    assert json.loads(lossy.stdout)["degraded"] == ["MSFT"]
    assert set(json.loads(lossy.stdout)["dropped"]) == {"MSFT", "NOPE"}
    assert "degraded: the machine failed, and lost 1 symbol: MSFT" in lossy.stderr
    allowed = command(name, universe, tmp_path, validation={"allow_lost": True}, name="allowed")
    assert allowed.returncode == 0, allowed.stderr
    assert json.loads(allowed.stdout)["degraded"] == ["MSFT"]
