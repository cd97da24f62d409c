"""Notes of running sessions: this user's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import barray
from barray.local.sessions import announce, find_session
from barray.local.user_folder import notes_folder

NOBODY = 65534


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return notes_folder()


def test_a_session_is_found_by_name_and_the_note_of_a_dead_one_is_removed(folder: Path) -> None:
    announce("here", "127.0.0.1:1")
    dead = folder / "dead.json"
    dead.write_text('{"name": "dead", "address": "127.0.0.1:2", "pid": 4194305}')  # more than the kernel's highest
    assert find_session(None).address == "127.0.0.1:1"
    assert not dead.exists()
    with pytest.raises(barray.ConfigError, match="running: here"):
        find_session("dead")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_a_folder_that_another_user_made_first_or_may_enter_is_refused(folder: Path) -> None:
    folder.chmod(0o750)
    with pytest.raises(barray.ConfigError, match="not this user's alone"):
        notes_folder()
    folder.chmod(0o700)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(barray.ConfigError, match="not this user's alone"):
        announce("here", "127.0.0.1:1")
