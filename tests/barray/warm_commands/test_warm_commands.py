"""Commands forked from a process that waits for them: they must be what they would be in a process of their own."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil
import pytest

from barray.warm_commands.client import SOCKET
from barray.warm_commands.origin import difference, origin
from tests.sessions import config, wait_until

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux with pidfd_open"),
]
BARRAY = [sys.executable, "-m", "barray"]


@dataclass
class Kept:
    """A server as `barray up` starts it, and the environment in which it was."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    clients: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.folder / f"barray-{os.getuid()}" / SOCKET

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        client = subprocess.Popen(
            [*BARRAY, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment | environment,
        )
        self.clients.append(client)
        return client

    def forked(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def blocked(self) -> tuple[subprocess.Popen[str], psutil.Process]:
        """A command that waits for its configuration, a pipe to which nobody writes, and its forked process."""
        pipe = self.folder / "pipe.yaml"
        if not pipe.exists():
            os.mkfifo(pipe)
        client = self.start("check", pipe.name)
        wait_until(self.forked)
        (forked,) = self.forked()
        wait_until(lambda: forked.cmdline()[:1] == ["barray check pipe.yaml"] and waits_for_a_pipe(forked))
        return client, forked


def waits_for_a_pipe(process: psutil.Process) -> bool:
    sleeps = process.status() == psutil.STATUS_SLEEPING
    return sleeps and Path(f"/proc/{process.pid}/wchan").read_text() in ("wait_for_partner", "0")  # 0: not told here


def keep(folder: Path, **more: str) -> Kept:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PYTHONPATH": str(folder), **more}
    command = [sys.executable, "-P", "-m", "barray.warm_commands.server"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
    kept = Kept(folder, environment, process)
    wait_until(lambda: kept.socket.exists() or process.poll() is not None)
    assert process.poll() is None, kept.log
    return kept


def end(kept: Kept) -> None:
    for client in kept.clients:  # one that a failing test left may wait for ever
        client.kill()
    assert kept.process.stdin is not None
    kept.process.stdin.close()
    try:
        assert kept.process.wait(60) == 0, kept.log
    finally:
        kept.process.kill()
    assert not kept.socket.exists()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    kept = keep(tmp_path_factory.mktemp("kept"))
    yield kept
    end(kept)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Kept]:
    """One that a test may spoil."""
    kept = keep(tmp_path)
    yield kept
    if kept.process.poll() is None:
        end(kept)


def written(folder: Path, universe: Path, **changes: object) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(orjson.dumps(config(universe, "AAPL", "GME", **changes)))
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config.yaml"),
        ("check", "config.yaml", "--json"),
        ("check", "there_is_none.yaml"),
        ("check", "--help"),
        ("check", "--no-such-option"),
        ("validate-dump", "config.yaml"),
        ("attach", "status"),
    ],
    ids=" ".join,
)
def test_a_forked_command_says_and_returns_what_it_would_by_itself(
    kept: Kept, universe: Path, arguments: tuple[str, ...]
) -> None:
    written(kept.folder, universe)
    outcomes = []
    for more in ({}, {"BARRAY_COLD": "1"}):
        command = kept.start(*arguments, BARRAY_DEBUG="1", **more)
        outcomes.append((*command.communicate(timeout=60), command.returncode))
    assert outcomes[0] == outcomes[1]
    assert "".join(outcomes[0][:2])


def test_forked_commands_run_side_by_side_with_directory_and_umask_of_their_own(kept: Kept) -> None:
    before = os.umask(0o027)
    try:
        client, forked = kept.blocked()
    finally:
        os.umask(before)
    assert forked.cwd() == str(kept.folder)
    assert "Umask:\t0027" in Path(f"/proc/{forked.pid}/status").read_text()
    assert len(os.listdir(f"/proc/{forked.pid}/fd")) == 3  # nothing of the server's
    beside = kept.start("check", "pipe.yaml", APCA_API_KEY_ID="a key")
    wait_until(lambda: len(kept.forked()) == 2)
    for command in (client, beside):
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=60)
    wait_until(lambda: not kept.forked())
    assert "a key" not in kept.log


def test_a_terminal_is_seen_as_one(kept: Kept, universe: Path) -> None:
    written(kept.folder, universe)

    def shown(**more: str) -> bytes:
        ours, theirs = pty.openpty()
        environment = kept.environment | {"TERM": "xterm-256color", "COLUMNS": "100"} | more
        command = subprocess.Popen([*BARRAY, "check", "config.yaml"], stdout=theirs, cwd=kept.folder, env=environment)
        os.close(theirs)
        text = b""
        with suppress(OSError):  # how a terminal says that its other end is closed
            while chunk := os.read(ours, 1 << 16):
                text += chunk
        os.close(ours)
        assert command.wait(60) == 0
        return text

    assert shown() == shown(BARRAY_COLD="1")
    assert b"\x1b[1m" in shown()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, -signal.SIGHUP)]
)
def test_signals_reach_the_command_and_its_end_is_the_clients(kept: Kept, number: int, status: int) -> None:
    client, forked = kept.blocked()
    client.send_signal(number)
    _, said = client.communicate(timeout=60)
    assert client.returncode == status
    word = {130: "interrupted", 143: "terminated"}.get(status)
    assert said == (f"error: {word}; everything was ended\n" if word else "")
    wait_until(lambda: not forked.is_running())


