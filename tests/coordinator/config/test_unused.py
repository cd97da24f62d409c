"""A config may serve several commands; each says which of its sections it makes no use of."""

from __future__ import annotations

from pathlib import Path

import pytest

from barray.coordinator.config.file import read_config
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.config.unused import unused_by, unused_sentence

PLAIN = "session: {start: 2024-07-01}\nsymbols: [A]\nintervals: [1m]\nsources: [{root: bars}]\nhistory: {}\n"
MORE = """strategy: {path: mine.py}
account: {capital: 5}
costs: {}
sweep: {parameters: {fast: [1]}}
report: {charts: 0}
schedule: []
export: {formats: [csv]}
run: {window: 5m}
"""


@pytest.fixture
def config(tmp_path: Path) -> SessionConfig:
    (tmp_path / "config.yaml").write_text(PLAIN + MORE)
    return read_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("command", "sections"),
    [
        ("run", ("report", "sweep")),
        ("backtest", ("run", "schedule", "export", "sweep")),
        ("sweep", ("run", "schedule", "export")),
    ],
)
def test_each_command_has_sections_that_it_makes_no_use_of(
    config: SessionConfig, command: str, sections: tuple[str, ...]
) -> None:
    assert unused_by(command, config) == sections


def test_what_is_not_in_the_config_is_not_spoken_of(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(PLAIN)
    config = read_config(tmp_path / "config.yaml")
    assert [unused_by(command, config) for command in ("run", "backtest", "sweep")] == [(), (), ()]
    assert config.report.directory == str(tmp_path / "backtests")


def test_the_sentence_names_the_commands_that_do() -> None:
    said = "barray run makes no use of report (for backtest and sweep and scan), sweep (for sweep)"
    assert unused_sentence("run", ("report", "sweep")) == said
