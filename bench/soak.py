"""Many sessions in one program, and what stays of them: `python -m bench.soak --sessions 250`.

A session is a day of minutes of two symbols, from `begin` to `teardown`, exported. Half of them are one after another
in one `Session` object, whose coordinator so lives through all; then each has an object, and a coordinator, of its
own; and on top one for each ten starts a Ray anew and ends it. Growth is that of memory which is nobody else's to give
back (RssAnon, MB) and of open descriptors, from after a warm-up of each kind to its end. `files_left`: of Ray's and
ours, after everything has ended. What each kind adds goes to standard error.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

import psutil

from bench.common import print_json_line

_WARM_UP, _WARM_UP_RAYS = 10, 3
_SETTLE_S = 2.0


def anonymous_mb(process: psutil.Process) -> float:
    """Memory of a process that no file stands behind, MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def ours() -> tuple[float, int]:
    """Of this process: memory in MB, and descriptors."""
    gc.collect()
    return anonymous_mb(psutil.Process()), psutil.Process().num_fds()


def coordinator() -> psutil.Process:
    """The only coordinator's process on the Ray that this process has started."""
    raylets = {str(child.pid) for child in psutil.Process().children(recursive=True)}
    return next(
        process
        for process in psutil.process_iter()
        if "Coordinator" in process.name() and process.environ().get("RAY_RAYLET_PID") in raylets
    )


class Growth:
    """What the program grows by over several kinds of work."""

    def __init__(self) -> None:
        self.mb = self.descriptors = 0.0

    def measure(self, kind: str, work: Callable[[], object], warm_up: int, count: int) -> float:
        """Do `work` so often, after a warm-up; seconds each took."""
        for _ in range(warm_up):
            work()
        before, begun = ours(), perf_counter()
        for _ in range(count):
            work()
        seconds = (perf_counter() - begun) / max(count, 1)
        mb, descriptors = (after - had for after, had in zip(ours(), before, strict=True))
        print(f"{count} {kind}: {mb:+.1f} MB, {descriptors:+.0f} descriptors, {seconds:.2f} s each", file=sys.stderr)
        self.mb += mb
        self.descriptors += descriptors
        return seconds


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=250)
    sessions = parser.parse_args().sessions
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        folder = Path(place)
        for name, variable in (("ray", "RAY_TMPDIR"), ("run", "XDG_RUNTIME_DIR")):  # before Ray reads them
            (folder / name).mkdir(mode=0o700)
            os.environ[variable] = str(folder / name)
        figures = soak(folder, sessions)
        sleep(_SETTLE_S)
        left = [path for name in ("ray", "run") for path in (folder / name).rglob("*") if not path.is_dir()]
        for path in left[:20]:
            print(f"left: {path.relative_to(folder)}", file=sys.stderr)
    print_json_line("soak", {"sessions": sessions, **figures, "files_left": len(left)})


def soak(folder: Path, sessions: int) -> dict[str, float]:
    """All the sessions; what they grow by."""
    from barray.coordinator import runtime
    from barray.coordinator.config.file import read_config
    from barray.session import Session
    from bench.runs import DAY, write_universe

    config = read_config(write_universe(folder, 2))
    growth = Growth()

    def day(session: Session) -> None:
        session.begin(DAY)
        session.advance_to()
        session.end()
        session.export(folder / "out")
        session.teardown()

    def whole() -> None:
        with Session(config) as session:
            day(session)

    runtime.start_ray(num_cpus=2)
    with Session(config) as session:
        for _ in range(_WARM_UP):
            day(session)
        before = anonymous_mb(coordinator())
        session_s = growth.measure("sessions of one object", lambda: day(session), 0, sessions // 2)
        coordinator_mb = anonymous_mb(coordinator()) - before
    growth.measure("sessions, an object each", whole, _WARM_UP, sessions - sessions // 2)
    runtime.leave_ray()
    ray_s = growth.measure("sessions, a Ray each", whole, _WARM_UP_RAYS, sessions // 10)
    return {
        "rays": sessions // 10,
        "session_s": session_s,
        "ray_s": ray_s,
        "driver_mb_growth": growth.mb,
        "coordinator_mb_growth": coordinator_mb,
        "descriptors_growth": int(growth.descriptors),
    }


if __name__ == "__main__":
    main()
