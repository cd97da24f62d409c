"""Whole runs of the command line, as processes of their own, timed and weighed. Used by startup, pack and growth."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from time import perf_counter, time

import psutil

from barray.sample.universe import sample_symbols, write_sample_data

DAY = date(2024, 7, 2)
_MARK = "BARRAY_BENCH_BLOCK"


def write_universe(folder: Path, count: int, *, per_actor: int | str = 1) -> Path:
    """One day of minutes of `count` symbols, and a config over them; the config's path."""
    symbols = sample_symbols(count)
    write_sample_data(folder / "bars", symbols=symbols, start=DAY, end=DAY)
    config = folder / "session.yaml"
    config.write_text(
        f"session: {{start: {DAY}}}\nsymbols: {list(symbols)}\nintervals: [1m, 5m, 15m]\n"
        f"indicators: [SMA(20)@1m]\nsources: [{{root: bars}}]\nexport: {{directory: out}}\n"
        f"actors: {{symbols_per_actor: {per_actor}}}\nhistory: {{max_missing_days: 1}}\n"
    )
    return config


def barray(*arguments: object) -> subprocess.Popen[bytes]:
    """Start the command."""
    command = [sys.executable, "-m", "barray", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_and_validate(config: Path) -> tuple[float, float]:
    """Seconds of `barray run` and of `barray validate-dump` on what it wrote; SystemExit where either fails."""
    begun = perf_counter()
    finish(barray("run", config, "--quiet"))
    between = perf_counter()
    finish(barray("validate-dump", config.parent / f"out/session-{DAY}.json"))
    return between - begun, perf_counter() - between


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a command; SystemExit with what it said if it failed."""
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said.decode(errors="replace"))


@dataclass
class PeakMemory:
    """Largest sum of proportional set sizes (MB) of all processes that the block started, and those that these did:
    they have its mark in their environment.

    Sampled every `sample_s`, which at twice a second itself costs a few per cent of a core.
    """

    sample_s: float = 0.5
    peak_mb: float = 0.0
    _ours: dict[int, bool] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> PeakMemory:
        self._ours = dict.fromkeys(psutil.pids(), False)
        os.environ[_MARK] = f"{os.getpid()}-{id(self)}"
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        del os.environ[_MARK]

    def _watch(self) -> None:
        while not self._stop.wait(self.sample_s):
            total = 0
            for pid in psutil.pids():
                try:
                    process = psutil.Process(pid)
                    is_ours = self._ours.get(pid)
                    if is_ours is None:
                        is_ours = process.environ().get(_MARK) == os.environ[_MARK]
                        if is_ours or time() - process.create_time() > 1:  # else it may be yet to become a command
                            self._ours[pid] = is_ours
                    total += process.memory_full_info().pss if is_ours else 0
                except psutil.Error:
                    continue
            self.peak_mb = max(self.peak_mb, total / 2**20)
