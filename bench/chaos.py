"""Runs hit by random mixtures of troubles, and what became of each: `python -m bench.chaos --runs 20 --seed 1`.

Troubles: kill -9 and SIGSTOP of workers, calls lost on their way, a full disk for the results (root only: a tmpfs), a
lost forkserver. A run ends `identical` to a calm one, `degraded_and_told`, with a `clear_error`, or not as it should:
`hang`, `wrong` (done, but with other results), `leaked` (processes left). `recovery_ratio`: a session one in ten of
whose processes is killed ÷ a calm one, wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import psutil
import yaml

from barray.sample.universe import sample_symbols, write_sample_data
from bench.common import print_json_line
from bench.runs import DAY

KINDS = {"session": "run", "backtest": "backtest", "sweep": "sweep", "portfolio": "backtest"}
TROUBLES = ("kill", "stop", "rpc", "disk", "forkserver")
_RESULTS = ("session-*.json", "trades.parquet", "equity.parquet", "*-sweep.csv")
_LOST = {"num_failures": -1, "req_failure_prob": 3, "resp_failure_prob": 3, "in_flight_failure_prob": 3}
_MARK = "BARRAY_CHAOS"
_HANG_S, _GONE_S = 180.0, 20.0
_STRATEGY = """\
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


def write_config(folder: Path, kind: str, symbols: tuple[str, ...]) -> Path:
    """The config of one kind of run over the universe in `folder`."""
    settings = {
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
    path.write_text(yaml.safe_dump(settings))
    return path


class Run:
    """One command, its processes found by a mark in their environment."""

    def __init__(self, kind: str, config: Path, out: Path, *, lossy: bool = False) -> None:
        self.mark = f"{os.getpid()}-{out.name}"
        self.out = out
        environment = {**os.environ, _MARK: self.mark, "BARRAY_COLD": "1"}
        if lossy:
            environment["RAY_testing_rpc_failure"] = json.dumps({"CoreWorkerService.grpc_client.PushTask": _LOST})
        fresh = ["--fresh"] if kind == "sweep" else []
        command = [sys.executable, "-m", "barray", KINDS[kind], str(config), "--quiet", "--out", str(out), *fresh]
        self._begun = perf_counter()
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    @property
    def runs(self) -> bool:
        """Whether the command has not ended."""
        return self._process.poll() is None

    def members(self, title: str = "") -> list[psutil.Process]:
        """Its processes but for the command itself, those whose command line has `title` in it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                marked = process.environ().get(_MARK) == self.mark and process.pid != self._process.pid
                if marked and process.status() != psutil.STATUS_ZOMBIE and title in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def end(self) -> Outcome:
        """Wait for it, and for its processes to go."""
        try:
            _, told = self._process.communicate(timeout=_HANG_S)
        except subprocess.TimeoutExpired:
            self._kill()
            return Outcome(None)
        seconds, until = perf_counter() - self._begun, perf_counter() + _GONE_S
        while (left := self.members()) and perf_counter() < until:
            time.sleep(0.2)
        self._kill()
        files = [path for pattern in _RESULTS for path in self.out.glob(pattern)]
        results = {path.name: path.read_bytes() for path in files}
        return Outcome(self._process.returncode, told, results, seconds, len(left))

    def _kill(self) -> None:
        with suppress(OSError):
            self._process.kill()
        for process in self.members():
            with suppress(psutil.Error):
                process.kill()


def hit(run: Run, troubles: list[str], chance: random.Random, calm_s: float) -> None:
    """Bring the troubles about that need a moment, one after another, while the command runs."""
    for trouble in troubles:
        time.sleep(chance.uniform(0.1, 0.5) * calm_s)
        title = "forkserver/server.py" if trouble == "forkserver" else "ray::"
        victims = run.members(title)
        for victim in chance.sample(victims, min(len(victims), chance.randint(1, 3))):
            with suppress(psutil.Error):
                victim.send_signal(signal.SIGSTOP if trouble == "stop" else signal.SIGKILL)


def chaos(folder: Path, kind: str, troubles: list[str], chance: random.Random, calm: Outcome) -> Outcome:
    """One run with its troubles."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out = Path(place)
        disk = "disk" in troubles and os.geteuid() == 0
        if disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", place], check=True)
        try:
            run = Run(kind, folder / f"{kind}.yaml", out, lossy="rpc" in troubles)
            hit(run, [one for one in troubles if one in ("kill", "stop", "forkserver")], chance, calm.seconds)
            return run.end()
        finally:
            if disk:
                subprocess.run(["umount", place], check=True)


def recovery_ratio(folder: Path, symbols: int) -> float:
    """A session whose symbols' processes are killed, one in ten, once they run ÷ one that is left alone."""
    taken = []
    for victims in (0, max(1, symbols // 10)):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            run = Run("session", folder / "session.yaml", Path(place))
            while victims and run.runs and len(found := run.members("ray::Symbol")) < symbols:
                time.sleep(0.05)
            for victim in found[:victims] if victims else ():
                with suppress(psutil.Error):
                    victim.kill()
            taken.append(run.end().seconds)
    return taken[1] / taken[0]


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--symbols", type=int, default=10)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        symbols = tuple(sample_symbols(options.symbols))
        write_sample_data(folder / "bars", symbols=symbols, start=DAY, end=DAY)
        (folder / "chaos.py").write_text(_STRATEGY)
        calm = {}
        for number in range(options.runs):
            kind = chance.choice(list(KINDS))
            troubles = chance.sample(TROUBLES, chance.randint(1, 3))
            if kind not in calm:
                write_config(folder, kind, symbols)
                calm[kind] = Run(kind, folder / f"{kind}.yaml", folder / f"calm-{kind}").end()
            outcome = chaos(folder, kind, troubles, chance, calm[kind])
            verdict = outcome.verdict(calm[kind])
            found[verdict] += 1
            if verdict in ("hang", "wrong", "leaked"):
                said = outcome.told.strip()[-300:]
                print(f"run {number}, {kind}: {verdict} after {', '.join(troubles)}: {said}", file=sys.stderr)
        if "session" not in calm:
            write_config(folder, "session", symbols)
        ratio = recovery_ratio(folder, options.symbols)
    verdicts = ("identical", "degraded_and_told", "clear_error", "hang", "wrong", "leaked")
    figures = {"runs": options.runs, **{name: found[name] for name in verdicts}, "recovery_ratio": ratio}
    print_json_line("chaos", figures)


if __name__ == "__main__":
    main()
