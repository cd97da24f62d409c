"""The measurements can be run: each command starts, and the quick ones, made small, print their one line."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = [
    path.stem for path in sorted((ROOT / "bench").glob("*.py")) if 'if __name__ == "__main__"' in path.read_text()
]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_says_what_it_measures(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"bench.{name}", raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module(f"bench.{name}", run_name="__main__")
    assert not end.value.code
    assert "options:" in capsys.readouterr().out


def test_each_stands_in_their_readme() -> None:
    readme = (ROOT / "bench/README.md").read_text()
    assert [name for name in COMMANDS if f"`bench.{name}" not in readme] == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "figure"),
    [
        (("backtest_engine", "--symbols", "2", "--days", "2", "--repeat", "1"), "event_bars_per_s"),
        (("step0", "--symbols", "20"), "seconds"),
    ],
    ids=["backtest_engine", "step0"],
)
def test_made_small_it_prints_one_line_of_json(arguments: tuple[str, ...], figure: str) -> None:
    command = [sys.executable, "-m", f"bench.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)[figure] > 0
