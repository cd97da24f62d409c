"""What a checkpoint costs, and whether a run that died ends as it would have: `python -m bench.checkpoint --kills 12`.

`wrong`: of a real journal cut off at 1,000 random bytes, as many with a bit that is another, and of real kills (the
command, its coordinator, all of Ray, everything) at random moments, those that went on otherwise than they should: 0.
`refused`: bits whose damage was told, with the place. `resume_s`: a resume with one symbol left to be run, less a start
of Ray. `overhead`: what --checkpoint adds to whole cold commands, CPU of all of their processes and time; medians of
ratios in pairs, which take turns at who goes first, with intervals of 95 %. `writing`: of that the driver's own CPU in
opening and writing it, for a machine too busy to tell the pairs apart; a portfolio's steps also travel to the driver.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import yaml

from barray.checkpoint import frames
from barray.checkpoint.checkpoint import Checkpoint, stored
from barray.checkpoint.frames import read_journal
from barray.market.errors import ConfigError, DataError
from barray.runs.backtest import backtest
from barray.sample.universe import sample_symbols, write_sample_data
from bench.common import median_interval, print_json_line
from bench.processes import reaped, send, started_by

_TITLES = {"everything": "", "command": "-m barray", "coordinator": "Coordinator", "ray": "raylet"}
_CUTS = 1_000
_STRATEGY = """\
import time
from barray import Strategy

class Crosses(Strategy):
    def on_session(self, seen):
        time.sleep({pause_s})

    def {hook}(self, seen):
        {body}
