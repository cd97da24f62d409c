"""What Ray needs of a machine is looked at before it starts, and what is short is said."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from barray.actors.ray_start.room import LEAST_FILES

pytestmark = pytest.mark.long
PROGRAM = """
from barray.actors.ray_start.room import require_room
from barray.market.errors import ConfigError

try:
    require_room()
except ConfigError as error:
    print(error.code, error)
else:
    print("there is room")
"""


def said(folder: Path, limit: Callable[[], object] | None = None, **environment: str) -> str:
    """What is said where home and Ray's folder are `folder`, but for `environment`; `limit` limits the process."""
    ours = {**os.environ, "HOME": str(folder), "RAY_TMPDIR": str(folder), **environment}
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.check_output(command, env=ours, text=True, preexec_fn=limit).strip()


def limited(kind: int, value: int) -> Callable[[], object]:
    return lambda: resource.setrlimit(kind, (value, value))


def test_there_is_room_here_and_nothing_is_left_of_the_look(tmp_path: Path) -> None:
    assert said(tmp_path) == "there is room"
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    """A file stands in its place: root may write anywhere else."""
    (tmp_path / "file").touch()
    home = str(tmp_path / "file" / "home")
    sentence = f"cannot_write cannot write {home}/.ray: Not a directory; have HOME name another place"
    assert said(tmp_path, HOME=home).startswith(sentence)
    assert said(tmp_path, HOME=home, RAY_AUTH_TOKEN="a" * 32) == "there is room"


def test_a_folder_of_rays_that_cannot_be_written(tmp_path: Path) -> None:
    sentence = "cannot_write cannot write /proc/nothing/ray: No such file or directory; have RAY_TMPDIR name another"
    assert said(tmp_path, RAY_TMPDIR="/proc/nothing").startswith(sentence)


def test_a_place_for_sockets_and_notes_that_cannot_be_written(tmp_path: Path) -> None:
    answer = said(tmp_path, XDG_RUNTIME_DIR="/proc")
    assert answer.startswith(f"cannot_write cannot write /proc/barray-{os.geteuid()}: No such file or directory")
    assert "have XDG_RUNTIME_DIR name another place" in answer


def test_no_room_for_a_file_of_some_size(tmp_path: Path) -> None:
    sentence = f"cannot_write cannot write {tmp_path}/.ray: File too large; make room there, or have HOME name another"
    assert said(tmp_path, limited(resource.RLIMIT_FSIZE, 1 << 20)).startswith(sentence)


def test_too_few_files(tmp_path: Path) -> None:
    sentence = f"limit_too_low a process may open 64 files here, and Ray opens {LEAST_FILES}, more with many symbols"
    assert said(tmp_path, limited(resource.RLIMIT_NOFILE, 64)).startswith(sentence)


def test_too_little_memory_to_map(tmp_path: Path) -> None:
    answer = said(tmp_path, limited(resource.RLIMIT_AS, 4_000_000_000))
    assert answer.startswith("limit_too_low a process may map 4.0 GB of memory here, and Ray maps ")
    assert answer.endswith("lift the limit: ulimit -v unlimited")
