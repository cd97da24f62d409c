"""Runs hit by random mixtures of troubles, and what became of each: `python -m bench.chaos --runs 20 --seed 1`.

Troubles: kill -9 and SIGSTOP of workers, calls lost on their way, a full disk for the results (root only: a tmpfs), a
lost forkserver. A run ends `identical` to a calm one, `degraded_and_told`, with a `clear_error`, or not as it should:
`hang`, `wrong` (done, but with other results), `leaked` (processes left). `recovery_ratio`: a session one in ten of
whose processes is killed ÷ a calm one, wall time.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from barray.sample.universe import sample_symbols, write_sample_data
from bench.cluster_troubles import chaos_on_cluster
from bench.common import print_json_line
from bench.runs import DAY
from bench.troubles import KINDS, STRATEGY, Outcome, Run, arguments_of, hit, lost_calls, write_config

TROUBLES = ("kill", "stop", "rpc", "disk", "forkserver")


def chaos(folder: Path, kind: str, troubles: list[str], chance: random.Random, calm: Outcome) -> Outcome:
    """One run with its troubles."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out = Path(place)
        disk = "disk" in troubles and os.geteuid() == 0
        if disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", place], check=True)
        try:
            environment = lost_calls(9) if "rpc" in troubles else {}
            run = Run(arguments_of(kind, folder / f"{kind}.yaml", out), out, environment)
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
            out = Path(place)
            run = Run(arguments_of("session", folder / "session.yaml", out), out)
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
    parser.add_argument("--cluster", action="store_true", help="On nodes of a cluster, which are hit too.")
    parser.add_argument("--troubles", default="", help="With --cluster: these alone, with commas between.")
    parser.add_argument("--at-once", type=int, default=2, help="With --cluster: clusters side by side.")
    options = parser.parse_args()
    if options.cluster:
        chaos_on_cluster(options.runs, options.seed, options.symbols, options.troubles, options.at_once)
        return
    chance = random.Random(options.seed)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["XDG_RUNTIME_DIR"] = place  # where no Ray is kept warm
        symbols = tuple(sample_symbols(options.symbols))
        write_sample_data(folder / "bars", symbols=symbols, start=DAY, end=DAY)
        (folder / "chaos.py").write_text(STRATEGY)
        calm = {}
        for number in range(options.runs):
            kind = chance.choice(list(KINDS))
            troubles = chance.sample(TROUBLES, chance.randint(1, 3))
            if kind not in calm:
                write_config(folder, kind, symbols)
                out = folder / f"calm-{kind}"
                calm[kind] = Run(arguments_of(kind, folder / f"{kind}.yaml", out), out).end()
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
