"""A cluster of nodes as processes of this machine, which can be killed, drained and joined, and are found by title."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.processes import left_of, send, started_by
from tests.vendors.s3_server import free_port

COORDINATORS = tuple(f"ray::{kind}Coordinator" for kind in ("Backtest", "PortfolioBacktest", "Session", "Sweep"))
_JOINING = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
_OF_NODES = {
    # A raylet that is gone is missed after 3 s instead of 15, one that has no time after 30.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_raylet_start_wait_time_s": "60",
    "PYTHONUNBUFFERED": "1",
}
_STAYING = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
_UP = "Ray runtime started"
_UP_S, _NODES_GONE_S = 150.0, 60.0
GONE_S = 90.0
"""A raylet looks for a control store that is gone for a minute; a worker whose raylet is gone first imports all of Ray.
"""
WORKERS = 2
_STARTING = threading.Lock()  # one cluster after another: each takes all cores for some seconds


@dataclass(frozen=True)
class Node:
    """A node by the command that started it. `log`: what that says."""

    command: subprocess.Popen[bytes]
    log: Path

    def members(self, *titles: str) -> list[psutil.Process]:
        """Its processes, and those of what runs on it; see started_by."""
        return started_by([self.command.pid], *titles)

    def raylet(self) -> psutil.Process | None:
        """The raylet itself, while it lives."""
        for process in self.members("/raylet/raylet"):
            return process
        return None

    def kill(self) -> None:
        """All of it at once: a raylet that is asked to go looks for its control store for 30 s where there is none."""
        for process in self.members():
            send(process, signal.SIGKILL)
        self.command.wait()

    def is_up(self, within_s: float = _UP_S) -> bool:
        """Whether it has come to be part of the cluster, for which it is waited."""
        until = time.monotonic() + within_s
        while self.command.poll() is None:
            if _UP in self.log.read_text(errors="replace"):
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return False


@dataclass
class Nodes:
    """A head without CPUs, and nodes with one each that bear symbols: WORKERS between runs. `folder`: their files'."""

    folder: Path
    environment: dict[str, str]
    address: str = ""
    workers: list[Node] = field(default_factory=list)
    head: Node | None = None
    _begun: int = 0
    _joining: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start them, and wait until they are there; where they don't come, on a machine that has no time for it, once
        more. RuntimeError with what the one that did not come says.
        """
        self.folder.mkdir(exist_ok=True)
        for is_last in (False, False, True):
            for node in self._all():
                node.kill()
            self._forget()
            try:
                with _STARTING:
                    self._start()
                return
            except RuntimeError as error:
                print(error, file=sys.stderr)
                if is_last:
                    raise

    def _start(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        own = self.folder / str(self._begun)
        options = (f"--port={self.address.rpartition(':')[2]}", "--num-cpus=0", "--include-dashboard=false")
        self.head = self._node("--head", *options, f"--temp-dir={own}")
        self._wait(self.head)
        for _ in range(WORKERS):
            self._wait(self.join())

    def join(self) -> Node:
        """One node more, which will be there soon. One after another: they would have sockets of the same name."""
        with self._joining:
            for node in self.workers:
                node.is_up()
            self.workers.append(self._node(f"--address={self.address}", "--num-cpus=1"))
            return self.workers[-1]

    def _node(self, *options: str) -> Node:
        self._begun += 1
        log = self.folder / f"{self._begun}.log"
        command = [sys.executable, "-m", "barray", "node", "start", *options, "--node-ip-address=127.0.0.1", "--block"]
        environment = {**os.environ, **_JOINING, **_OF_NODES, **self.environment}
        with log.open("ab") as file:
            process = subprocess.Popen(
                command, env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        return Node(process, log)

    @staticmethod
    def _wait(node: Node) -> None:
        if not node.is_up():
            raise RuntimeError(f"a node did not come up: {node.log.read_text(errors='replace')[-2000:]}")

    def of_drivers(self) -> dict[str, str]:
        """What a command that joins them has in its environment."""
        return {**self.environment, **_JOINING}

    def drain(self, node: Node, within_s: float) -> bool:
        """Say that a node is to go in so many seconds, and have it go then; whether there was one to tell."""
        raylet = node.raylet()
        if raylet is None:
            return False
        (identity,) = (word.partition("=")[2] for word in raylet.cmdline() if word.startswith("--node_id="))
        code = f"from bench.raylets import tell_drain; tell_drain({self.address!r}, {identity!r}, {within_s})"
        calm = {name: value for name, value in self.of_drivers().items() if not name.startswith("RAY_testing")}
        told = subprocess.run([sys.executable, "-c", code], env={**os.environ, **calm}, check=False, timeout=_UP_S)
        time.sleep(within_s)
        send(raylet, signal.SIGKILL)
        return told.returncode == 0

    def vital(self, trouble: str) -> list[psutil.Process]:
        """What a trouble kills of the head: its coordinators, its control store, it (its raylet, too), or all."""
        if trouble == "coordinator":
            return self.members(*COORDINATORS)
        if trouble == "gcs":
            return self.members("gcs_server")
        if trouble == "all":
            return [*self.vital("coordinator"), *self.vital("head")]
        return [*self.members("--head"), *self.members("gcs_server")]

    def members(self, *titles: str) -> list[psutil.Process]:
        """Processes of all nodes, and of what runs on them; see started_by."""
        return started_by([node.command.pid for node in self._all()], *titles)

    def workers_of_runs(self) -> list[psutil.Process]:
        """What works for coordinators, on all nodes."""
        return [one for one in self.members("Actor") if one.name().startswith("ray::")]

    def alive(self) -> list[Node]:
        """Of the nodes that bear symbols those with a raylet."""
        return [node for node in self.workers if node.raylet()]

    def left_of_runs(self) -> list[psutil.Process]:
        """What a run that is over should have taken with it, on all nodes; and all of a node that has ended, as it is
        gone but for that.
        """
        left = []
        for node in self._all():
            titled = node.members() if node.command.poll() is not None else node.members("ray::")
            for process in titled:
                with suppress(psutil.Error):
                    if node.command.poll() is not None or not " ".join(process.cmdline()).startswith(_STAYING):
                        left.append(process)
        return left

    def restore(self) -> None:
        """Have WORKERS nodes again that bear symbols, all anew where the head has gone. RuntimeError."""
        if self.head is None or self.head.command.poll() is not None or len(self.vital("head")) < 3:
            self.start()
            return
        for node in self.workers:
            node.is_up()
        alive = self.alive()[:WORKERS]
        for node in (one for one in self.workers if one not in alive):
            node.kill()
        self.workers = alive
        for _ in range(WORKERS - len(alive)):
            self._wait(self.join())

    def end(self) -> int:
        """End all nodes; how many of their processes are left."""
        for node in self._all():
            with suppress(OSError):
                node.command.terminate()
        left = left_of(self.members, _NODES_GONE_S)
        for member in self.members():
            send(member, signal.SIGKILL)
        for node in self._all():
            node.command.wait()
        self._forget()
        return left

    def _forget(self) -> None:
        self.workers, self.head = [], None
        for old in self.folder.glob("[0-9]*"):
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)

    def _all(self) -> list[Node]:
        return [*self.workers, *([self.head] if self.head else [])]


def tell_drain(address: str, node_id: str, within_s: float) -> None:
    """Say to the control store that a node is wanted elsewhere. For a process that joins no Ray."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")  # type: ignore[attr-defined]
    until_ms = int((time.time() + within_s) * 1000)
    GcsClient(address=address).drain_node(node_id, reason, "the machine is wanted elsewhere", until_ms)
