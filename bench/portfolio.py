"""W3 (see bench.peers.w3), a portfolio of the strongest over one account: ours, NumPy, and other tools, in turn.

All must come to the same equity and number of fills, `equal_PEER` says of each whether it did; bt can't say W3 (see
bench.peers.w3_bt). Ours writes its report and tables; the others print a line. `--peers`: which tools; backtrader,
PyBroker and bt take minutes, and run once.
`--orders resting`: the engine alone, with brackets resting in half of the symbols all day. `--form on_bar`: a callback
a symbol and bar over one account.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from barray.actors.forking.become import YOUNG
from barray.actors.forking.safety import keep_pages_shared
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import Plan
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.symbol_run import lay_range
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.strategy.source import StrategySource
from bench import w1
from bench.backtest_engine import random_bases
from bench.common import print_json_line
from bench.runs import barray, finish

STRATEGY = w1.ROOT / "examples/strategies/strongest.py"
PEERS = ("vectorbt", "zipline", "backtrader", "pybroker", "bt")
SLOW = frozenset(PEERS[2:])
_RUNS_A_ROUND = 3
"""Of the engine, each of which takes a twentieth of a second."""
_MINUTE = Interval.parse("1m")
_COMMAND = (sys.executable, "-m", "barray", "backtest")
_RESTING = """
from barray import Strategy

