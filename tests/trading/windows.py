"""A windowed run in one process: a portfolio, a WindowRun a symbol, and the loop that the coordinator makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from barray.market.bars import Bars
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import CloseRun, Opened, Plan, Step, Stepped
from barray.trading.engine.portfolio import PortfolioEngine
from barray.trading.engine.symbol_run import LoadedRange, join_results, lay_range
from barray.trading.engine.window_run import WindowRun
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.results.result import SymbolResult
from barray.trading.strategy.source import StrategySource
from barray.trading.strategy.view import Added, Moment
from tests.trading.sweep_data import weekdays

MINUTE = Interval.parse("1m")
HEAD = "import os, math\nimport numpy as np\nfrom barray import Signals, Strategy, parameter\n"


def sessions_of(n: int, minutes: int, back: int = 0) -> SessionRange:
    """`n` sessions to run, each with the one before it as history, after `back` that are history alone."""
    rows = np.arange(back, back + n)
    history = {int(row): max(int(row) - 1, 0) for row in rows}
    return SessionRange("XNYS", "regular", "UTC", weekdays(back + n, minutes), rows, history)


def lay(
    session_range: SessionRange,
    symbol: str,
    closes: list[float],
    skipped: Mapping[date, str] | None = None,
    **columns: list[float],
) -> LoadedRange:
    """Bars of one minute by their closes, from the first session on; each opens at the close before it."""
    starts = np.concatenate(
        [
            np.arange(o, c, MINUTE.ns)
            for o, c in zip(session_range.sessions.open_ns, session_range.sessions.close_ns, strict=True)
        ]
    )
    close = np.array(closes, np.float64)
    open_ = np.array(columns.get("open", [closes[0], *closes[:-1]]), np.float64)
    high = np.array(columns.get("high", np.maximum(open_, close)), np.float64)
    low = np.array(columns.get("low", np.minimum(open_, close)), np.float64)
    volume = np.array(columns.get("volume", np.full(len(close), 1000.0)), np.float64)
    bars = Bars(starts[: len(close)], open_, high, low, close, volume)
    return lay_range(symbol, bars, MINUTE, session_range, "memory", skipped or {})


def plan(
    text: str,
    form: str,
    *,
    shared: bool = True,
    reserve: float = 0.0,
    market: Market | None = None,
    parameters: Any = None,
    call_timeout_s: float | None = None,
    **account: Any,
) -> Plan:
    """A strategy's code as it will run."""
    source = StrategySource("made_up.py", HEAD + text, None)
    account_ = Account(**account)
    return Plan(source, parameters or {}, form, market or Market(), account_, shared, reserve, call_timeout_s)


@dataclass
class Floor:
    """The loop. `steps`: what every symbol was told; `states`: cash, reserved and equity at every window's end."""

    plan: Plan
    loaded: Mapping[str, LoadedRange]
    window: Interval = MINUTE
    guests: Mapping[str, LoadedRange] = field(default_factory=dict)
    steps: dict[str, list[Step]] = field(default_factory=dict)
    states: list[tuple[float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.portfolio = PortfolioEngine(self.plan, self._add)
        self.runs = {symbol: WindowRun(loaded, self.plan) for symbol, loaded in self.loaded.items()}
        for symbol, run in self.runs.items():
            self.portfolio.join(symbol, Opened(run.columns, MINUTE, run.opens))
        self.now_ns = 0

    def _add(self, symbol: str) -> Added:
        if symbol not in self.guests:
            return Added(False, "nobody has it")
        self.runs[symbol] = WindowRun(self.guests[symbol], self.plan)
        run = self.runs[symbol]
        self.portfolio.join(symbol, Opened(run.columns, MINUTE, run.opens), guest=True)
        self.portfolio.apply({symbol: self._tell(symbol, self.portfolio.steps_of(symbol, self.now_ns))})
        return Added(True)

    def _tell(self, symbol: str, step: Step) -> Stepped:
        self.steps.setdefault(symbol, []).append(step)
        return self.runs[symbol].step(step)

    def moments(self) -> Iterator[Moment]:
        session_range = next(iter(self.loaded.values())).session_range
        for row, day in zip(session_range.rows.tolist(), session_range.dates, strict=True):
            open_ns, close_ns = int(session_range.sessions.open_ns[row]), int(session_range.sessions.close_ns[row])
            yield Moment(open_ns, day, open_ns, close_ns, "UTC", opening=True)
            for end_ns in session_range.sessions.expected_starts(row, self.window, close_ns)[1].tolist():
                yield Moment(end_ns, day, open_ns, close_ns, "UTC")

    def run(self) -> dict[str, SymbolResult]:
        """All windows, and what came of every symbol."""
        for moment in self.moments():
            self.now_ns = moment.now_ns
            self.portfolio.apply(
                {symbol: self._tell(symbol, step) for symbol, step in self.portfolio.steps(moment.now_ns).items()}
            )
            self.portfolio.end_window(moment)
            accounts = self.portfolio.accounts
            self.states.append((accounts.cash, getattr(accounts, "reserved", 0.0), accounts.equity))
            if moment.closing:
                for guest in self.portfolio.guests:
                    self.portfolio.leave(guest)
        session_range = next(iter(self.loaded.values())).session_range
        grid_ns, grid_session = session_range.grid(MINUTE)
        results = {symbol: self.runs[symbol].close(CloseRun(grid_ns, 0.0)) for symbol in self.portfolio.symbols}
        if self.plan.account.carry:
            return results
        return {
            symbol: replace(join_results([result], grid_session), fills=result.fills)
            for symbol, result in results.items()
        }


def fills_of(result: SymbolResult) -> list[tuple[int, float, float]]:
    """(base row, quantity, price) of every fill."""
    fills = result.fills
    return list(zip(fills.row.tolist(), fills.quantity.tolist(), fills.price.tolist(), strict=True))
