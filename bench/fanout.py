"""One `advance` over N symbol actors against a bare no-op call over N bare Ray actors, in one run:
`python -m bench.fanout --symbols 40`. Both are submitted and awaited from one async actor, as the coordinator is one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

from barray.coordinator.session_coordinator import SessionCoordinator
from barray.sample.universe import sample_symbols, write_sample_data
from barray.session import Session
from bench.common import machine_facts, print_json_line

DAY = date(2024, 7, 2)


class Bare:
    """Does nothing."""

    def nothing(self) -> None:
        """Return."""


class MeasuringCoordinator(SessionCoordinator):
    """Advances its symbols and calls bare actors in turn, timing each fan-out."""

    async def start_bare(self, count: int) -> None:
        """Start `count` bare actors."""
        import asyncio

        import ray

        kind: Any = ray.remote(Bare)
        self._bare = [kind.options(num_cpus=0.001, enable_task_events=False).remote() for _ in range(count)]
        await asyncio.gather(*(actor.nothing.remote() for actor in self._bare))

    async def measure(self, rounds: int) -> tuple[list[float], list[float]]:
        """Seconds of each advance by one minute, and of each bare fan-out, taken in turn."""
        import asyncio

        day = self.state.running()
        ours, bare = [], []
        for _ in range(rounds):
            begun = perf_counter()
            await self.advance(day.clock.now_ns() + 60_000_000_000)
            between = perf_counter()
            await asyncio.gather(*(actor.nothing.remote() for actor in self._bare))
            ours.append(between - begun)
            bare.append(perf_counter() - between)
        return ours, bare


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    symbols = sample_symbols(options.symbols)
    with tempfile.TemporaryDirectory() as folder:
        write_sample_data(Path(folder), symbols=symbols, start=DAY, end=DAY)
        config = {
            "session": {"start": str(DAY)},
            "symbols": list(symbols),
            "intervals": ["1m", "5m"],
            "sources": [{"root": folder}],
            "ray": {"num_cpus": 2},
        }
        with Session(config, coordinator=MeasuringCoordinator) as session:
            session.begin()
            session._remote.call("start_bare", options.symbols)
            session._remote.call("measure", 20)
            ours, bare = session._remote.call("measure", options.rounds)
    print_json_line(
        "fanout",
        {
            "symbols": options.symbols,
            "advance_ms": round(1000 * statistics.median(ours), 2),
            "bare_ms": round(1000 * statistics.median(bare), 2),
            "ratio": round(statistics.median(ours) / statistics.median(bare), 3),
            **machine_facts(),
        },
    )


if __name__ == "__main__":
    main()