class Resting(Strategy):
    def on_window(self, view):
        if view.minute % 30 != 1:
            return
        close = view.close
        for number, symbol in enumerate(view.symbols[: len(view.symbols) // 2]):
            price = float(close[number])
            view.cancel_all(symbol)
            view.order(symbol, 10, limit=price * 0.99, stop_loss=price * 0.97, take_profit=price * 1.02)
            view.order(symbol, -5, stop=price * 0.95)
"""
_ON_BAR = """
from barray import Strategy

class Dips(Strategy):
    def indicators(self):
        return {"mean": "SMA(30)"}

    def on_bar(self, ctx):
        close, mean = ctx.close[-1], ctx.indicators["mean"][-1]
        if not ctx.position and close < 0.99 * mean:
            ctx.buy(10)
        elif ctx.position and close > mean:
            ctx.close_position()
"""


class Engine:
    """The engine alone, in this process, its garbage collector set as where portfolios are run; `run` as often as
    wanted, then `figures`.
    """

    def __init__(self, symbols: int, days: int, form: str, orders: str) -> None:
        bases, sessions = random_bases(symbols, days)
        self._rows = np.arange(days)
        history = {row: max(row - 1, 0) for row in self._rows.tolist()}
        self._range = SessionRange("XNYS", "regular", "America/New_York", sessions, self._rows, history)
        self._bars = sum(map(len, bases))
        text = _ON_BAR if form == "on_bar" else _RESTING if orders == "resting" else STRATEGY.read_text()
        self._plan = Plan(StrategySource("w3.py", text), {}, form, Market(), Account(1_000_000.0), shared=True)
        self._data = {}
        for number, base in enumerate(bases):
            symbol = f"R{number:04d}"
            laid = lay_range(symbol, base.bars, _MINUTE, self._range, "memory", {})
            self._data[symbol] = laid.prepare(self._plan.strategy())
        self._taken: list[tuple[float, float]] = []
        self._fills = 0
        keep_pages_shared()
        gc.set_threshold(YOUNG)

    def run(self, times: int) -> None:
        """Run it so often."""
        for _ in range(times):
            run = PortfolioRun(self._plan, _MINUTE)
            run.load(self._range, self._data, _MINUTE)
            gc.collect()  # of the run before: a process has one
            began, began_cpu = time.perf_counter(), time.process_time()
            outcomes = run.sessions(self._rows.tolist())
            self._taken.append((time.perf_counter() - began, time.process_time() - began_cpu))
            if run.error:
                raise SystemExit(run.error)
            self._fills = sum(len(outcome.days.fills) for outcome in outcomes if outcome.days)

    def figures(self) -> dict[str, Any]:
        """Bars of all symbols that time passes over, a second: the median of its runs after the first, as of vectorbt
        the second counts, and of the quickest. With CPU time, which on a machine that is busy is less than what passes.
        """
        (first, _), *again = self._taken
        times, cpu = zip(*again, strict=True)
        seconds = statistics.median(times)
        figures = {"bars": self._bars, "engine_s": seconds, "bars_per_s": self._bars / seconds}
        quickest = {"engine_least_s": min(times), "most_bars_per_s": self._bars / min(times)}
        cpu_s = {"engine_cpu_s": statistics.median(cpu), "engine_first_s": first}
        return {**figures, **quickest, **cpu_s, "engine_fills": self._fills}


def measure(
    folder: Path, symbols: int, days: int, repeat: int, wanted: Sequence[str], engine: Engine
) -> dict[str, Any]:
    """Medians of whole processes over rounds, in each of which the engine is run, too; SystemExit where results differ.
    A machine's speed drifts: what is compared is to have run in the same minutes.
    """
    universe = w1.write_universe(folder / "bars", symbols, days)
    sections = {"strategy": {"path": str(STRATEGY), "parameters": {"sells_first": False}}}
    account = {"capital": 1_000_000, "shared": True}
    together = w1.write_config(
        folder / "together.yaml", universe, symbols=symbols, days=days, account={**account, "margin": 0.4}, **sections
    )
    first = w1.write_config(
        folder / "first.yaml", universe, symbols=symbols, days=days, account=account, strategy={"path": str(STRATEGY)}
    )
    peers = w1.peers(wanted)
    os.environ["ZIPLINE_ROOT"] = str(folder / "zipline")
    script = {peer: (python, "-m", f"bench.peers.w3_{peer}", universe.root) for peer, python in peers.items()}
    rounds: dict[str, Callable[[], tuple[float, dict[str, Any]]]] = {
        "numpy": lambda: _peer((sys.executable, "-m", "bench.peers.w3_numpy", universe.root)),
        "barray": lambda: _ours(together),
        "sells_first": lambda: _ours(first),
        **{peer: lambda command=command: _peer(command) for peer, command in script.items()},  # type: ignore[misc]
    }
    bundle_s = w1.timed((*script["zipline"], "--ingest"))[0] if "zipline" in script else None
    taken: dict[str, list[float]] = {name: [] for name in rounds}
    found: dict[str, dict[str, Any]] = {}
    warm, again = list[float](), list[float]()
    for number in range(repeat):
        engine.run(_RUNS_A_ROUND)
        for name, run in rounds.items():
            if number and name in SLOW:
                continue
            seconds, found[name] = run()
            taken[name].append(seconds)
        if "vectorbt" in found:
            again.append(found["vectorbt"]["engine_again_s"])
        finish(barray("up"))
        try:
            warm += [_ours(together)[0] for _ in range(3)][1:]  # the first finds processes that still import
        finally:
            finish(barray("down"))
    medians = {f"{name}_total_s": statistics.median(seconds) for name, seconds in taken.items()}
    figures = {"total_s": medians.pop("barray_total_s"), "warm_total_s": statistics.median(warm), **medians}
    same = {name: _same(one, found["numpy"]) for name, one in found.items()}
    figures["equal"] = all(equal for name, equal in same.items() if name not in ("sells_first", "bt"))
    figures["equal_cash_account"] = same["sells_first"]
    figures |= {f"equal_{peer}": same[peer] for peer in peers}
    figures |= {"fills": found["numpy"]["fills"], "equity": found["numpy"]["equity"]}
    if again:
        figures["vectorbt_again_s"] = statistics.median(again)
    if bundle_s is not None:
        whole = figures["zipline_total_s"] + bundle_s
        figures |= {"zipline_with_bundle_s": whole, "ratio_total_with_bundle": figures["total_s"] / whole}
        figures |= {
            "ratio_total": figures["total_s"] / figures["zipline_total_s"],
            "ratio_total_warm": figures["warm_total_s"] / figures["zipline_total_s"],
        }
    return figures


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["fills"] == other["fills"] and abs(one["equity"] - other["equity"]) < 0.005)


def _peer(command: tuple[object, ...]) -> tuple[float, dict[str, Any]]:
    seconds, printed = w1.timed(command)
    return seconds, w1.last_json(printed)


def _ours(config: Path) -> tuple[float, dict[str, Any]]:
    seconds, _ = w1.timed((*_COMMAND, config, "--quiet"))
    equity = pq.read_table(config.parent / "reports" / config.stem / "equity.parquet", columns=["equity"])
    return seconds, {"equity": equity["equity"][-1].as_py(), "fills": _fills_of(config)}


@functools.cache
def _fills_of(config: Path) -> int:
    """How many a run has, which its tables don't tell: from Python, untimed."""
    code = f"import barray; r = barray.backtest({str(config)!r}); print(sum(len(s.fills) for s in r.symbols.values()))"
    return int(w1.timed((sys.executable, "-c", code))[1].split()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.portfolio", description=__doc__)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--days", type=int, default=20, help="sessions of one-minute bars")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians count")
    parser.add_argument("--form", choices=("on_window", "on_bar"), default="on_window")
    parser.add_argument("--orders", choices=("market", "resting"), default="market")
    parser.add_argument("--engine-only", action="store_true", help="leave whole commands and other tools out")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS[:2], help="other tools beside NumPy")
    asked = parser.parse_args()
    shape = {"symbols": asked.symbols, "days": asked.days, "form": asked.form, "orders": asked.orders}
    engine = Engine(asked.symbols, asked.days, asked.form, asked.orders)
    engine.run(1)
    whole: dict[str, Any] = {}
    if asked.engine_only or (asked.form, asked.orders) != ("on_window", "market"):
        engine.run(_RUNS_A_ROUND * asked.repeat)
    else:
        with tempfile.TemporaryDirectory() as folder:
            whole = measure(Path(folder), asked.symbols, asked.days, asked.repeat, asked.peers, engine)
    figures = engine.figures()
    if "vectorbt_again_s" in whole:
        figures["ratio_vectorbt"] = whole["vectorbt_again_s"] / figures["engine_s"]
    print_json_line("portfolio", {**shape, "repeat": asked.repeat, **figures, **whole})


if __name__ == "__main__":
    main()
