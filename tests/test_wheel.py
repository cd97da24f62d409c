"""The wheel holds barray alone, and works from an empty environment beside a user's files with our floors' names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import venv
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import house
from tests.sessions import symbol_processes

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(300)]
FORKS = hasattr(os, "pidfd_open")
NOT_IN_THE_SDIST = (".ci/",)

SESSION = """\
name: beside
session: {start: 2024-07-02}
symbols: [AAPL, MSFT]
intervals: [1m, 5m]
indicators: [SMA(20)@1m]
history: {trailing_days: 2}
sources: [{root: BARS}]
export: {directory: sessions, formats: [json, csv, parquet]}
ray: {num_cpus: 2}
"""
BACKTEST = """\
name: beside-backtest
session: {start: 2024-07-02}
symbols: [AAPL, MSFT]
sources: [{root: BARS}]
strategy: {path: strategy.py}
report: {directory: backtests}
ray: {num_cpus: 2}
"""
STRATEGY = """\
import json, os, pathlib, sys
import barray
import barray.trading


class Once(barray.Strategy):
    def on_bar(self, ctx):
        if not ctx.position and not ctx.orders:
            ctx.buy(10)
            parent = pathlib.Path(f"/proc/{os.getppid()}/cmdline").read_text().split(chr(0))
            seen = {"barray": barray.__file__, "trading": barray.trading.__file__, "parent": parent}
            pathlib.Path("FOLDER", f"seen-{os.getpid()}.json").write_text(json.dumps(seen))
"""
PROGRAM = """\
import sys
import actors, coordinator, data_sources, market, trading  # the user's own
assert {module.OWNER for module in (actors, coordinator, data_sources, market, trading)} == {"the user"}
import barray

with barray.Session("session.yaml") as session:
    session.begin()
    session.advance_to("10:30")
    print(len(session.snapshot("AAPL").bars["1m"].bars), flush=True)
    sys.stdin.readline()
