"""A result's files are those of one run, whatever happens while they are written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from barray.data_sources.atomic_file import clear_leftovers
from barray.data_sources.atomic_folder import replacing_folder
from barray.export.results import write_result
from barray.market.errors import ConfigError
from tests.barray.result_builder import random_backtest

NAMES = ("one", "two", "three")
WRITES = """
import os, resource, signal, sys
from pathlib import Path
import barray.export.results as results
from barray.market.errors import ConfigError
from tests.barray.result_builder import random_backtest

how, folder = sys.argv[1:]
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
else:
    results._write_by_symbol = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
try:
    results.write_result(random_backtest(20, 5, 10), folder)
except ConfigError as error:
    print(error.code, error)
"""


def write(folder: Path, **files: str) -> None:
    with replacing_folder(folder, NAMES) as draft:
        for name, text in files.items():
            (draft / name).write_text(text)


def write_and_raise(folder: Path) -> None:
    with replacing_folder(folder, NAMES) as draft:
        (draft / "one").write_text("a")
        raise ZeroDivisionError


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "result"
    write(folder, one="1", two="2")
    assert content(folder) == {"one": "1", "two": "2"}
    folder.chmod(0o700)
    write(folder, one="a", three="c")
    assert content(folder) == {"one": "a", "three": "c"}, "nothing stays of an earlier result"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.parent.iterdir()) == [folder]


def test_other_things_in_the_folder_stay(tmp_path: Path) -> None:
    write(tmp_path / "result", one="1", two="2")
    (tmp_path / "result" / "notes").write_text("mine")
    write(tmp_path / "result", two="b")
    assert content(tmp_path / "result") == {"notes": "mine", "two": "b"}


def test_where_somebody_stands_files_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(), one="1", two="2")
    write(Path(), one="a")
    assert content(Path.cwd()) == content(tmp_path) == {"one": "a"}


@pytest.mark.parametrize("more", [(), ("notes",)])
def test_after_an_error_everything_is_as_it_was(tmp_path: Path, more: tuple[str, ...]) -> None:
    folder = tmp_path / "result"
    write(folder, one="1", two="2")
    for name in more:
        (folder / name).write_text("mine")
    before = content(folder)
    with pytest.raises(ZeroDivisionError):
        write_and_raise(folder)
    assert content(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.long
@pytest.mark.parametrize("how", ["full", "killed"])
def test_a_result_cut_short_leaves_the_one_before_and_nothing_else(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "result"
    write_result(random_backtest(2, 1, 3), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    command = [sys.executable, "-c", WRITES, how, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    if how == "full":
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"cannot_write cannot write {folder}: ")
    else:
        assert done.returncode == -signal.SIGKILL
        write_result(random_backtest(3, 1, 3), folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_drafts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "result", NAMES) as draft:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        leftover = draft.with_name(draft.name.replace(f".{os.getpid()}.", f".{dead.pid}."))
        leftover.mkdir()
        (tmp_path / ".other.tmp").touch()
        clear_leftovers(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted((draft, tmp_path / ".other.tmp"))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file") as raised:
        write(tmp_path / "file" / "result", one="1")
    assert raised.value.code == "cannot_write"