"""
_BODIES = {
    "on_bar": "seen.buy(3) if seen.bar % 9 == 0 else seen.close_position() if seen.bar % 9 == 5 else None",
    "on_window": "seen.order(seen.symbols[seen.minute % len(seen.symbols)], 5 - seen.minute % 10)",
}


def write_config(folder: Path, kind: str, symbols: tuple[str, ...], pause_s: float = 0.0) -> Path:
    """A backtest of one kind (`on_bar`, or `on_window`) over the bars in the folder."""
    code = folder / f"{kind}.py"
    code.write_text(_STRATEGY.format(pause_s=pause_s, hook=kind, body=_BODIES[kind]))
    settings = {
        "name": kind.replace("_", "-"),
        "session": {"start": "2024-06-10", "end": "2024-07-05"},
        "symbols": list(symbols),
        "sources": [{"root": str(folder / "bars")}],
        "strategy": {"path": str(code)},
        "account": {"shared": kind == "on_window"},
        "report": {"directory": str(folder / "out"), "formats": ["parquet"]},
        "ray": {"num_cpus": 2},
    }
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def cut_and_damaged(checkpoint: Path, chance: random.Random) -> dict[str, int]:
    """What became of a journal that was cut off, and of one with a damaged bit, at so many random bytes each."""
    (path,) = sorted(checkpoint.glob("*.journal"))[:1]
    whole = path.read_bytes()
    records = read_journal({1: whole}, "whole").records
    found = Counter[str]()
    for _ in range(_CUTS):
        read = read_journal({1: whole[: chance.randrange(len(whole))]}, "cut").records
        found["resumed" if read == records[: len(read)] else "wrong"] += 1
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        try:
            read = read_journal({1: bytes(damaged)}, "damaged").records
            found["resumed" if read == records[: len(read)] else "wrong"] += 1
        except DataError as error:
            found["refused" if "at byte" in str(error) else "wrong"] += 1
    return dict(found)


class Command:
    """A command and its processes."""

    def __init__(self, *arguments: object) -> None:
        self._begun = perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "barray", *map(str, arguments), "--quiet"],
            env={**os.environ, "BARRAY_COLD": "1"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def kill(self, *titles: str) -> None:
        """SIGKILL its processes, those whose command line has one of these in it, where any are named."""
        for process in started_by([self.process.pid], *titles):
            send(process, signal.SIGKILL)

    def end(self) -> tuple[int, float, str]:
        """Exit status, seconds and what it said, once it has ended; whatever is left of it is killed."""
        _, said = self.process.communicate(timeout=180)
        seconds = perf_counter() - self._begun
        self.kill()
        return self.process.returncode, seconds, said.decode(errors="replace")


def results(folder: Path) -> dict[str, bytes]:
    """The tables that a backtest wrote."""
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")}


def killed(config: Path, calm: dict[str, bytes], calm_s: float, title: str, chance: random.Random) -> str:
    """A run that is killed at a random moment, and resumed till it ends: how."""
    with tempfile.TemporaryDirectory(dir=config.parent) as place:
        kept, out = Path(place) / "kept", Path(place) / "out"
        command = Command("backtest", config, "--checkpoint", kept, "--out", out)
        time.sleep(chance.uniform(0.3, 1.0) * calm_s)
        command.kill(*filter(None, [title]))
        status, _, _ = command.end()
        if status == 0:
            return "done" if results(out) == calm else "wrong"
        try:
            begun = stored(kept)
        except ConfigError:
            return "not_begun"
        status, _, said = Command("resume", kept).end()
        if status or results(out) != calm:
            print(f"{config.stem}, {title or 'everything'} killed, {begun.told}: {said[-300:]}", file=sys.stderr)
            return "wrong"
        return "resumed"


def ray_start_s() -> float:
    """A process that starts a Ray and ends it."""
    code = "from barray.coordinator import runtime\nruntime.start_ray(2)\nruntime.prewarm()\nruntime.leave_ray()"
    begun = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return perf_counter() - begun


def resume_s(folder: Path, config: Path, repeat: int) -> float:
    """The median of resumes with one symbol to go, less a start of Ray."""
    taken = []
    for number in range(repeat):
        kept = folder / f"resumed-{number}"
        backtest(config, checkpoint=kept)
        first = kept / "00000001.journal"
        run, whole = stored(kept).run, read_journal({1: first.read_bytes()}, "whole")
        first.unlink()
        content, end = frames.opening(1, frames.End(), "bench")
        more, _ = frames.framed(whole.records[:-2], end)
        first.write_bytes(content + more)
        command = Command("backtest", config, "--checkpoint", kept, "--out", kept / "out")
        status, seconds, said = command.end()
        if status:
            raise SystemExit(f"{run.command}: {said}")
        taken.append(seconds - ray_start_s())
    return statistics.median(taken)


def overhead(folder: Path, config: Path, pairs: int) -> dict[str, float]:
    """What a checkpoint adds to a whole backtest."""
    ratios = {"cpu": list[float](), "wall": list[float]()}
    plain_cpu_s, added_cpu_s = [], []
    for number in range(pairs):
        kept = ("--checkpoint", folder / f"{config.stem}-{number}")
        spent, environment = {}, {**os.environ, "BARRAY_COLD": "1"}
        for options in ((), kept) if number % 2 else (kept, ()):
            command = (sys.executable, "-m", "barray", "backtest", config, "--quiet", "--out", folder / "timed")
            spent[bool(options)] = reaped((*command, *options), environment)
        ratios["cpu"].append(spent[True].cpu_s / spent[False].cpu_s)
        ratios["wall"].append(spent[True].wall_s / spent[False].wall_s)
        plain_cpu_s.append(spent[False].cpu_s)
        added_cpu_s.append(spent[True].cpu_s - spent[False].cpu_s)
    figures = {"plain_cpu_s": statistics.median(plain_cpu_s), "added_cpu_s": statistics.median(added_cpu_s)}
    for of, found in ratios.items():
        low, high = median_interval(found)
        figures[f"overhead_{of}_pct"] = 100 * (statistics.median(found) - 1)
        figures |= {f"overhead_{of}_pct_from": 100 * (low - 1), f"overhead_{of}_pct_to": 100 * (high - 1)}
    return figures


def writing_cpu_s(folder: Path, config: Path, repeat: int = 3) -> float:
    """What the driver of a backtest itself spends on its checkpoint, on the Ray that is up: a median."""
    taken = list[float]()
    opened, add = Checkpoint._opened, Checkpoint.add

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            begun = thread_time()
            try:
                return work(*arguments)
            finally:
                taken[-1] += thread_time() - begun

        return call

    Checkpoint._opened, Checkpoint.add = timed(opened), timed(add)  # type: ignore[method-assign]
    for number in range(repeat):
        taken.append(0.0)
        backtest(config, checkpoint=folder / f"{config.stem}-written-{number}")
    Checkpoint._opened, Checkpoint.add = opened, add  # type: ignore[method-assign]
    return statistics.median(taken)


def survived(folder: Path, symbols: tuple[str, ...], kills: int, chance: random.Random) -> dict[str, Any]:
    """What became of runs that were killed, and of a journal that was cut off and damaged; and what a resume takes."""
    found = Counter[str]()
    for kind, few, pause_s in (("on_bar", symbols[:12], 0.02), ("on_window", symbols[:6], 0.3)):
        config = write_config(folder, kind, few, pause_s)
        command = Command("backtest", config, "--out", folder / f"calm-{kind}")
        status, calm_s, said = command.end()
        if status:
            raise SystemExit(said)
        for _ in range(kills // 2):
            title = _TITLES[chance.choice(list(_TITLES))]
            found[killed(config, results(folder / f"calm-{kind}"), calm_s, title, chance)] += 1
    journal = folder / "kept"
    backtest(write_config(folder, "on_bar", symbols), checkpoint=journal)
    cuts = cut_and_damaged(journal, chance)
    resumed_s = resume_s(folder, write_config(folder, "on_bar", symbols[:12]), 3)
    figures = {f"kills_{name}": found[name] for name in ("resumed", "done", "not_begun")}
    cut = {"cuts": 2 * _CUTS, "cuts_refused": cuts.get("refused", 0), "wrong": found["wrong"] + cuts.get("wrong", 0)}
    return {**figures, **cut, "resume_s": resumed_s}


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--overhead-only", action="store_true", help="Nothing is killed.")
    options = parser.parse_args()
    from barray.coordinator import runtime

    figures: dict[str, Any] = {"symbols": options.symbols, "pairs": options.pairs}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["XDG_RUNTIME_DIR"] = place  # where no Ray is kept warm
        symbols = tuple(sample_symbols(options.symbols))
        write_sample_data(folder / "bars", symbols=symbols, start=date(2024, 6, 3), end=date(2024, 7, 5))
        configs = [write_config(folder, kind, symbols) for kind in _BODIES]
        costs = [overhead(folder, config, options.pairs) for config in configs]
        runtime.start_ray(num_cpus=2)
        for config, cost in zip(configs, costs, strict=True):
            cost["writing_cpu_pct"] = 100 * writing_cpu_s(folder, config) / cost["plain_cpu_s"]
            figures |= {f"{config.stem}_{name}": value for name, value in cost.items()}
        if not options.overhead_only:
            figures |= survived(folder, symbols, options.kills, random.Random(options.seed))
        runtime.leave_ray()
    print_json_line("checkpoint", figures)


if __name__ == "__main__":
    main()
