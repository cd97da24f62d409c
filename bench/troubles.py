"""Runs to be hit, and troubles to hit them with."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil
import yaml

from bench.processes import left_of, send, started_by
from bench.runs import DAY

KINDS = {"session": "run", "backtest": "backtest", "sweep": "sweep", "portfolio": "backtest"}
_RESULTS = ("session-*.json", "trades.parquet", "equity.parquet", "*-sweep.csv")
_HANG_S, _GONE_S = 180.0, 20.0
STRATEGY = """\
from barray import Strategy, parameter

class Chaos(Strategy):
    size: int = parameter(10, low=1, high=100)

    def on_bar(self, ctx):
        if ctx.bar % 7 == 0:
            ctx.buy(self.size)
        elif ctx.bar % 7 == 5:
            ctx.close_position()
"""


@dataclass
class Outcome:
    """How a run ended: exit status (None: it hung), what it said, its results by name, seconds, processes left."""

    status: int | None
    told: str = ""
    results: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    left: int = 0

    def verdict(self, calm: Outcome) -> str:
        """One word for it."""
        if self.status is None:
            return "hang"
        if self.left:
            return "leaked"
        if self.status == 0:
            return "identical" if self.results == calm.results else "wrong"
        if self.status == 3:
            return "degraded_and_told" if "degraded:" in self.told else "wrong"
        lines = self.told.strip().splitlines()
        clear = any(line.startswith("error: ") for line in lines) and "Traceback" not in self.told
        return "clear_error" if clear and self.results in ({}, calm.results) else "wrong"


def write_config(folder: Path, kind: str, symbols: tuple[str, ...], **changes: Any) -> Path:
    """The config of one kind of run over the universe in `folder`; `changes`: of its sections."""
    settings: dict[str, Any] = {
        "name": "session",
        "session": {"start": str(DAY)},
        "symbols": list(symbols),
        "intervals": ["1m", "5m"],
        "indicators": ["SMA(20)@1m"],
        "sources": [{"root": str(folder / "bars")}],
        "history": {"max_missing_days": 1},
        "run": {"window": "5m"},
        "actors": {"call_timeout_s": 20},
        "ray": {"num_cpus": 2},
        "strategy": {"path": str(folder / "chaos.py"), "form": "on_bar"},
        "account": {"shared": kind == "portfolio"},
        "sweep": {"parameters": {"size": {"low": 1, "high": 40, "step": 1}}, "metric": "pnl"},
        "report": {"directory": str(folder / "reports" / kind), "formats": ["parquet"]},
    }
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump({**settings, **changes}))
    return path


def lost_calls(percent: int) -> dict[str, str]:
    """The environment of processes that lose so many of their calls: as many on the way there, on the way back, and
    in between.
    """
    parts = ("req_failure_prob", "resp_failure_prob", "in_flight_failure_prob")
    lost = {"num_failures": -1, **dict.fromkeys(parts, percent / 3)}
    return {"RAY_testing_rpc_failure": json.dumps({"CoreWorkerService.grpc_client.PushTask": lost})}


def arguments_of(kind: str, config: Path, out: Path, kept: Path | None = None) -> list[object]:
    """The command of a kind of run, which keeps a checkpoint where one is named."""
    fresh = ["--fresh"] if kind == "sweep" else []
    return [KINDS[kind], config, "--quiet", "--out", out, *(["--checkpoint", kept] if kept else fresh)]


def results_in(out: Path) -> dict[str, bytes]:
    """What a run has written, by name."""
    return {path.name: path.read_bytes() for pattern in _RESULTS for path in out.glob(pattern)}


class Run:
    """One command, and what it has started. `environment`: beside this process's. `limit_s`: after which it hangs."""

    def __init__(
        self, arguments: Sequence[object], out: Path, environment: Mapping[str, str] = {}, limit_s: float = _HANG_S
    ) -> None:
        self.out, self._limit_s = out, limit_s
        self._begun = perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "barray", *map(str, arguments)],
            env={**os.environ, **environment, "BARRAY_COLD": "1"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def seconds(self) -> float:
        """Since it began."""
        return perf_counter() - self._begun

    @property
    def runs(self) -> bool:
        """Whether the command has not ended."""
        return self._process.poll() is None

    def members(self, *titles: str) -> list[psutil.Process]:
        """Its processes but for the command itself; see started_by."""
        return [process for process in started_by([self._process.pid], *titles) if process.pid != self._process.pid]

    def kill(self) -> None:
        """The command itself."""
        with suppress(OSError):
            self._process.kill()

    def end(self) -> Outcome:
        """Wait for it, and for its processes to go; whatever is left then is killed."""
        try:
            _, told = self._process.communicate(timeout=self._limit_s)
            return Outcome(
                self._process.returncode, told, results_in(self.out), self.seconds, left_of(self.members, _GONE_S)
            )
        except subprocess.TimeoutExpired:
            return Outcome(None, seconds=self.seconds)
        finally:
            self.kill()
            for process in self.members():
                send(process, signal.SIGKILL)


def hit(run: Run, troubles: list[str], chance: random.Random, calm_s: float) -> None:
    """Bring the troubles about that need a moment, one after another, while the command runs."""
    for trouble in troubles:
        time.sleep(chance.uniform(0.1, 0.5) * calm_s)
        title = "forking.workers import server" if trouble == "forkserver" else "ray::"
        victims = run.members(title)
        for victim in chance.sample(victims, min(len(victims), chance.randint(1, 3))):
            send(victim, signal.SIGSTOP if trouble == "stop" else signal.SIGKILL)
