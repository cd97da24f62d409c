"""A run's credentials are in the environment of none of its processes, and a strategy finds none in its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import orjson
import psutil
import pytest

from barray.coordinator.log_files import logs_folder
from barray.sample.universe import write_sample_data
from barray.warm_commands.client import SOCKET
from tests.sessions import config, family, wait_until
from tests.vendors.alpaca import bars_below
from tests.vendors.alpaca_server import KEYS, AlpacaServer
from tests.vendors.serving import serving

pytestmark = pytest.mark.ray
BARRAY = [sys.executable, "-m", "barray"]
IN_PYTHON = [sys.executable, "-c", "import barray, sys; barray.backtest(sys.argv[1])"]
SECRETS = {
    **{"APCA_API_KEY_ID": KEYS.key, "APCA_API_SECRET_KEY": KEYS.secret},
    **{"SCHWAB_API_KEY": "canary-schwab-key", "SCHWAB_APP_SECRET": "canary-schwab-secret"},
}
LOOKS = """
import os
from pathlib import Path
from barray import Strategy

HERE = Path({here!r})
with (HERE / f"loaded-{{os.getpid()}}").open("a") as file:
    file.write(repr(dict(os.environ)))

class Looks(Strategy):
    interval = "1m"

    def on_bar(self, ctx):
        (HERE / "runs").touch()
        (HERE / "go").read_text()  # waits until the test has looked, too
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlpacaServer]:
    folder = tmp_path_factory.mktemp("told")
    write_sample_data(folder, symbols=["AAPL"], start=date(2024, 7, 2), end=date(2024, 7, 3))
    server = AlpacaServer()
    server.hold(bars_below(folder))
    with serving(server):
        yield server


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a user with keys, and with nothing warm."""
    mine = {**os.environ, **SECRETS, "XDG_RUNTIME_DIR": str(tmp_path), "BARRAY_DEBUG": "1"}
    return {name: value for name, value in mine.items() if not name.startswith("PYTEST")}


@pytest.fixture
def warm(environment: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """The pid of what holds a Ray, begun with keys in the environment."""
    said = subprocess.run(
        [*BARRAY, "up", "--num-cpus", "2"], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    wait_until((tmp_path / f"barray-{os.getuid()}" / SOCKET).exists)
    yield int(said.stdout.split()[-1])
    subprocess.run([*BARRAY, "down"], env=environment, check=True)


@contextmanager
def standing(
    command: list[str], server: AlpacaServer, folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A backtest on bars that only the keys bring, within its first bar; afterwards it has run to its end."""
    running = subprocess.Popen(
        [*command, str(written(server, folder))], env=environment, cwd=folder, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: (folder / "runs").exists() or running.poll() is not None)
        assert running.poll() is None, running.communicate()[1]
        yield running
        (folder / "empty").touch()
        writer = os.open(folder / "go", os.O_WRONLY)
        (folder / "empty").rename(folder / "go")  # from now on there is nothing to wait for
        os.close(writer)
        assert running.wait(60) == 0, running.communicate()[1]
    finally:
        running.kill()
        running.communicate()


def written(server: AlpacaServer, folder: Path) -> Path:
    """The config of a backtest that reads the pipe `go` at each bar."""
    os.mkfifo(folder / "go")
    (folder / "looks.py").write_text(LOOKS.format(here=str(folder)))
    alpaca = {"type": "alpaca", "url": server.url, "store": str(folder / "store"), "give_up_s": 5}
    settings = config(folder, "AAPL", indicators=[], sources=[alpaca], strategy={"path": str(folder / "looks.py")})
    settings |= {"session": {"start": "2024-07-03", "end": "2024-07-03"}, "intervals": ["1m"]}
    settings["history"] = {"trailing_days": 1}
    path = folder / "config.json"
    path.write_bytes(orjson.dumps(settings))
    return path


def shown_by(processes: list[psutil.Process]) -> dict[str, list[str]]:
    """Which secrets the environments of these processes show, by the processes' names."""
    held = {
        f"{process.pid} {process.name()}": Path(f"/proc/{process.pid}/environ").read_bytes() for process in processes
    }
    return {
        name: found
        for name, text in held.items()
        if (found := [key for key, s in SECRETS.items() if s.encode() in text])
    }


def loaded(folder: Path) -> dict[int, str]:
    """What the strategy saw as its environment, by the pid of who loaded it."""
    return {int(path.name.partition("-")[2]): path.read_text() for path in folder.glob("loaded-*")}


@pytest.mark.parametrize("command", [[*BARRAY, "backtest"], IN_PYTHON], ids=["command", "program"])
def test_no_process_of_a_run_shows_a_secret(
    command: list[str], server: AlpacaServer, environment: dict[str, str], tmp_path: Path
) -> None:
    with standing(command, server, tmp_path, environment) as running:
        processes = [psutil.Process(running.pid), *family(running.pid)]
        assert len(processes) > 6
        assert shown_by(processes) == {}
    logged = "".join(path.read_text() for path in logs_folder().iterdir())
    assert "BacktestCoordinator" in logged
    assert not [name for name, secret in SECRETS.items() if secret in logged]
    seen = loaded(tmp_path)
    if command == IN_PYTHON:
        seen.pop(running.pid, None)  # a program's own variables stay its own
    assert seen
    assert not [pid for pid, text in seen.items() if "canary" in text]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux with pidfd_open")
def test_neither_does_a_warm_ray_nor_a_command_forked_beside_it(
    warm: int, server: AlpacaServer, environment: dict[str, str], tmp_path: Path
) -> None:
    with standing([*BARRAY, "backtest"], server, tmp_path, environment) as running:
        processes = [psutil.Process(pid) for pid in (running.pid, warm)] + family(warm)
        commands = [" ".join(process.cmdline()) for process in processes]
        assert any(command.startswith("barray backtest") for command in commands), commands
        assert shown_by(processes) == {}
    seen = loaded(tmp_path)
    assert seen
    assert not [pid for pid, text in seen.items() if "canary" in text]
