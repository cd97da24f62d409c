"""The command line without Ray: what it prints, and the exit codes."""

from __future__ import annotations

import json
import logging
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from barray.cli.app import app, with_only
from barray.cli.console import without_drop_warnings
from tests.commands import run_command

CONFIG = """\
session: {start: 2024-07-02, end: 2024-07-03}
symbols: [AAPL, NFLX, NOPE]
intervals: [1m, 5m]
history: {trailing_days: 2}
sources: [{root: ROOT}]
"""


def barray(*arguments: object) -> Result:
    return run_command(*arguments)


@pytest.fixture
def config(universe: Path, tmp_path: Path) -> Path:
    path = tmp_path / "session.yaml"
    path.write_text(CONFIG.replace("ROOT", str(universe)))
    return path


def test_without_arguments_the_commands_are_listed() -> None:
    result = barray()
    for command in ("sample-data", "demo", "check", "run", "attach", "validate-dump"):
        assert command in result.output


def test_version_is_that_of_the_package() -> None:
    written = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]["version"]
    result = barray("--version")
    assert (result.exit_code, result.output) == (0, f"barray {written}\n")


@pytest.mark.long
def test_check_says_what_a_run_would_drop_and_why(config: Path) -> None:
    result = barray("check", config)
    assert result.exit_code == 0
    assert "NOPE: 2024-07-02: [parquet] has no data for NOPE" in result.output
    assert "dropped on 2 of 2 dates" in result.output


@pytest.mark.long
def test_check_deep_reads_what_the_footer_does_not_show(config: Path) -> None:
    shallow = json.loads(barray("check", config, "--json").stdout)
    deep = json.loads(barray("check", config, "--json", "--deep").stdout)
    assert shallow["sessions"]["2024-07-03"]["NFLX"]["can_proceed"] is True
    assert deep["sessions"]["2024-07-03"]["NFLX"]["can_proceed"] is False
    assert deep["sessions"]["2024-07-03"]["NFLX"]["reasons"][0]["code"] == "bad_values"
    assert deep["can_run"] is True


def test_check_fails_where_a_session_would_have_no_symbol(config: Path) -> None:
    config.write_text(config.read_text().replace("AAPL, NFLX, ", ""))
    result = barray("check", config)
    assert result.exit_code == 1
    assert "2024-07-02: the session could not run" in result.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("intervals", "intervalls"), "did you mean intervals?"),
        (("[1m, 5m]", "[0m]"), "'0m' is not an interval"),
        (("[1m, 5m]", "[90x]"), "'90x' is not an interval"),
        (("end: 2024-07-03", "end: 2024-07-01"), "end 2024-07-01 is before start 2024-07-02"),
        (("start: 2024-07-02, end: 2024-07-03", "start: 2024-07-04"), "no session on 2024-07-04 (Thursday)"),
        (("trailing_days: 2", "trailing_days: two"), "history.trailing_days: 'two'"),
        (("session:", "session: ["), "line"),
    ],
)
def test_a_config_that_cannot_be_meant_is_exit_code_2(config: Path, change: tuple[str, str], said: str) -> None:
    config.write_text(config.read_text().replace(*change))
    result = barray("check", config)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


NEEDS = """class Mine(Strategy):
    def indicators(self):
        return {{"mean": {}}}

    def on_bar(self, ctx):
        pass
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class Mine(Strategy):\n    def on_bar(self ctx):\n        pass\n", "mine.py line 3: SyntaxError"),
        ("class Mine(Strategy):\n    fast: int = paramter(3)\n", "mine.py line 3: NameError"),
        ("raise RuntimeError('no')\n", "mine.py line 2: RuntimeError: no"),
        ("", "mine.py defines 0 strategies"),
        (NEEDS.format('"SMAA(5)"'), "mine.py: Mine needs: 'SMAA' is not an indicator; did you mean SMA"),
        (NEEDS.format("nothing"), "mine.py line 4: Mine can't say what it needs: NameError: name 'nothing'"),
    ],
)
def test_check_fails_a_strategy_that_cannot_run_with_file_and_line(config: Path, code: str, said: str) -> None:
    (config.parent / "mine.py").write_text("from barray import Strategy\n" + code)
    config.write_text(config.read_text() + "strategy: {path: mine.py}\n")
    result = barray("check", config)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert "Traceback" not in result.output


@pytest.mark.long
def test_bad_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert barray("run").exit_code == 2
    assert barray("nosuch").exit_code == 2
    assert barray("run", tmp_path / "absent.yaml").exit_code == 2
    assert barray("sample-data", tmp_path / "d", "--start", "soon").exit_code == 2
    assert barray("sample-data", tmp_path / "d", "--broken", "AAPL=nosuch").exit_code == 2


def test_sample_data_are_written_and_faults_listed(tmp_path: Path) -> None:
    options = ("--symbols", "AAPL,MSFT", "--start", "2024-07-02", "--end", "2024-07-03", "--broken", "MSFT=nan")
    result = barray("sample-data", tmp_path / "bars", *options)
    assert result.exit_code == 0
    assert (tmp_path / "bars/AAPL/1m/2024-07-02.parquet").is_file()
    assert "truncated" in barray("sample-data", tmp_path, "--list-faults").output


def test_validate_dump_names_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    assert barray("validate-dump", path).exit_code != 0
    path.write_text("{")
    result = barray("validate-dump", path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False


@pytest.mark.long
def test_the_demo_does_not_touch_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = barray("demo", "--out", tmp_path)
    assert result.exit_code == 2
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_only_what_a_table_lists_is_kept_from_the_log_and_only_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    dropped, ours = logging.getLogger("barray.dropped"), logging.getLogger("barray")
    with without_drop_warnings():
        dropped.warning("GME: dropped")
        ours.warning("8,000 symbols")
    dropped.warning("AMC: dropped")
    assert [record.getMessage() for record in caplog.records] == ["8,000 symbols", "AMC: dropped"]


@pytest.mark.parametrize("words", ["backtest --help", "attach status --help", "bactest", "job backtest", "--help", ""])
def test_an_app_made_ready_for_one_command_says_the_same_as_the_whole(words: str) -> None:
    said = words.split()
    apps = with_only(said[0] if said else ""), app
    alone, whole = (CliRunner().invoke(one, said, prog_name="barray") for one in apps)
    assert (alone.exit_code, alone.output) == (whole.exit_code, whole.output)
