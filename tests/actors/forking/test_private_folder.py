"""Folders that another user could make his own are refused, wherever on the way that is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from barray.actors.forking.private_folder import check_private, private_folder, user_folder

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


def test_a_directory_others_can_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    check_private(str(tmp_path))
    tmp_path.chmod(0o750)
    with pytest.raises(PermissionError, match="mode 0700"):
        check_private(str(tmp_path))


def test_a_link_is_refused_last_and_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "real/folder").mkdir(parents=True, mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real/link").symlink_to(tmp_path / "real/folder")
    for path in ("link/folder", "real/link"):
        with pytest.raises(PermissionError):
            check_private(str(tmp_path / path))


def test_a_folder_below_one_that_others_can_write_to_is_refused_unless_that_is_sticky(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for mode in (0o777, 0o775):
        shared.chmod(mode)
        with pytest.raises(PermissionError, match="others can change"):
            private_folder(str(shared), "own")
    assert list(shared.iterdir()) == []
    shared.chmod(0o1777)
    own = private_folder(str(shared), "own")
    assert Path(own).stat().st_mode == 0o040700


def test_an_unsafe_runtime_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, temporary = tmp_path / "runtime", tmp_path / "temporary"
    runtime.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    name = f"barray-{os.geteuid()}"
    assert user_folder() == str(runtime / name)
    runtime.chmod(0o777)
    assert user_folder() == str(temporary / name)
    temporary.chmod(0o777)
    with pytest.raises(PermissionError):
        user_folder()


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder like /tmp, in /tmp: pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@as_root
def test_a_directory_that_another_user_made_first_is_refused(open_to_all: Path) -> None:
    folder = open_to_all / "own"
    as_nobody(f"os.mkdir({str(folder)!r}, 0o700)")
    with pytest.raises(PermissionError, match="must be a directory of uid 0"):
        private_folder(str(open_to_all), "own")
    assert list(folder.iterdir()) == []


@as_root
def test_a_folder_in_another_users_own_is_refused(open_to_all: Path) -> None:
    """Who owns a folder can rename what lies in it, whoever made that."""
    as_nobody(f"os.mkdir({str(open_to_all / 'theirs')!r}, 0o755)")
    with pytest.raises(PermissionError, match="others can change"):
        private_folder(str(open_to_all / "theirs"), "own")


@as_root
def test_another_user_can_not_put_his_own_in_the_place_of_ours(open_to_all: Path) -> None:
    own = Path(private_folder(str(open_to_all), "own"))
    (own / "file").touch()
    done = as_nobody(ATTACK.format(own=str(own)))
    assert done.split() == ["PermissionError"] * 5
    assert [path.name for path in own.iterdir()] == ["file"]


ATTACK = """
for attack in (
    lambda: os.rename("{own}", "{own}.away"),
    lambda: os.rmdir("{own}"),
    lambda: os.listdir("{own}"),
    lambda: open("{own}/file", "w"),
    lambda: os.symlink("/etc/passwd", "{own}/link"),
):
    try:
        attack()
        print("done")
    except OSError as error:
        print(type(error).__name__)
"""


def as_nobody(code: str) -> str:
    become = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    command = [sys.executable, "-c", become + code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
