"""Many parameter sets of a portfolio over one mapped panel: what a sweep's table needs of each, and no more."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.renames import Renames
from barray.market.session_range import SessionRange
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.reckoning import Reckoning
from barray.trading.engine.scanned_run import Get, ScannedRun
from barray.trading.orders.fills import Fills
from barray.trading.orders.order_columns import NO_ORDERS, Orders
from barray.trading.results.days import SessionDays, held_of, running
from barray.trading.results.logs import NO_LOGS, Logs
from barray.trading.scans.hits import SessionHits
from barray.trading.scans.plan import Plan as ScanPlan
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.panel import PanelBlock
from barray.trading.sweeps.evaluate import MOST_LINES
from barray.trading.sweeps.parameter_sets import ParameterSet
from barray.trading.sweeps.portfolio_figures import Closing, PortfolioFigures
from barray.trading.sweeps.table import SetRow


@dataclass(frozen=True)
class SweptScans:
    """Scans whose findings sets follow. `found`: what they found in a session (its row); `get`: see ScannedRun, of
    columns laid out for what all sets need.
    """

    plans: Sequence[ScanPlan]
    found: Callable[[int], Sequence[SessionHits]]
    get: Get
    renames: Renames = field(default_factory=Renames)


class PortfolioSets:
    """Runs of many sets over blocks of sessions: `go` through one after another, then `rows`.

    A block is laid out for what all sets need together (see barray.trading.sweeps.evaluate.needs_of_all), and every
    set goes through it before the next one: what is stacked of it for one of them is there for all. `plan.parameters`
    are those that the sets leave alone. A set that is in error, or whose code raises, goes no further. `scans`: what
    has symbols come and go in each of them, by what that one holds.
    """

    def __init__(
        self,
        plan: Plan,
        window: Interval,
        base: Interval,
        sets: Sequence[ParameterSet],
        scans: SweptScans | None = None,
    ) -> None:
        self._base, self._scans = base, scans
        self._symbols: set[str] = set()
        self._sessions = 0
        plans = [replace(plan, parameters={**plan.parameters, **one}) for one in sets]
        self._runs = [_SetRun.of(one, own, window) for one, own in zip(sets, plans, strict=True)]

    def are_laid_out_in(self, block: PanelBlock | None) -> bool:
        """Whether a block has what these sets need."""
        if block is None or not block.data:
            return True
        there, series = frozenset(block.data[0].specs.values()), {one for data in block.data for one in data.series}
        needs = [run.needs for run in self._runs if run.needs is not None]
        return all(there.issuperset(one.indicators.values()) and series.issuperset(one.intervals) for one in needs)

    def go(self, session_range: SessionRange, block: PanelBlock | None) -> None:
        """Run all sets over a block, None where no symbol has bars in it."""
        self._sessions += len(session_range.rows)
        self._symbols.update(block.symbols if block is not None else ())
        seen: dict[Hashable, PanelBlock] = {}  # many sets may need the same
        for run in self._runs:
            own, needs = block, run.needs
            if block is not None and needs is not None:
                key = (needs.interval, needs.intervals, tuple(needs.indicators.items()))
                own = seen[key] if key in seen else seen.setdefault(key, block.seen_with(needs))
            run.go(session_range, own, self._base, self._scans)

    def rows(self, data: Mapping[str, str]) -> list[SetRow]:
        """What came of the sets. `data`: see SetRow."""
        symbols = self._symbols
        rows = []
        for number, run in enumerate(self._runs):
            said = Logs.together(run.logs).first(MOST_LINES) if number == 0 or run.error is not None else NO_LOGS
            if run.error is not None:
                rows.append(SetRow.failed(run.parameters, run.error, self._sessions, data, said))
            else:
                every = sorted({*symbols, *run.figures.symbols})
                rows.append(run.figures.row(run.parameters, every, data, said))
        return rows


@dataclass(eq=False)
class _SetRun:
    """One set on its way. `needs`: None where the set is in error from the beginning."""

    parameters: ParameterSet
    figures: PortfolioFigures
    needs: Needs | None = None
    run: PortfolioRun | None = None
    reckoning: _FiguresAlone | None = None
    logs: list[Logs] = field(default_factory=list)
    error: str | None = None

    @classmethod
    def of(cls, parameters: ParameterSet, plan: Plan, window: Interval) -> _SetRun:
        figures = PortfolioFigures(plan.account.capital, plan.shared, not plan.account.carry)
        try:
            needs = plan.strategy().needs()
        except Exception:  # the user's code, or an impossible set
            return cls(parameters, figures, error=traceback.format_exc(limit=-6))
        run = PortfolioRun(plan, window, _refuse)
        run.reckoning = reckoning = _FiguresAlone(plan, run.order_manager, figures)
        return cls(parameters, figures, needs, run, reckoning)

    def go(
        self, session_range: SessionRange, block: PanelBlock | None, base: Interval, scans: SweptScans | None
    ) -> None:
        run, reckoning = self.run, self.reckoning
        if run is None or reckoning is None or self.error is not None:
            return
        reckoning.one_by_one |= scans is not None
        try:
            run.look_at(session_range, block, base)
            session = run.session if scans is None else self._scanned(run, session_range, block, base, scans)
            for row in session_range.rows.tolist():
                outcome = session(row)
                self.logs.append(outcome.logs)
                self.error = outcome.error or _first_of(outcome.errors)
                if self.error is not None:
                    break
            reckoning.tell()
        except Exception:  # the user's code, or what it asks for: its own error, not the sweep's
            self.error = traceback.format_exc(limit=-6)
        if self.error is not None:
            self.run = None

    def _scanned(
        self,
        run: PortfolioRun,
        session_range: SessionRange,
        block: PanelBlock | None,
        base: Interval,
        scans: SweptScans,
    ) -> Callable[[int], SessionOutcome]:
        """How a session is gone through with scans."""

        def get(symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
            got = scans.get(symbols, row).items()
            needs = self.needs
            return {s: one if isinstance(one, str) or needs is None else one.seen_with(needs) for s, one in got}

        scanned = ScannedRun(run, scans.plans, get, session_range, block, base, scans.renames)
        return lambda row: scanned.session(row, scans.found(row))


class _FiguresAlone(Reckoning):
    """Takes but figures: of all sessions of a block at once, or one by one where each begins anew."""

    def __init__(self, plan: Plan, order_manager: OrderManager, figures: PortfolioFigures) -> None:
        super().__init__(plan, order_manager)
        self._figures = figures
        self.one_by_one = figures.anew
        """Whether sessions are told one by one: that they begin anew, or symbols come and go."""
        self._closes_ns: list[int] = []
        self._last_closes: list[FloatArray] = []
        self._refused: list[tuple[int, int]] = []
        self._singly: list[tuple[int, Fills]] = []
        """Fills that were in no basket, with the slots of their symbols."""

    def take(
        self, session_range: SessionRange, row: int, base: Interval, block: PanelBlock | None
    ) -> tuple[SessionDays | None, Orders]:
        """Nothing but figures."""
        close_ns, books = int(session_range.sessions.close_ns[row]), self._order_manager.books
        self._last_closes.append(self._closes(close_ns, block))
        for book in books.values():
            broker = book.broker
            if broker.ended or broker.refusals or broker.fills:
                book.take_ended()
                if book.take_refusals():
                    self._refused.append((len(self._closes_ns), book.slot))
                self._singly.append((book.slot, Fills.of(book.take_fills())))
        self._closes_ns.append(close_ns)
        if self.one_by_one:
            self.tell()
        return None, NO_ORDERS

    def tell(self) -> None:
        """Have the figures know of the sessions since this was last done."""
        if not self._closes_ns:
            return
        books, holdings = self._order_manager.books, self._order_manager.holdings
        symbols, slots = list(books), np.array([book.slot for book in books.values()], np.intp)
        columns = np.arange(len(books))
        number_of = np.empty(int(slots.max(initial=-1)) + 1, np.intp)
        number_of[slots] = columns
        fills, symbol = self._fills(number_of)
        lengths, closes_ns = np.bincount(symbol, minlength=len(books)), np.array(self._closes_ns, np.int64)
        counts = np.zeros((len(closes_ns) + 1, len(books)), np.int64)
        np.add.at(counts, (np.searchsorted(closes_ns, fills.bar_ns, side="right") + 1, symbol), 1)
        done = np.cumsum(counts, axis=0)
        spent = running(fills.quantity * fills.price + fills.commission, lengths, holdings.spent[slots])
        shares = running(fills.quantity, lengths, holdings.shares[slots])
        holdings.spent[slots], holdings.shares[slots] = spent[:, -1], shares[:, -1]
        before = shares[columns, done[:-1]]
        there = (counts[1:] > 0) | (before != 0.0)
        for session, slot in self._refused:
            there[session, number_of[slot]] = True
        held = held_of(shares[columns, done[1:]], _largest(shares, done))
        begins = np.array([self._figures.anew or book.guest for book in books.values()], np.bool_)
        shown = np.flatnonzero(there.any(axis=0))
        closing = Closing(
            [symbols[number] for number in shown.tolist()],
            there[:, shown],
            (there & begins & (before == 0.0))[:, shown],
            spent[columns, done[1:]][:, shown],
            held[:, shown],
            np.array(self._last_closes)[:, shown],
        )
        self._figures.add(closing, fills, lengths[shown])
        self._closes_ns, self._last_closes, self._refused, self._singly = [], [], [], []

    def _fills(self, number_of: NDArray[np.intp]) -> tuple[Fills, NDArray[np.intp]]:
        """All fills, one symbol's after another's, in one bar baskets' first, and whose they are."""
        baskets = self._order_manager.take_baskets()
        slots = [np.full(len(fills), slot, np.intp) for slot, fills in self._singly]
        parts = [fills for _, fills in self._singly]
        if baskets is not None:
            slots, parts = [baskets.slots, *slots], [baskets.fills, *parts]
        fills, symbol = Fills.concat([Fills.of([]), *parts]), number_of[np.concatenate([np.empty(0, np.intp), *slots])]
        order = np.lexsort((fills.bar_ns, symbol))
        return fills.take(order), symbol[order]

    def _closes(self, close_ns: int, block: PanelBlock | None) -> FloatArray:
        """Each symbol's last close known at a session's end, NaN for none."""
        here, known, books = self._order_manager.here, self._order_manager.closes, self._order_manager.books
        block = here.block if here is not None else block
        closed = block.closed_by(close_ns) if block is not None else 0
        if block is None or not closed:
            return np.array([known.get(symbol, nan) for symbol in books])
        columns = np.array([block.index.get(symbol, -1) for symbol in books], np.intp)
        last: FloatArray = block.last_close[closed - 1][columns]
        last[columns < 0] = nan
        if np.isnan(last).any():
            unknown = np.isnan(last).tolist()
            last[unknown] = [known.get(symbol, nan) for symbol, lacks in zip(books, unknown, strict=True) if lacks]
        return last


def _largest(shares: FloatArray, done: IntArray) -> FloatArray:
    """The largest position of each symbol in each session, float64 (sessions, symbols). `shares`: before and after each
    of its fills, (symbols, fills + 1); `done`: how many there were before each session, and after the last.
    """
    n, k = shares.shape
    size = np.append(np.abs(shares).ravel(), 0.0)
    edges = np.stack((done[:-1], done[1:] + 1), axis=-1) + (np.arange(n) * k)[:, None]
    largest: FloatArray = np.maximum.reduceat(size, edges.ravel())[::2].reshape(done[1:].shape)
    return largest


def _first_of(errors: Mapping[str, tuple[str, int | None]]) -> str | None:
    return next((f"{symbol}: {text}" for symbol, (text, _) in sorted(errors.items())), None)


def _refuse(symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
    raise ConfigError(
        "a sweep has no symbols but those of the config",
        symbol=symbols[0],
        remedy="name it under symbols, or try the set with barray backtest",
    )
