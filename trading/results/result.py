"""What a backtest of one symbol, and of all, gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.symbol_data import Lineage, SymbolMetadata
from barray.market.validation import Reason, SymbolValidationResult
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Refusal
from barray.trading.orders.order_columns import NO_ORDERS, Orders
from barray.trading.results.equity import EquityCurve
from barray.trading.results.events import NO_EVENTS, Events
from barray.trading.results.logs import NO_LOGS, Logs
from barray.trading.scans.result import ScanResult

FROM_CONFIG = SymbolMetadata(meets_session_config_requirements=True)


@dataclass(frozen=True, eq=False)
class Trades:
    """Round trips of one symbol, by entry time, as columns of one length. Fills are matched first in, first out.

    `entry_ns`, `exit_ns` int64: start of the bar of the fill, UTC ns; `exit_ns` is -1 while open, and `exit_price` then
    the last close. `quantity`: positive long, negative short. `pnl`: after commissions. `mae`, `mfe`: worst and best
    open profit on the way, in currency before commissions, by the bars' lows and highs; mae ≤ 0 ≤ mfe.
    `bars`: base bars from entry to exit.
    """

    entry_ns: IntArray
    entry_price: FloatArray
    exit_ns: IntArray
    exit_price: FloatArray
    quantity: FloatArray
    pnl: FloatArray
    commission: FloatArray
    mae: FloatArray
    mfe: FloatArray
    bars: IntArray

    def __len__(self) -> int:
        return len(self.entry_ns)

    @property
    def is_open(self) -> NDArray[np.bool_]:
        """Which are still open, bool (n,)."""
        return self.exit_ns < 0

    @property
    def return_pct(self) -> FloatArray:
        """Profit in per cent of the entry's value, float64 (n,)."""
        value = np.abs(self.quantity) * self.entry_price
        with np.errstate(invalid="ignore", divide="ignore"):
            percent: FloatArray = 100.0 * self.pnl / value
        return percent

    def rows(self) -> list[dict[str, Any]]:
        """One dict a trade, in JSON types."""
        names = [column.name for column in fields(self)]
        columns = [getattr(self, name).tolist() for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, eq=False)
class SymbolResult:
    """One symbol's backtest.

    `equity`: cash and position at market value on the run's grid, float64 (n_grid,): the ends of all base bars that the
    calendar expects in the sessions of the run (`BacktestResult.grid_ns`), each value the last known one. `exposure`:
    position × close on the same grid, negative short; both come of `curve`. `session_close`: last close known at each
    session's end, NaN before the first, float64 (n_sessions,). `hold_capital`: what buying and holding would spend, an
    equal part where it is shared. `session_pnl` float64 (n_sessions,): change of equity by session.
    `error`: the traceback where the strategy raised; the symbol then stopped at `error_ns`. `skipped`: sessions that
    Step 0 refused, with the reason, by ISO date; `sessions`: those that were begun. `bars`: base bars run through.
    `first_price`: open of the first of them; `last_price`: close of the last. `lineage`: of all bars; `sources`: what
    each source gave of them, in order of time, where there are several. `logs`: what the strategy printed and logged.
    `warnings`: moves of prices that are suspected; see barray.market.jumps. `daily`: of the daily bars that a source
    gave of sessions before those with base bars, where there are any. `orders`: all that were placed. `metadata`: how
    it came into the run, from the config or, at `added_at`, by the strategy or the scanner.
    """

    symbol: str
    capital: float
    fills: Fills
    trades: Trades
    curve: EquityCurve
    session_close: FloatArray
    session_pnl: FloatArray
    cash: float
    position: float
    hold_capital: float
    first_price: float
    last_price: float
    bars: int
    refusals: tuple[Refusal, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    error_ns: int | None = None
    logs: Logs = NO_LOGS
    lineage: Lineage | None = None
    sources: tuple[Lineage, ...] = ()
    sessions: tuple[str, ...] = ()
    warnings: tuple[Reason, ...] = ()
    daily: Lineage | None = None
    orders: Orders = NO_ORDERS
    metadata: SymbolMetadata = FROM_CONFIG
    engine_s: float = 0.0

    @property
    def equity(self) -> FloatArray:
        """Cash and position at market value, see above; made anew each time."""
        return self.curve.equity

    @property
    def exposure(self) -> FloatArray:
        """Position × close, see above; made anew each time."""
        return self.curve.exposure

    @property
    def hold_equity(self) -> FloatArray:
        """What buying for `hold_capital` at the first open is worth at each session's end, float64 (n_sessions,).

        Fractional shares, no costs; that capital until the first close.
        """
        if not self.first_price > 0:
            return np.full(len(self.session_close), self.hold_capital)
        held: FloatArray = self.hold_capital / self.first_price * self.session_close
        return np.where(np.isnan(held), self.hold_capital, held)

    @property
    def pnl(self) -> float:
        """Profit over the whole run, after costs, open positions at the last close."""
        equity = self.equity
        return float(equity[-1] - self.capital) if len(equity) else 0.0


@dataclass(frozen=True, eq=False)
class BacktestValues:
    """What a whole backtest is made of; see BacktestResult.

    `grid_ns` int64 (n_grid,): UTC ns, ends of the base bars that the calendar expects, over all sessions;
    `grid_session` int32 (n_grid,): which of `dates` each lies in. `dates`: ISO dates of the sessions. `symbols`:
    results by symbol, sorted. `dropped`: symbols that ran no session at all, with the reasons. `account_equity`
    float64 (n_grid,): of the account, or of all symbols' accounts together. `strategy`: the class's name; `source`:
    file or module it came from. `shared`: one account for all symbols, whose own equity then starts at 0 and is their
    profit. `step0`: what Step 0 found of every symbol asked for, as of a session that it can run, or of the first.
    `logs`: what the strategy printed and logged, `on_window` first, then symbol by symbol. `lost`: those dropped
    because the machine failed, sorted. `events`: symbols and indicators that the strategy added or removed, or was
    refused, symbols that scans made full or let go of, and hits of limits. `scanned`: what scans found, and what came
    of it; None where there were none.
    """

    name: str
    strategy: str
    source: str
    form: str
    parameters: Mapping[str, Any]
    settings: Mapping[str, Any]
    calendar: str
    timezone: str
    base_interval: str
    dates: tuple[str, ...]
    grid_ns: IntArray
    grid_session: NDArray[np.int32]
    symbols: Mapping[str, SymbolResult]
    dropped: Mapping[str, tuple[str, ...]]
    capital: float
    account_equity: FloatArray
    shared: bool = False
    error: str | None = None
    logs: Logs = NO_LOGS
    step0: Mapping[str, SymbolValidationResult] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    events: Events = NO_EVENTS
    scanned: ScanResult | None = None

    @property
    def degraded(self) -> bool:
        """Whether any symbol is missing that would be there had the machine not failed."""
        return bool(self.lost)

    @property
    def pnl(self) -> float:
        """Profit of all symbols."""
        return float(self.account_equity[-1] - self.capital) if len(self.account_equity) else 0.0
