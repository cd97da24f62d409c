"""A portfolio run in one process, as the processes of a backtest make it together."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from barray.market.bars import Bars
from barray.market.interval import Interval
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.run_ledgers import RunLedgers
from barray.trading.engine.symbol_run import LoadedRange, lay_range, loaded_bars
from barray.trading.engine.window_walk import WindowWalk
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.orders.limits import Limits
from barray.trading.results.events import Events
from barray.trading.results.ledger import Grid
from barray.trading.results.logs import LogLine
from barray.trading.results.result import SymbolResult
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.source import StrategySource
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
    limits: Limits | None = None,
    **account: Any,
) -> Plan:
    """A strategy's code as it will run."""
    source = StrategySource("made_up.py", HEAD + text, None)
    account_ = Account(**account)
    return Plan(source, parameters or {}, form, market or Market(), account_, shared, reserve, call_timeout_s, limits)


class Steps(WindowWalk):
    """Notes cash, reserved and equity at every window's end, a session's open among them."""

    def _decide(self) -> None:
        super()._decide()
        accounts = self._order_manager.accounts
        state = accounts.cash, getattr(accounts, "reserved", 0.0), accounts.equity
        vars(self._order_manager).setdefault("states", []).append(state)

    def _ask_on(self, rows: Sequence[int], ends_ns: Sequence[int], first: int, until: int) -> int:
        return super()._ask_on(rows, ends_ns, first, first + 1)


class Watched(PortfolioRun):
    """A run that notes these."""

    walk = Steps

    @property
    def states(self) -> list[tuple[float, float, float]]:
        """They."""
        noted: list[tuple[float, float, float]] = vars(self.order_manager)["states"]
        return noted


@dataclass
class Floor:
    """The run. `pickled`: it is, between any two sessions."""

    plan: Plan
    loaded: Mapping[str, LoadedRange]
    window: Interval = MINUTE
    guests: Mapping[str, LoadedRange] = field(default_factory=dict)
    pickled: bool = False
    said: list[LogLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.portfolio: PortfolioRun = Watched(self.plan, self.window, self._add)
        self.session_range = next(iter(self.loaded.values())).session_range
        self.ledgers = RunLedgers(self.plan, self.session_range)

    @property
    def events(self) -> Events:
        """What was done to the run beside ordering."""
        return self.ledgers.events

    @property
    def states(self) -> list[tuple[float, float, float]]:
        """Cash, reserved and equity at every session's open and every window's end."""
        assert isinstance(self.portfolio, Watched)
        return self.portfolio.states

    def _add(self, symbols: Sequence[str], row: int) -> dict[str, SymbolData | str]:
        return {symbol: self._guest(symbol) if symbol in self.guests else "nobody has it" for symbol in symbols}

    def _guest(self, symbol: str) -> SymbolData:
        self.ledgers.guest(symbol).add_bars(loaded_bars(self.guests[symbol]))
        return self.guests[symbol].prepare(self.plan.strategy())

    def run(self) -> dict[str, SymbolResult]:
        """All sessions, and what came of every symbol."""
        for symbol, loaded in self.loaded.items():
            self.ledgers.ledger(symbol).add_bars(loaded_bars(loaded))
        self._load()
        session_range, rows = self.session_range, self.session_range.rows.tolist()
        if self.pickled:
            for row in rows:
                self.portfolio = pickle.loads(pickle.dumps(self.portfolio))
                self.portfolio.additions.add = self._add
                self._load()
                self._take(row, self.portfolio.session(row))
        else:
            for row, outcome in zip(rows, self.portfolio.sessions(rows), strict=True):
                self._take(row, outcome)
        self.ledgers.stand(rows[-1], self.portfolio.working_orders())
        ends = [session_range.sessions.expected_starts(row, MINUTE, 2**62)[1] for row in rows]
        dates = tuple(day.isoformat() for day in session_range.dates)
        grid = Grid(session_range.rows, dates, np.array([*map(len, ends)]))
        results = [one() if callable(one) else one for one in self.ledgers.results(grid, 0, {})]
        return {one.symbol: one for one in sorted(results, key=lambda one: one.symbol)}

    def _take(self, row: int, outcome: SessionOutcome) -> None:
        self.said += outcome.logs.lines
        self.ledgers.take(row, outcome)

    def _load(self) -> None:
        data = {symbol: one.prepare(self.plan.strategy()) for symbol, one in self.loaded.items()}
        self.portfolio.load(self.session_range, data, MINUTE)


def fills_of(result: SymbolResult) -> list[tuple[int, float, float]]:
    """(base row, quantity, price) of every fill."""
    fills = result.fills
    return list(zip(fills.row.tolist(), fills.quantity.tolist(), fills.price.tolist(), strict=True))
