"""Bars that come while a strategy trades: what it and its orders see of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from barray.market.appending import Taken, by_time, taken_in
from barray.market.bars import Bar, Bars
from barray.market.errors import DataError
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions
from barray.trading.engine.notes import Revised
from barray.trading.engine.portfolio import PortfolioRun
from barray.trading.strategy.data import SymbolData, prepare
from barray.trading.strategy.needs import Needs


class ComingBars:
    """Takes bars into a run as its symbols take them in, by the same rules. One that comes when its window is past, or
    in place of another, changes what is seen from then on: no order meets it, and nothing decided is decided again.
    """

    def __init__(self, context: SessionContext, needs: Needs) -> None:
        self._context, self._needs = context, needs

    def take_in(self, run: PortfolioRun, bars: Mapping[str, Bars], at_ns: int) -> tuple[Revised, ...]:
        """Have a run go on with these, by symbol, at `at_ns`; those that revise what there was."""
        revised: list[Revised] = []
        for symbol, own in sorted(bars.items()):
            book = run.books.get(symbol)
            if book is None:
                continue
            try:
                taken = taken_in(book.data.base, own, self._context, symbol, "stream", self._context.prices)
            except DataError:  # the symbol refuses them too, and says so
                continue
            if taken is not None:
                revised += _revised(book.data.base, taken, symbol, run.now_ns, at_ns)
                run.renew(self.laid(book.data, taken.base))
        return tuple(revised)

    def as_before(self, final: Mapping[str, IntervalBars], revised: Sequence[Revised]) -> dict[str, IntervalBars]:
        """Base bars by symbol as they would be had nothing been revised, of those that they came to."""
        found = dict(final)
        for symbol, own in self.grouped(revised).items():
            if symbol in found:
                first: dict[int, Bar | None] = {}
                for one in own:
                    first.setdefault(one.after.start_ns, one.before)
                kept = found[symbol].bars.take(~np.isin(found[symbol].bars.start_ns, list(first)))
                found[symbol] = self._relaid(found[symbol], kept, [bar for bar in first.values() if bar is not None])
        return found

    def with_these(self, base: IntervalBars, revised: Sequence[Revised], symbol: str) -> IntervalBars:
        """Base bars with what came late or was corrected."""
        after = {one.after.start_ns: one.after for one in revised}
        kept = base.bars.take(~np.isin(base.bars.start_ns, list(after)))
        return self._relaid(base, kept, list(after.values()))

    @staticmethod
    def grouped(revised: Iterable[Revised]) -> dict[str, list[Revised]]:
        """By symbol, in order."""
        found: dict[str, list[Revised]] = {}
        for one in revised:
            found.setdefault(one.symbol, []).append(one)
        return found

    def _relaid(self, base: IntervalBars, bars: Bars, more: Sequence[Bar]) -> IntervalBars:
        context, both = self._context, by_time(bars, Bars.of(sorted(more, key=lambda bar: bar.start_ns)))
        return lay_on_sessions(
            both, base.interval, context.sessions, context.row, symbol="", source="stream", prices=context.prices
        )

    def laid(self, data: SymbolData, base: IntervalBars) -> SymbolData:
        """A symbol with other base bars of the same session."""
        context, row = self._context, self._context.row
        history = {row: context.history_row}
        made = prepare(data.symbol, base, self._needs, context.sessions, np.array([row]), history, past=data.past)
        return replace(made, open_ended=True, tables=data.tables)


def _revised(before: IntervalBars, taken: Taken, symbol: str, now_ns: int, at_ns: int) -> list[Revised]:
    """What of the bars that came is not simply next."""
    found = []
    for row, new in enumerate(taken.is_new.tolist()):
        bar = taken.fresh[row]
        at = int(np.searchsorted(taken.base.bars.start_ns, bar.start_ns))
        if not new:
            old = before.bars[int(np.searchsorted(before.bars.start_ns, bar.start_ns))]
            found.append(Revised(at_ns, symbol, bar, old))
        elif taken.base.end_ns[at] <= now_ns:
            found.append(Revised(at_ns, symbol, bar, None))
    return found
