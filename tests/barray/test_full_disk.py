"""A place that is full, or can't be written, is named in one error that says what would help, and in no raw one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from barray.cli.demo import run_demo
from barray.data_sources.atomic_file import draft_name
from barray.export.recording import write_recording
from barray.local.sessions import announce
from barray.local.user_folder import notes_folder
from barray.market.calendar import exchange_sessions
from barray.market.errors import ConfigError
from barray.sweep_journal import Journal
from tests.barray.dump_builder import build
from tests.barray.sweep_builder import tried

FULL = Path("/dev/full")


def said(write: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as raised:
        write()
    assert raised.value.code == "cannot_write"
    return str(raised.value)


def test_a_sweeps_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "mine", "1")
    journal.path.symlink_to(FULL)
    wrong = f"cannot write {journal.path}: No space left on device; make room there, or choose another place"
    assert said(lambda: journal.add([tried({"fast": 5}, 1.0)])) == wrong
    (tmp_path / "file").touch()
    assert said(lambda: Journal(tmp_path / "file", "mine", "1")).startswith(f"cannot write {tmp_path}/file/mine-1")


@pytest.mark.long
def test_a_recording(tmp_path: Path) -> None:
    built = build()
    sessions = exchange_sessions("XNYS", date(2024, 6, 1), date(2024, 6, 30)).sessions
    (tmp_path / "file").touch()
    place = tmp_path / "file" / built.symbols[0].symbol / "1m"
    wrong = f"cannot write {place}: Not a directory; choose another place, in a folder that is there and can be written"
    assert said(lambda: write_recording(tmp_path / "file", built.symbols, sessions)).startswith(wrong)


def test_a_note_of_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    other = "have XDG_RUNTIME_DIR name another folder"
    monkeypatch.setattr("os.getpid", lambda: 77)
    path = notes_folder() / "here.77.json"
    (path.parent / draft_name(path.name)).symlink_to(FULL)
    wrong = f"cannot write {path}: No space left on device; make room there, or {other}"
    assert said(lambda: announce("here", "127.0.0.1:1")) == wrong


def test_the_folder_of_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")
    assert said(notes_folder).startswith("cannot write /proc/barray-")


def test_a_demo(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert said(lambda: run_demo(tmp_path / "file" / "demo", quiet=True)).startswith("cannot write")
