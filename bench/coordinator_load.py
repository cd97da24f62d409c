"""What one coordinator spends on its symbols: `python -m bench.coordinator_load --symbols 300,1000,3000`.

The real coordinator, state and fleet, in this process; processes are stand-ins that answer at once what one real symbol
answers. CPU microseconds a symbol: `begin_us` (Step 0 to loaded), `minute_us` (a live minute, a new bar each),
`snapshot_us`; `window_us`: a window in which nothing is due, whole. Bytes a symbol, pickled, there and back: `…_bytes`.
`call_us`: what a call to an actor that has nothing to do costs its caller in Ray, all threads, on top of these.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from barray.actors.nodes import Claim, Node
from barray.actors.symbol_actor import SymbolActor
from barray.actors.validation import validate_chunk
from barray.coordinator.config.file import as_config
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.local.connection import load_calendar
from barray.market.bars import Bar, Bars
from barray.market.commands import SnapshotTaken
from barray.sample.universe import write_sample_data
from bench.common import print_json_line

BEFORE, DAY = date(2024, 7, 1), date(2024, 7, 2)
_ONE = "AAPL"
_MINUTE_NS = 60_000_000_000
_MINUTES, _WINDOWS, _CALLS = 10, 200, 4_000


class StandIns:
    """See barray.coordinator.fleet.Transport: 64 nodes, whose processes know one symbol's answers. `sizes`: bytes that
    went to symbols and came from them.
    """

    wait_s = 0.0

    def __init__(self) -> None:
        self._actor = SymbolActor()
        self._answers: dict[type, Any] = {}
        self._nodes = {f"node {number}": Node(f"node {number}", 64.0, 64.0) for number in range(64)}
        self.sizes = Counter[str]()

    def start(self, claim: Claim, node: str | None) -> object:
        """A process that is none."""
        return object()

    def nodes(self) -> Mapping[str, Node]:
        """All of them."""
        return self._nodes

    def has_left(self, node: str) -> bool:
        """None does."""
        return False

    def node_of(self, process: object) -> str:
        """Not asked for: all are placed."""
        return ""

    async def make_room(self, claim: Claim, count: int) -> None:
        """There is room."""

    async def make_ready(self, cpus: int) -> None:
        """There are enough."""

    async def execute(
        self, batches: Sequence[tuple[Any, Sequence[tuple[str, Any]]]], timeout_s: float, silence_s: float | None = None
    ) -> list[Any]:
        """The answers of the symbol that there is, in each one's name."""
        await asyncio.sleep(0)
        return [[self._answer(symbol, command) for symbol, command in batch] for _, batch in batches]

    def _answer(self, symbol: str, command: Any) -> Any:
        kind = type(command)
        if kind not in self._answers:
            (self._answers[kind],) = self._actor.execute(((_ONE, command),))
            self.sizes[kind.__name__] = len(pickle.dumps(command)) + len(pickle.dumps(self._answers[kind]))
        answer = self._answers[kind]
        return SnapshotTaken(replace(answer.data, symbol=symbol)) if isinstance(answer, SnapshotTaken) else answer

    def forget(self, process: object, symbols: Sequence[str]) -> None:
        """It knows nothing."""

    def kill(self, process: object) -> None:
        """It is none."""

    async def validate(self, work: tuple[Any, ...], timeout_s: float, node: str | None = None) -> Any:
        """What is found of the symbol that there is, in each one's name."""
        symbols, *how = work
        found = self._found = getattr(self, "_found", None) or validate_chunk([_ONE], *how)[_ONE]
        return {symbol: replace(found, symbol=symbol) for symbol in symbols}


async def measured(root: str, count: int, stand_ins: StandIns) -> dict[str, float]:
    """CPU of a session of so many symbols in processes of their own."""
    symbols = [_ONE, *(f"S{number}" for number in range(1, count))]
    config = as_config(
        {
            "session": {"start": str(DAY)},
            "symbols": symbols,
            "intervals": ["1m", "5m"],
            "indicators": ["SMA(20)@1m", "RSI(14)@5m"],
            "history": {"trailing_days": 1},
            "sources": [{"root": root}],
            "actors": {"heartbeat_s": 3600},
        }
    )
    coordinator = SessionCoordinator(config, load_calendar(config, config.requirements), stand_ins)
    cpu_s = [time.process_time()]
    await coordinator.begin()
    cpu_s.append(time.process_time())
    now_ns = coordinator.state.running().clock.now_ns()
    for _ in range(_MINUTES):
        bars = Bars.of([Bar(now_ns, 10.0, 11.0, 9.0, 10.0, 100.0)])
        now_ns += _MINUTE_NS
        await coordinator.advance(now_ns, dict.fromkeys(symbols, bars))
    cpu_s.append(time.process_time())
    for _ in range(_WINDOWS):
        now_ns += _MINUTE_NS
        await coordinator.advance(now_ns)
    cpu_s.append(time.process_time())
    await coordinator.snapshots()
    cpu_s.append(time.process_time())
    begin, minutes, windows, snapshot = (later - before for before, later in pairwise(cpu_s))
    return {
        "begin_us": 1e6 * begin / count,
        "minute_us": 1e6 * minutes / count / _MINUTES,
        "window_us": 1e6 * windows / _WINDOWS,
        "snapshot_us": 1e6 * snapshot / count,
        "load_bytes": stand_ins.sizes["Load"],
        "minute_bytes": stand_ins.sizes["AppendBars"],
        "snapshot_bytes": stand_ins.sizes["TakeSnapshot"],
    }


def call_us() -> float:
    """CPU microseconds that a call costs its caller in Ray, in rounds over eight actors."""
    from barray.actors.transport import RayTransport
    from barray.coordinator import runtime

    runtime.start_ray(num_cpus=2)
    try:
        transport = RayTransport()
        (node,) = transport.nodes()
        processes = [transport.start(Claim(0.001), node) for _ in range(8)]

        async def rounds(count: int) -> None:
            for _ in range(count):
                await transport.execute([(process, ()) for process in processes], 60.0)

        asyncio.run(rounds(5))
        begun = time.process_time()
        asyncio.run(rounds(_CALLS // len(processes)))
        return 1e6 * (time.process_time() - begun) / _CALLS
    finally:
        runtime.leave_ray()


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", default="300,1000,3000")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        write_sample_data(Path(root), symbols=[_ONE], start=BEFORE, end=DAY)
        stand_ins = StandIns()
        asyncio.run(measured(root, 300, stand_ins))  # warms up, and finds the real answers
        for count in map(int, options.symbols.split(",")):
            figures = asyncio.run(measured(root, count, stand_ins))
            print_json_line("coordinator_load", {"symbols": count, **figures})
    print_json_line("coordinator_load", {"call_us": call_us()})


if __name__ == "__main__":
    main()
