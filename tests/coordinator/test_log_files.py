"""What runs log: lines for programs, in files of this user's own that outlive the run."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator import log_files
from barray.coordinator.log_files import begin_log, logs_folder, read_logs
from barray.market.errors import ConfigError

LOGGER = logging.getLogger("barray.coordinator.log_files")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the context says; this process logs as `mine`, at info, into a folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    context: dict[str, Any] = {"phase": "loading"}
    logger = logging.getLogger("barray")
    before = logger.level
    handler = begin_log("mine", "info", lambda: context)
    yield context
    logger.removeHandler(handler)
    handler.close()
    logger.setLevel(before)


def test_a_line_says_when_who_in_which_phase_about_whom_and_where(told: dict[str, Any]) -> None:
    LOGGER.warning("%s: dropped: %s", "AAPL", "no data", extra={"node": "n1"})
    told.update(phase="running", now="2024-07-02T13:35:00Z")
    LOGGER.info("begins")
    LOGGER.debug("nobody asked for this")
    first, second = read_logs("mine")
    assert {key: first[key] for key in ("level", "session", "phase", "symbol", "node", "message")} == {
        **{"level": "warning", "session": "mine", "phase": "loading", "symbol": "AAPL", "node": "n1"},
        "message": "AAPL: dropped: no data",
    }
    assert (second["phase"], second["now"], "symbol" in second) == ("running", "2024-07-02T13:35:00Z", False)
    assert first["at"].endswith("Z")


def test_nothing_is_made_before_something_is_logged_and_then_it_is_this_users_alone(told: dict[str, Any]) -> None:
    assert not logs_folder().exists()
    LOGGER.error("trouble")
    (file,) = logs_folder().iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(logs_folder().stat().st_mode) == 0o700


def test_an_exceptions_trace_stands_in_its_line(told: dict[str, Any]) -> None:
    try:
        raise ValueError("odd\nthing")
    except ValueError:
        LOGGER.exception("failed")
    (line,) = read_logs(None)
    assert line["message"].startswith("failed\nTraceback")
    assert line["message"].endswith("ValueError: odd\nthing")


def test_a_line_that_a_killed_process_left_half_is_passed_over(told: dict[str, Any]) -> None:
    LOGGER.info("whole")
    (file,) = logs_folder().iterdir()
    with file.open("a") as more:
        more.write('{"at": "2024')
    assert [line["message"] for line in read_logs("mine")] == ["whole"]
    assert read_logs("other") == []


def test_the_oldest_files_go_where_there_are_many(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "_MOST_FILES", 2)
    logs_folder().mkdir(parents=True)
    for number in range(3):
        path = logs_folder() / f"old.2024010{number}T000000Z.1.jsonl"
        path.write_text(json.dumps({"at": str(number)}) + "\n")
    LOGGER.info("new")
    assert len(list(logs_folder().iterdir())) == 2


def test_a_file_grows_no_further_than_it_may(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "_MOST_BYTES", 1)
    LOGGER.info("first")
    LOGGER.info("second")
    assert [line["message"] for line in read_logs("mine")] == ["first"]


def test_a_folder_that_cannot_be_made_fails_nobody(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "barray").write_text("in the way")
    LOGGER.info("lost")
    assert read_logs("mine") == []


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of debug, info, warning, error"):
        log_files.level_number("loud")