"""


@dataclass(frozen=True)
class Archives:
    """The wheel and the sdist of this tree, and the wheel that was built from the sdist, unpacked."""

    wheel: Path
    sdist: Path
    wheel_of_sdist: Path


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, and the folder of a user who works with it."""

    bin: Path
    packages: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        """Runs a command of the environment in the user's folder; what it prints."""
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def hatchling(folder: Path, *options: str, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    out = tmp_path_factory.mktemp("dist")
    hatchling(house.ROOT, out=out)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(out, filter="data")
    (unpacked,) = (path for path in out.iterdir() if path.is_dir())
    hatchling(unpacked, "-t", "wheel", out=out / "again")
    (again,) = (out / "again").glob("*.whl")
    return Archives(wheel, sdist, again)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def project() -> list[str]:
    """The names of all files that belong to the project, each where it is and not behind a link."""
    if not (house.ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files belong to it")
    return [str(path.relative_to(house.ROOT)) for path in house.project_files()]


def in_package(name: str) -> str:
    return f"barray/{name}" if name.startswith(tuple(f"{floor}/" for floor in house.FLOORS)) else name


def test_the_wheel_has_one_top_level_name(archives: Archives) -> None:
    tops = {name.partition("/")[0] for name in contents(archives.wheel)}
    assert tops == {"barray", f"{archives.wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"}


def test_the_wheel_holds_every_file_of_the_package_and_the_types_marker(archives: Archives) -> None:
    expected = {name for name in map(in_package, project()) if name.startswith("barray/")}
    assert {name for name in contents(archives.wheel) if name.startswith("barray/")} == expected
    assert {"barray/py.typed", "barray/report/page.css", "barray/report/page.js"} <= expected


def test_the_sdist_holds_every_file_once(archives: Archives) -> None:
    with tarfile.open(archives.sdist) as archive:
        members = archive.getmembers()
    names = [member.name.partition("/")[2] for member in members]
    assert all(member.isfile() for member in members), "no links: not every system unpacks them"
    expected = [in_package(name) for name in project() if not name.startswith(NOT_IN_THE_SDIST)]
    assert sorted(names) == sorted([*expected, "PKG-INFO"])


def test_the_wheel_built_from_the_sdist_is_the_same(archives: Archives) -> None:
    assert contents(archives.wheel_of_sdist) == contents(archives.wheel)


def empty_environment(folder: Path, wheel: Path) -> Path:
    """A new environment with the wheel, which sees what barray depends on and not this tree; its site-packages."""
    venv.create(folder, with_pip=True)
    command = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(command, check=True, timeout=120, env=clean_environment())
    (packages,) = folder.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(ours))  # in which no further .pth is read: no editable barray
    return packages


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAY_", "BARRAY_"))}


@pytest.fixture(scope="module")
def installed(archives: Archives, universe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    base = tmp_path_factory.mktemp("installed")
    packages = empty_environment(base / "environment", archives.wheel)
    folder = base / "user"
    for name in house.FLOORS:
        package = folder / name / "__init__.py" if name in ("market", "actors") else folder / f"{name}.py"
        package.parent.mkdir(parents=True, exist_ok=True)
        package.write_text('OWNER = "the user"\n')
    (folder / "session.yaml").write_text(SESSION.replace("BARS", str(universe)))
    (folder / "backtest.yaml").write_text(BACKTEST.replace("BARS", str(universe)))
    (folder / "strategy.py").write_text(STRATEGY.replace("FOLDER", str(folder)))
    (folder / "program.py").write_text(PROGRAM)
    short = tempfile.mkdtemp(prefix="barray-wheel-")  # Ray's sockets lie below, and their paths may not be long
    folders = {"RAY_TMPDIR": short, "XDG_RUNTIME_DIR": short, "XDG_CACHE_HOME": short, "RAY_AUTH_MODE": "token"}
    os.chmod(short, 0o700)
    yield Installed(base / "environment/bin", packages, folder, clean_environment() | folders)
    shutil.rmtree(short, ignore_errors=True)


@pytest.fixture
def all_forked(installed: Installed) -> Iterator[None]:
    """What runs meanwhile has its workers forked: no forkserver, launcher or preload says otherwise. A log that says no
    more than that a forkserver was ready goes with it, so they are looked at all the while.
    """
    logs, texts, ended = Path(installed.environment["RAY_TMPDIR"]), dict[Path, str](), threading.Event()
    before = set(logs.rglob("*"))

    def read() -> None:
        with suppress(OSError):  # what was there has gone meanwhile
            for path in set(logs.rglob("*")) - before:
                if is_log(path):
                    texts[path] = path.read_text(errors="replace")

    def watch() -> None:
        while not ended.wait(0.1):
            read()

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield
    ended.set()
    watcher.join()
    read()
    if not FORKS:
        return
    assert any("ready for raylet" in text for text in texts.values())
    for path, text in texts.items():
        for word in ("could not preload", "declined", "declines", "no fork is safe", "slower way"):
            assert word not in text, (path, text)


def is_log(path: Path) -> bool:
    return path.is_file() and path.suffix in (".log", ".err", ".out")


def test_python_finds_barray_in_the_environment_with_the_users_folder_first(installed: Installed) -> None:
    code = "import sys, barray.market, market; print(sys.path[0], barray.market.__file__, market.__file__, sep='|')"
    first, ours, theirs = installed.run("python", "-c", code).strip().split("|")
    assert first == ""  # the folder that the command is run in
    assert Path(ours) == installed.packages / "barray/market/__init__.py"
    assert Path(theirs) == installed.folder / "market/__init__.py"


@pytest.mark.usefixtures("all_forked")
def test_a_session_runs_beside_files_with_our_names(installed: Installed) -> None:
    (session,) = json.loads(installed.run("barray", "run", "session.yaml", "--json"))["sessions"]
    assert {symbol: data["bars"] for symbol, data in session["symbols"].items()} == {"AAPL": 390, "MSFT": 390}
    assert all(Path(path).exists() for path in session["files"])


@pytest.mark.skipif(not FORKS, reason="workers are forked where there is pidfd_open")
@pytest.mark.usefixtures("all_forked")
def test_a_backtest_runs_there_and_its_processes_are_forks_of_the_installed_barray(installed: Installed) -> None:
    installed.run("barray", "backtest", "backtest.yaml")
    seen = [json.loads(path.read_text()) for path in installed.folder.glob("seen-*.json")]
    assert seen
    assert {Path(one["barray"]).parent for one in seen} == {installed.packages / "barray"}
    assert {Path(one["trading"]).parent for one in seen} == {installed.packages / "barray/trading"}
    assert all(is_forkserver(one["parent"], installed) for one in seen), seen


@pytest.mark.skipif(not FORKS, reason="workers are forked where there is pidfd_open")
@pytest.mark.usefixtures("all_forked")
def test_a_program_of_the_user_imports_both_and_its_processes_are_forks(installed: Installed) -> None:
    program = subprocess.Popen(
        [str(installed.bin / "python"), "program.py"],
        cwd=installed.folder,
        env=installed.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdin
        assert program.stdout
        assert int(program.stdout.readline()) == 2 * 390 + 60
        parents = [process.parent() for process in symbol_processes(program.pid)]
        commands = [parent.cmdline() for parent in parents if parent]
        program.stdin.close()
        assert program.wait(timeout=60) == 0
    assert len(commands) == 2
    assert all(is_forkserver(command, installed) for command in commands), commands


def is_forkserver(command: list[str], installed: Installed) -> bool:
    actors = repr(str(installed.packages / "barray/actors"))
    return any(actors in word and "from forking.workers import server" in word for word in command)


@pytest.mark.usefixtures("all_forked")
def test_the_demo_runs_there(installed: Installed) -> None:
    out = installed.run("barray", "demo", "--quiet")
    assert "nothing is wrong" in out
