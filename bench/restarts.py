"""One symbol's process killed again and again: `python -m bench.restarts`. What a restart takes, what it leaves.

`leaked_…`: what there is more of after all the restarts than after the first ten, processes of Ray and ours together.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from time import perf_counter

import psutil

from barray.coordinator.config.file import read_config
from barray.session import Session
from bench.common import print_json_line
from bench.runs import write_universe

_WARM_UP = 10
_SETTLE_S = 2.0


def ours() -> list[psutil.Process]:
    """Ourselves, what we started (but for one), and our forkserver with its workers, which are nobody's children."""
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    raylets = {str(pid) for pid in found}
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAY_RAYLET_PID") in raylets:
                found[process.pid] = process
        except psutil.Error:  # gone, or somebody else's
            continue
    # Ray's log monitor keeps up to 200 log files of dead workers open, and closes them then
    return [psutil.Process(), *(p for p in found.values() if not any("log_monitor.py" in w for w in p.cmdline()))]


def count() -> Counter[str]:
    """Processes, descriptors (sockets included) and, of the forkserver, files."""
    processes = ours()
    servers = {Path(word).parent for process in processes for word in process.cmdline() if word.endswith(".sock")}
    return Counter(
        processes=len(processes),
        descriptors=sum(process.num_fds() for process in processes),
        files=sum(len(list(folder.iterdir())) for folder in servers),
    )


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=200)
    restarts = parser.parse_args().restarts
    with tempfile.TemporaryDirectory() as folder:
        config = read_config(write_universe(Path(folder), 1))
        actors = config.actors.model_copy(update={"max_restarts": restarts + _WARM_UP})
        (symbol,) = config.symbols
        with Session(config.model_copy(update={"actors": actors})) as session:
            session.begin()

            def restart() -> None:
                (worker,) = [process for process in ours() if process.name().startswith("ray::Symbol")]
                worker.kill()
                session.snapshot(symbol)

            for _ in range(_WARM_UP):
                restart()
            time.sleep(_SETTLE_S)
            before, begun = count(), perf_counter()
            for _ in range(restarts):
                restart()
            seconds = perf_counter() - begun
            time.sleep(_SETTLE_S)
            leaked = count()
            leaked.subtract(before)
    figures = {f"leaked_{name}": number for name, number in leaked.items()}
    print_json_line("restarts", {"restarts": restarts, "restart_ms": 1000 * seconds / restarts, **figures})


if __name__ == "__main__":
    main()
