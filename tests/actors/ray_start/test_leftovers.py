"""What Ray leaves of a session: removed where it is provably ours and over, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import barray
from barray.actors.ray_start import leftovers
from barray.actors.ray_start.session_folder import make_private
from barray.coordinator import runtime
from tests.sessions import config

DAY_S = 24 * 3600.0
NOBODY = 65534


def session(sessions: Path, name: str, *, days: float = 0.0) -> Path:
    """One of ours, made so long ago, with a log in it."""
    folder = sessions / f"session_{name}"
    make_private(str(folder))
    (folder / "logs").mkdir()
    (folder / "logs/raylet.out").write_text("…")
    made = time.time() - days * DAY_S
    for path in (*folder.iterdir(), folder):
        os.utime(path, (made, made))
    return folder


def test_ours_goes_with_rays_link_to_it(tmp_path: Path) -> None:
    ended, other = session(tmp_path, "1"), session(tmp_path, "2")
    (tmp_path / "session_latest").symlink_to(ended)
    leftovers.remove(ended)
    assert list(tmp_path.iterdir()) == [other]
    (tmp_path / "session_latest").symlink_to(other)
    leftovers.remove(ended)
    assert (tmp_path / "session_latest").exists()


def test_what_is_not_provably_ours_stays(tmp_path: Path) -> None:
    rays = tmp_path / "session_1"
    rays.mkdir()
    link = tmp_path / "session_2"
    link.symlink_to(session(tmp_path / "..", "elsewhere", days=9))
    sessions = [rays, link]
    if os.geteuid() == 0:
        sessions.append(session(tmp_path, "3", days=9))
        os.chown(sessions[-1], NOBODY, NOBODY)
    for folder in sessions:
        leftovers.remove(folder)
    leftovers.sweep(tmp_path, time.time() + 9 * DAY_S)
    assert sorted(tmp_path.iterdir()) == sessions
    assert (link / "logs/raylet.out").exists()


def test_a_sweep_takes_what_is_a_day_old_and_nobodys(tmp_path: Path) -> None:
    young, _, used = session(tmp_path, "1", days=0.9), session(tmp_path, "2", days=1.1), session(tmp_path, "3", days=3)
    server = subprocess.Popen([sys.executable, "-c", "input()", f"--session_dir={used}"], stdin=subprocess.PIPE)
    while not Path(f"/proc/{server.pid}/cmdline").read_bytes():  # the kernel tells of it a moment after the start
        time.sleep(0.001)
    try:
        leftovers.sweep(tmp_path, time.time())
        assert sorted(tmp_path.iterdir()) == [young, used]
    finally:
        server.communicate()
    leftovers.sweep(tmp_path, time.time())
    assert list(tmp_path.iterdir()) == [young]


@pytest.mark.ray
@pytest.mark.parametrize("keep_logs", [False, True])
def test_a_ray_that_ends_takes_its_files_with_it_unless_asked_to_keep_them(keep_logs: bool) -> None:
    import ray

    runtime.start_ray(num_cpus=1, keep_logs=keep_logs)
    folder = Path(ray._private.worker._global_node.get_session_dir_path())
    assert folder.exists()
    runtime.leave_ray()
    assert folder.exists() == keep_logs
    assert (folder.parent / "session_latest").is_symlink() == keep_logs
    assert not (folder.parent / "ray_current_cluster").exists()


@pytest.mark.ray
def test_sessions_on_a_ray_each_leave_no_socket_in_the_program(universe: Path) -> None:
    def sockets_after_a_session() -> int:
        with barray.Session(config(universe, "AAPL", ray={"num_cpus": 1})) as session:
            session.begin()
        links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if os.path.lexists(link)]
        return sum(link.startswith("socket:") for link in links)

    first = sockets_after_a_session()
    assert sockets_after_a_session() <= first
