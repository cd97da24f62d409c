"""A session's phases, timed: `python -m bench.session --symbols 8`. Ten trailing days of one-minute bars."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import perf_counter

from barray.coordinator.lifecycle import Phase
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.sample.universe import sample_symbols, write_sample_data
from barray.session import Session
from bench.common import machine_facts, print_json_line

DAY = date(2024, 7, 2)
_PHASES = {Phase.VALIDATING: "step0_s", Phase.PROVISIONING: "spawn_s", Phase.LOADING: "load_s"}


class TimedCoordinator(SessionCoordinator):
    """Says how long its phases took."""

    def phase_seconds(self) -> dict[str, float]:
        """How long validating, provisioning and loading took."""
        found = self.tally.phase_seconds(perf_counter())
        return {name: found[phase.value] for phase, name in _PHASES.items()}


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=8)
    count = parser.parse_args().symbols
    figures: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begun = perf_counter()
        yield
        figures[name] = perf_counter() - begun

    with tempfile.TemporaryDirectory() as folder:
        symbols = sample_symbols(count)
        write_sample_data(Path(folder) / "bars", symbols=symbols, start=date(2024, 6, 14), end=DAY)
        config = {
            "session": {"start": str(DAY)},
            "symbols": list(symbols),
            "intervals": ["1m", "5m", "15m"],
            "indicators": ["RSI(14)@5m", "SMA(20)@1m"],
            "history": {"trailing_days": 10},
            "sources": [{"root": f"{folder}/bars"}],
            "export": {"directory": f"{folder}/out"},
        }
        session = Session(config, coordinator=TimedCoordinator)
        try:
            with timed("ray_start_s"):
                session.open()
            session.begin()
            figures.update(session._remote.call("phase_seconds"))
            with timed("run_s"):
                session.advance_to()
            session.end()
            with timed("export_s"):
                session.export()
            with timed("teardown_s"):
                session.teardown()
        finally:
            session.close()
    order = ("ray_start_s", "step0_s", "spawn_s", "load_s", "run_s", "export_s", "teardown_s")
    load_and_run = figures["load_s"] + figures["run_s"]
    print_json_line(
        "session",
        {
            "symbols": count,
            **{name: round(figures[name], 3) for name in order},
            "load_and_run_to_spawn": round(load_and_run / figures["spawn_s"], 3),
            **machine_facts(),
        },
    )


if __name__ == "__main__":
    main()
