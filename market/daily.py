"""Daily bars that a source gives of the sessions before those with base bars, and how both become one series.

Base bars win wherever they are loaded: a daily bar is used of sessions alone that lie before the first of them, so the
bar of the session date is always made of its own bars, as they close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from barray.market.bars import Bars, Prices, format_ns
from barray.market.calendar import Sessions
from barray.market.commands import BarReader, prices_of
from barray.market.errors import NoDataError
from barray.market.interval import DAY, Interval
from barray.market.jumps import find_jumps, first_warnings, jump_warning, refused_or
from barray.market.requirements import JumpRule, SessionContext
from barray.market.series import IntervalBars, derive, lay_on_sessions
from barray.market.symbol_data import Lineage
from barray.market.validation import Reason

_APART = 0.02
"""Closes this far apart are no matter of an auction after the last minute, or of a late print."""


def lay_daily(
    bars: Bars, sessions: Sessions, session_row: int, *, symbol: str, source: str, prices: Prices = "positive"
) -> IntervalBars:
    """Daily bars of sessions before `session_row`, later ones left out; DataError where they can't be right."""
    laid = lay_on_sessions(bars, DAY, sessions, session_row, symbol=symbol, source=source, prices=prices)
    return laid.take(slice(0, int(np.searchsorted(laid.session, session_row))))


def between(daily: IntervalBars, first_row: int, end_row: int) -> IntervalBars:
    """Those of the sessions from `first_row` to before `end_row`."""
    low, high = np.searchsorted(daily.session, (first_row, end_row)).tolist()
    return daily.take(slice(low, high))


def without_base(daily: IntervalBars, base: IntervalBars) -> IntervalBars:
    """Those of the sessions that have no base bars."""
    lone = ~np.isin(daily.session, base.session)
    counted = (daily.end_ns[lone], daily.session[lone], daily.expected[lone], daily.actual[lone])
    return IntervalBars(DAY, daily.bars.take(lone), *counted, int(lone[: daily.history].sum()))


def derive_beside(
    base: IntervalBars, daily: IntervalBars | None, target: Interval, sessions: Sessions, session_row: int
) -> IntervalBars:
    """Bars of `target` from `base`, with daily bars of sessions without base bars, where any were loaded, among them.

    Weeks are then made of days, and count sessions. ValueError where `target` doesn't derive from the base interval.
    """
    if daily is None or target.is_intraday:
        return derive(base, target, sessions, session_row)
    days = derive(base, DAY, sessions, session_row)
    return derive(_joined(daily, days), target, sessions, session_row)


def _joined(daily: IntervalBars, derived: IntervalBars) -> IntervalBars:
    order = np.argsort(np.concatenate((daily.session, derived.session)), kind="stable")

    def both(column: str) -> Any:
        return np.concatenate((getattr(daily, column), getattr(derived, column)))[order]

    return IntervalBars(
        DAY,
        Bars.concat([daily.bars, derived.bars]).take(order),
        both("end_ns"),
        both("session"),
        both("expected"),
        both("actual"),
        len(daily) + derived.history,
        derived.derived_from,
        len(daily),
    )


@dataclass(frozen=True, eq=False)
class DailyHistory:
    """Daily bars as a source gave them, `every` one that was read. `dataset`: see Lineage.

    `base_row`: position of the first session with base bars. The daily bars of it, and of those after it, are compared
    with what base bars make, no more.
    """

    source: str
    every: IntervalBars
    base_row: int
    dataset: str | None = None

    @property
    def bars(self) -> IntervalBars:
        """Those of the sessions before base bars: all of them have closed when these begin."""
        return between(self.every, 0, self.base_row)

    @property
    def lineage(self) -> Lineage:
        """Which bars came from the source."""
        stamps = self.bars.bars.start_ns
        first_ns, last_ns = (int(stamps[0]), int(stamps[-1])) if len(stamps) else (None, None)
        return Lineage(self.source, DAY, first_ns, last_ns, len(stamps), self.dataset)

    def check(
        self, base: IntervalBars, sessions: Sessions, session_row: int, rule: JumpRule | None, symbol: str
    ) -> tuple[Reason, ...]:
        """Warnings, beside these base bars; DataError where suspected prices are refused."""
        days = derive_beside(base, self.bars, DAY, sessions, session_row)
        found = daily_warnings(days, sessions, rule, self.source)
        refused_or(found, rule, DAY, symbol=symbol, source=self.source)
        own = days.take(slice(days.given, len(days)))
        return *found, *disagreements(self.every, own, self.source)


def history_of(given: Bars, reader: BarReader, context: SessionContext, symbol: str) -> DailyHistory:
    """A session's daily history, of the bars that `reader` gave.

    NoDataError where more sessions lack theirs than may, DataError for bars that can't be right.
    """
    source, prices = reader.name, prices_of(reader)
    laid = lay_daily(given, context.sessions, context.row, symbol=symbol, source=source, prices=prices)
    bars = between(laid, context.first_row(DAY), context.history_row)
    rows = np.arange(context.first_row(DAY), context.history_row)
    lacking = context.sessions.dates[rows[~np.isin(rows, bars.session)]].tolist()
    if context.max_missing_days is not None and len(lacking) > context.max_missing_days:
        listed = ", ".join(map(str, lacking[:5])) + (" …" if len(lacking) > 5 else "")
        raise NoDataError(
            f"no daily bars of {len(lacking)} of the {len(rows)} sessions before the base bars ({listed})",
            symbol=symbol,
            interval=str(DAY),
            source=source,
            remedy="add the data, or allow history.max_missing_days",
            code="no_daily_history",
        )
    every = between(laid, context.first_row(DAY), context.row)
    return DailyHistory(source, every, context.history_row, getattr(reader, "dataset", None))


def daily_warnings(days: IntervalBars, sessions: Sessions, rule: JumpRule | None, source: str) -> tuple[Reason, ...]:
    """Suspected moves of the daily bars given, and from the last of them to the first that is derived.

    A daily source that is adjusted beside base bars that aren't shows at that seam.
    """
    if rule is None:
        return ()
    seam = days.take(slice(0, days.given + 1))
    last_ns = int(seam.bars.start_ns[-1]) if len(seam) > days.given else None
    jumps = find_jumps(seam, sessions, rule.size)
    told = (jump for jump in jumps if jump.start_ns != last_ns or jump.where == "open")
    return first_warnings(jump_warning(jump, source) for jump in told)


def disagreements(daily: IntervalBars, derived: IntervalBars, source: str) -> tuple[Reason, ...]:
    """Where a source's daily closes are not those that base bars make, of the sessions that both have: one warning."""
    _, mine, theirs = np.intersect1d(daily.session, derived.session, return_indices=True)
    given, made = daily.bars.close[mine], derived.bars.close[theirs]
    apart = np.flatnonzero(np.abs(given - made) > _APART * np.maximum(np.abs(given), np.abs(made)))
    if not len(apart):
        return ()
    row = int(apart[0])
    stamp = format_ns(int(daily.bars.start_ns[mine[row]]))
    message = (
        f"the daily bar at {stamp} closes at {given[row]:.6g}, the {derived.derived_from} bars of that session at "
        f"{made[row]:.6g}; closes differ in {len(apart)} of the {len(mine)} sessions that have both"
    )
    return (Reason("daily_differs", message, "have both adjusted alike, and of one feed", source),)
