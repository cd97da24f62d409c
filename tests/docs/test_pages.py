"""The blocks of each page, one after another, as a reader would run them: on one Ray that `barray up` keeps."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from barray.local import warm_ray
from barray.sample.universe import write_sample_data
from tests.docs.fences import PAGES, ROOT, Fence, fences

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
RUN = [page for page in PAGES if any(fence.is_run for fence in fences(page))]
_PRINTED = re.compile(r"#  ?-> (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `barray sample-data bars` writes."""
    folder = tmp_path_factory.mktemp("sample") / "bars"
    write_sample_data(folder, symbols=10, start=date(2024, 6, 17), end=date(2024, 7, 5))
    return folder


@pytest.fixture(scope="module")
def terminal() -> Iterator[dict[str, str]]:
    """The environment of a terminal of 160 columns, in which `barray up` was called: commands are forked in it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")  # it is another one in each test, and commands need the same environment
        environment = {**os.environ, "PATH": path, "COLUMNS": "160"}
        warm_ray.up(2)
    yield environment
    assert warm_ray.down()


@pytest.mark.filterwarnings("ignore")  # of packages that readers come from
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_do_what_it_says(
    page: Path, bars: Path, terminal: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's folder holds sample data in `bars`, the repository's `examples`, and the environment as `.venv`."""
    shutil.copytree(bars, tmp_path / "bars")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    names: dict[str, Any] = {"__name__": "page"}
    for fence in fences(page):
        if fence.file:
            Path(fence.file).parent.mkdir(parents=True, exist_ok=True)
            Path(fence.file).write_text(fence.text)
        if fence.is_run:
            if fence.language == "python":
                run_python(fence, names)
            elif fence.language == "console":
                run_console(fence, terminal)


def run_python(fence: Fence, names: dict[str, Any]) -> None:
    """Run it; what it prints is what its comments `# -> …` say, where it has any."""
    code = compile("\n" * fence.line + fence.text, str(fence.page), "exec")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    if expected := _PRINTED.findall(fence.text):
        assert printed.getvalue().splitlines() == expected, fence.where


def run_console(fence: Fence, terminal: dict[str, str]) -> None:
    """Run each line that begins with `$ `; the lines after it are in its output, in order, `…` for anything."""
    for command, shown in steps(fence.text):
        done = subprocess.run(
            ["bash", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
            env=terminal,
        )
        assert done.returncode == 0, f"{fence.where}: {command}\n{done.stdout}"
        output = plain(done.stdout)
        for line in shown:
            wanted = ".*?".join(re.escape(part) for part in plain(line).split("…"))
            found = re.search(wanted, output)
            assert found, f"{fence.where}: {command}\nno {line!r} in\n{done.stdout}"
            output = output[found.end() :]


def steps(text: str) -> list[tuple[str, list[str]]]:
    """Commands, each with the output that is shown."""
    found: list[tuple[str, list[str]]] = []
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def plain(text: str) -> str:
    """The words of a text, however a table spaces them."""
    return " ".join(text.split())
