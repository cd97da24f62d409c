"""The tests pass however they are started, and leave nothing outside their own folders."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

IGNORING = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
DEFAULT = """
from signal import SIG_DFL, SIGHUP, SIGINT, default_int_handler, getsignal
assert (getsignal(SIGINT), getsignal(SIGHUP)) == (default_int_handler, SIG_DFL)
"""


def test_what_tests_start_gets_the_default_signals() -> None:
    subprocess.run([sys.executable, "-c", DEFAULT], check=True)


@pytest.mark.long
def test_rays_folder_is_the_tests_own() -> None:
    from ray._common.utils import get_default_ray_temp_dir

    assert Path(get_default_ray_temp_dir()).parent == Path(os.environ["XDG_RUNTIME_DIR"])
    assert Path(os.environ["XDG_RUNTIME_DIR"]).parent == Path(tempfile.gettempdir())


@pytest.mark.long
def test_so_they_do_under_nohup_and_nothing_is_left_also_of_a_run_that_was_killed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f"barray-tests-{ended.pid}-killed").mkdir()
    (tmp_path / f"barray-tests-{os.getpid()}-running").mkdir()
    pytest_here = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not long", __file__)
    command = [sys.executable, "-c", IGNORING, *pytest_here]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    assert [folder.name for folder in tmp_path.glob("barray-tests-*")] == [f"barray-tests-{os.getpid()}-running"]