def test_a_stopped_client_stops_the_command_until_it_goes_on(kept: Kept) -> None:
    client, forked = kept.blocked()
    client.send_signal(signal.SIGTSTP)
    wait_until(lambda: forked.status() == psutil.STATUS_STOPPED)
    wait_until(lambda: psutil.Process(client.pid).status() == psutil.STATUS_STOPPED)
    client.send_signal(signal.SIGCONT)
    wait_until(lambda: forked.status() == psutil.STATUS_SLEEPING)
    client.terminate()
    client.communicate(timeout=60)


def test_a_killed_client_takes_the_command_along(kept: Kept) -> None:
    client, forked = kept.blocked()
    client.kill()
    client.communicate()
    wait_until(lambda: not forked.is_running())
    assert kept.start("check", "there_is_none.yaml").wait(60) == 2  # and the server goes on


def test_another_environment_is_declined_by_name_and_the_command_runs_by_itself(kept: Kept) -> None:
    command = kept.start("check", "there_is_none.yaml", BARRAY_DEBUG="1", RAY_SECRET="canary")
    _, said = command.communicate(timeout=60)
    assert command.returncode == 2
    assert "another environment: RAY_SECRET" in said
    assert "canary" not in said + kept.log


def test_a_request_that_makes_no_sense_harms_nothing(kept: Kept) -> None:
    for request in (b"", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\2{}", b"\0\0\0\5nope!"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(kept.socket))
            if request:
                socket.send_fds(connection, [request], [0, 1, 2, 0])
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    assert len(os.listdir(f"/proc/{kept.process.pid}/fd")) < 12
    client, _ = kept.blocked()
    client.terminate()
    client.communicate(timeout=60)


def test_a_killed_server_takes_its_commands_along_and_the_clients_say_so(own: Kept) -> None:
    client, forked = own.blocked()
    own.process.kill()
    _, said = client.communicate(timeout=60)
    assert client.returncode == 1
    assert "barray up" in said
    wait_until(lambda: not forked.is_running())
    assert own.start("check", "there_is_none.yaml").wait(60) == 2  # by itself, though the socket is still there


def test_a_server_whose_holder_is_gone_ends_with_all_its_commands(own: Kept) -> None:
    client, forked = own.blocked()
    end(own)
    client.communicate(timeout=60)
    assert client.returncode == -signal.SIGKILL
    assert not forked.is_running()


def test_changed_code_is_not_run_and_the_server_begins_anew(tmp_path: Path) -> None:
    module = tmp_path / "sitecustomize.py"
    module.write_text("")
    time.sleep(0.1)  # older than the server
    own = keep(tmp_path)

    def said() -> str:
        return own.start("check", "there_is_none.yaml", BARRAY_DEBUG="1").communicate(timeout=60)[1]

    def listens_since() -> int:
        with suppress(FileNotFoundError):
            return own.socket.stat().st_mtime_ns
        return 0

    try:
        assert "not run by" not in said()
        module.write_text("changed = True")
        before = listens_since()
        assert "not run by the process that `barray up` keeps: the code has changed" in said()
        wait_until(lambda: listens_since() > before)
        assert "not run by" not in said()
        client, forked = own.blocked()
        assert forked.ppid() == own.process.pid
        client.terminate()
        client.communicate(timeout=60)
    finally:
        end(own)


def test_a_command_for_another_machines_ray_begins_anew_where_it_can_join_one(kept: Kept, universe: Path) -> None:
    with socket.socket() as elsewhere:  # accepts, and is no Ray: the command tries for long
        elsewhere.bind(("127.0.0.1", 0))
        elsewhere.listen(50)
        address = f"0.0.0.0:{elsewhere.getsockname()[1]}"  # this machine by another name
        written(kept.folder, universe, ray={"address": address})
        client = kept.start("run", "config.yaml")
        wait_until(lambda: any("BARRAY_COLD" in forked.environ() for forked in kept.forked()))
        (forked,) = kept.forked()
        assert forked.cmdline() == [*BARRAY, "run", "config.yaml"]
        client.kill()
        client.communicate()
        wait_until(lambda: not forked.is_running())


def test_an_origin_differs_by_names_never_by_values(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = origin()
    assert difference(ours, json.loads(json.dumps(ours))) is None
    monkeypatch.setenv("APCA_API_SECRET_KEY", "canary")
    monkeypatch.setenv("PWD", "/elsewhere")
    assert difference(ours, origin()) is None
    monkeypatch.setenv("HTTPS_PROXY", "canary")
    assert difference(ours, origin()) == "another environment: HTTPS_PROXY"
    assert difference(ours, {}) is not None
    assert difference(ours, {**ours, "cpus": [0], "niceness": 3}) == "another cpus and niceness"
