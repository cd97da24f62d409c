"""Many parameter sets of a portfolio over one mapped panel: what a sweep's table needs of each, and no more."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.renames import Renames
from barray.market.session_range import SessionRange
from barray.trading.engine.basket import BasketFills
from barray.trading.engine.commands import Plan, SessionOutcome
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.engine.reckoning import OverSession, Reckoning, Told, fills_of, last_closes, refused
from barray.trading.engine.scanned_run import Get, ScannedRun
from barray.trading.orders.order_columns import NO_ORDERS
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


class Seen:
    """A block as sets see it, by what they need: many need the same. The newest are kept."""

    most = 32

    def __init__(self, block: PanelBlock) -> None:
        self.block = block
        self._by_needs: dict[Hashable, PanelBlock] = {}

    def by(self, needs: Needs) -> PanelBlock:
        """See PanelBlock.seen_with."""
        key = needs.interval, needs.intervals, tuple(needs.indicators.items())
        found = self._by_needs.pop(key, None) or self.block.seen_with(needs)
        self._by_needs[key] = found
        if len(self._by_needs) > self.most:
            del self._by_needs[next(iter(self._by_needs))]
        return found


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
        self._base, self._scans, self._in_windows = base, scans, plan.form == "on_window"
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

    def go(
        self, session_range: SessionRange, block: PanelBlock | None, seen: Seen | None = None, *, last: bool = False
    ) -> None:
        """Run all sets over a block, None where no symbol has bars in it. `seen`: the same as sets before saw it, which
        is added to where sets see all symbols; symbols' own strategies have columns of their own made for each view.
        `last`: no other block comes.
        """
        if block is not None and (seen is None or not self._in_windows):
            seen = Seen(block)
        self._sessions += len(session_range.rows)
        self._symbols.update(block.symbols if block is not None else ())
        for run in self._runs:
            own = block if seen is None or run.needs is None else seen.by(run.needs)
            run.go(session_range, own, self._base, self._scans)
            if last:
                run.end()

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
        run.reckoning = _FiguresAlone(plan, run.order_manager, figures)
        return cls(parameters, figures, needs, run)

    def go(
        self, session_range: SessionRange, block: PanelBlock | None, base: Interval, scans: SweptScans | None
    ) -> None:
        run = self.run
        if run is None or self.error is not None:
            return
        try:
            run.look_at(session_range, block, base)
            rows = session_range.rows.tolist()
            if scans is None:
                run.sessions(rows, self._take)
            else:
                self._scanned(run, session_range, block, base, scans).sessions(rows, scans.found, self._take)
        except Exception:  # the user's code, or what it asks for: its own error, not the sweep's
            self.error = traceback.format_exc(limit=-6)
        if self.error is not None:
            self.end()

    def end(self) -> None:
        """Let go of what only a run that goes on needs."""
        if self.run is not None:
            self.run.close()
        self.run = None

    def _take(self, outcome: SessionOutcome) -> bool:
        """Take note of what is said, and whether that ends the set."""
        self.logs.append(outcome.logs)
        self.error = outcome.error or _first_of(outcome.errors)
        return self.error is not None

    def _scanned(
        self,
        run: PortfolioRun,
        session_range: SessionRange,
        block: PanelBlock | None,
        base: Interval,
        scans: SweptScans,
    ) -> ScannedRun:
        """The run with scans."""

        def get(symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
            got = scans.get(symbols, row).items()
            needs = self.needs
            return {s: one if isinstance(one, str) or needs is None else one.seen_with(needs) for s, one in got}

        return ScannedRun(run, scans.plans, get, session_range, block, base, scans.renames)


class _FiguresAlone(Reckoning):
    """Takes but figures, for which stamps of grids are not looked at."""

    most_stamps = 1 << 21

    def __init__(self, plan: Plan, order_manager: OrderManager, figures: PortfolioFigures) -> None:
        super().__init__(plan, order_manager)
        self._figures = figures

    def _told_of(self, over: Sequence[OverSession]) -> list[Told]:
        """Nothing, but the figures know of the sessions."""
        symbols, slots = self._symbols()
        every = fills_of(over, BasketFills.of([one.baskets for one in over]), symbols, slots)
        passage = self._pass(every, len(over), slots)
        before, counts = passage.shares_before, passage.counts
        there = (counts > 0) | (before != 0.0) | refused(over, symbols)
        books = self._order_manager.books
        begins = np.array([self._figures.anew or books[symbol].guest for symbol in symbols], np.bool_)
        shown = np.flatnonzero(there.any(axis=0))
        closing = Closing(
            [symbols[number] for number in shown.tolist()],
            there[:, shown],
            (there & begins & (before == 0.0))[:, shown],
            passage.spent_after[:, shown],
            passage.held_after[:, shown],
            last_closes(over, symbols)[:, shown],
        )
        self._figures.add(closing, every.fills, counts.sum(axis=0)[shown])
        return [(None, NO_ORDERS)] * len(over)


def _first_of(errors: Mapping[str, tuple[str, int | None]]) -> str | None:
    return next((f"{symbol}: {text}" for symbol, (text, _) in sorted(errors.items())), None)


def _refuse(symbols: Sequence[str], row: int) -> Mapping[str, SymbolData | str]:
    raise ConfigError(
        "a sweep has no symbols but those of the config",
        symbol=symbols[0],
        remedy="name it under symbols, or try the set with barray backtest",
    )
