"""Ray's own session folder: nobody else enters it, or puts another in its place."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray._common.utils import try_to_create_directory

from barray.actors.ray_start.session_folder import make_private, with_private_session
from barray.coordinator import runtime

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
ATTACK = """
import os, sys
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
def reached(attack):
    try:
        attack()
        return True
    except OSError:
        return False

session = sys.argv[1]
print([reached(attack) for attack in (
    lambda: os.rename(session, session + ".away"),
    lambda: os.listdir(session),
    lambda: os.listdir(session + "/logs"),
    lambda: open(session + "/sockets/mine", "w"),
)])
"""


def pid_of_worker() -> int:
    return os.getpid()


def attacks_by_nobody(session: Path) -> str:
    command = [sys.executable, "-c", ATTACK.format(nobody=NOBODY), str(session)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


@pytest.fixture
def all_sessions() -> Iterator[Path]:
    """Below /tmp, as Ray's is: pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder / "ray"
    shutil.rmtree(folder)


def made(all_sessions: Path, private: bool) -> Path:
    """A session's folder as a node makes it, step by step."""
    all_sessions.parent.chmod(0o755)
    create = with_private_session(try_to_create_directory) if private else try_to_create_directory
    session = all_sessions / "session_1"
    for folder in (all_sessions, session, session / "logs", session / "sockets"):
        create(str(folder))
    return session


@as_root
def test_another_user_gets_nowhere_with_it_as_he_does_with_rays(all_sessions: Path) -> None:
    assert attacks_by_nobody(made(all_sessions, private=True)) == "[False, False, False, False]"
    shutil.rmtree(all_sessions)
    assert "True" in attacks_by_nobody(made(all_sessions, private=False))


def test_others_may_keep_their_sessions_beside_it(all_sessions: Path) -> None:
    session = made(all_sessions, private=True)
    assert stat.S_IMODE(session.stat().st_mode) == 0o700
    assert stat.S_IMODE(all_sessions.stat().st_mode) == 0o1777


def test_one_that_was_open_is_closed_and_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "session_1").mkdir()
    (tmp_path / "session_1").chmod(0o777)
    make_private(str(tmp_path / "session_1"))
    assert stat.S_IMODE((tmp_path / "session_1").stat().st_mode) == 0o700
    (tmp_path / "session_2").symlink_to(tmp_path / "session_1")
    with pytest.raises(PermissionError, match="not a folder of uid"):
        make_private(str(tmp_path / "session_2"))


@as_root
def test_a_folder_of_all_sessions_that_is_anothers_is_told(
    all_sessions: Path, caplog: pytest.LogCaptureFixture
) -> None:
    all_sessions.mkdir()
    os.chown(all_sessions, NOBODY, NOBODY)
    with caplog.at_level(logging.WARNING, "barray.forkserver"):
        make_private(str(all_sessions / "session_1"))
    assert "RAY_TMPDIR" in caplog.text


@pytest.mark.ray
@as_root
def test_a_ray_that_runs_is_closed_to_others_and_its_workers_leave_it_so(
    all_sessions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_sessions.parent.chmod(0o755)
    monkeypatch.setenv("RAY_TMPDIR", str(all_sessions.parent))
    runtime.start_ray(num_cpus=1)
    try:
        assert ray.get(ray.remote(pid_of_worker).remote()) != os.getpid()
        session = Path(ray._private.worker._global_node.get_session_dir_path())
        assert session.parent == all_sessions
        assert (session / "sockets").exists()
        assert attacks_by_nobody(session) == "[False, False, False, False]"
    finally:
        runtime.leave_ray()
