"""One live minute, a new bar for each of N symbols in a process each, against the same by stock Ray calls, in one run:
`python -m bench.fanout --symbols 40`.

`ratio`: the coordinator's minute ÷ N plain Ray actors with the same symbols, called with the same commands and awaited
together. `ratio_no_op`: ÷ calling these with nothing to do. All in turn, from one async actor, as the coordinator is.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

from barray.actors.symbol_actor import SymbolActor
from barray.coordinator.messages import Instruction, Tell
from barray.coordinator.session_coordinator import SessionCoordinator
from barray.market.bars import Bar, Bars
from barray.market.commands import AppendBars, Load
from barray.sample.universe import sample_symbols, write_sample_data
from barray.session import Session
from bench.common import print_json_line

BEFORE, DAY = date(2024, 7, 1), date(2024, 7, 2)
_MINUTE_NS = 60_000_000_000


class MeasuringCoordinator(SessionCoordinator):
    """Gives its symbols, loaded without the day's bars, and stock actors a bar in turn, timing each fan-out."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._loads: dict[str, Load] = {}

    async def _do(self, instruction: Instruction) -> Any:
        if isinstance(instruction, Tell):
            given = {s: replace(told, live=True) if isinstance(told, Load) else told
                     for s, told in instruction.commands.items()}  # fmt: skip
            self._loads = {symbol: told for symbol, told in given.items() if isinstance(told, Load)} or self._loads
            instruction = Tell(given)
        return await super()._do(instruction)

    async def start_stock(self) -> None:
        """Start stock actors, and have them load the same symbols."""
        import ray

        kind: Any = ray.remote(SymbolActor)
        self._stock = {s: kind.options(num_cpus=0.001, enable_task_events=False).remote() for s in self._loads}
        await asyncio.gather(*(self._stock[s].execute.remote(((s, load),)) for s, load in self._loads.items()))

    async def measure(self, rounds: int) -> dict[str, list[float]]:
        """Seconds of each fan-out, taken in turn: `ours`, `stock`, and `no_op`."""
        taken: dict[str, list[float]] = {"ours": [], "stock": [], "no_op": []}
        for _ in range(rounds):
            since_ns = self.state.running().clock.now_ns()
            at_ns = since_ns + _MINUTE_NS
            bars = {symbol: Bars.of([Bar(since_ns, 10.0, 11.0, 9.0, 10.0, 100.0)]) for symbol in self._stock}
            commands = {symbol: AppendBars(own, since_ns, at_ns) for symbol, own in bars.items()}
            moments = [perf_counter()]
            await self.advance(at_ns, bars)
            moments.append(perf_counter())
            await asyncio.gather(*(self._stock[s].execute.remote(((s, told),)) for s, told in commands.items()))
            moments.append(perf_counter())
            await asyncio.gather(*(actor.execute.remote(()) for actor in self._stock.values()))
            moments.append(perf_counter())
            for name, begun, ended in zip(taken, moments, moments[1:], strict=False):
                taken[name].append(ended - begun)
        return taken


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    symbols = sample_symbols(options.symbols)
    with tempfile.TemporaryDirectory() as folder:
        write_sample_data(Path(folder), symbols=symbols, start=BEFORE, end=DAY)
        config = {
            "session": {"start": str(DAY)},
            "symbols": list(symbols),
            "intervals": ["1m", "5m"],
            "history": {"trailing_days": 1},
            "sources": [{"root": folder}],
            "ray": {"num_cpus": 2},
        }
        with Session(config, coordinator=MeasuringCoordinator) as session:
            session.begin()
            session._remote.call("start_stock")
            session._remote.call("measure", 20)
            taken = session._remote.call("measure", options.rounds)
    ours, stock, no_op = (statistics.median(taken[name]) for name in ("ours", "stock", "no_op"))
    print_json_line(
        "fanout",
        {
            "symbols": options.symbols,
            "minute_ms": 1_000 * ours,
            "stock_ms": 1_000 * stock,
            "no_op_ms": 1_000 * no_op,
            "ratio": ours / stock,
            "ratio_no_op": ours / no_op,
        },
    )


if __name__ == "__main__":
    main()
