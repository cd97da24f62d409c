"""Moves of prices that the market hardly makes: splits, wrong decimal points, bars of another company."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import log, sqrt
from typing import Literal

import numpy as np

from barray.market.bars import FloatArray, IntArray, format_ns
from barray.market.calendar import Sessions
from barray.market.errors import DataError
from barray.market.interval import Interval
from barray.market.requirements import JumpRule
from barray.market.series import IntervalBars
from barray.market.validation import Reason

_TIMES_TYPICAL = 6.0
"""So many times a typical session's range is no surprise: what a calm stock never does, a wild one does in a year."""
_FIVEFOLD = 5.0
"""What prices never do between two bars, however much is traded."""
_TICKS = 3
"""So many smallest steps are no surprise either: a stock at 0.02 has only 0.01 and 0.03 beside it."""
_TIMES_USUAL = 3.0
"""Range and turnover both that many times as large as usual: the market moved."""
_COMPARED = 20
"""Sessions before, that the one with the move is compared with; and sessions without a bar, after which a symbol may
be another company's."""
_MOST = 20
"""How many are told of one symbol."""
_MORE = f"moves like these {_MOST} go on"
_SPLITS = {
    (n, m): log(n / m) for n, m in ((3, 2), (5, 2), *((n, 1) for n in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 50, 100)))
}
_NEAR = 0.06
_REMEDY = "have the source adjust for splits, or correct the bars; validation.suspect_jump says what is suspected"


@dataclass(frozen=True)
class Jump:
    """A suspected move, in the bar that starts at `start_ns` (UTC ns), to `price` from the price `before`.

    `where`: the bar opens away from the close before, or reaches a high or a low away from its own open. `missed`:
    sessions without a bar before it; `new_session`: it is its session's first bar.
    """

    start_ns: int
    where: Literal["open", "high", "low"]
    price: float
    before: float
    missed: int = 0
    new_session: bool = False

    @property
    def size(self) -> float:
        """How far the higher price is above the lower, as a share of that: 6.0 of a split of 7:1, or of 1:7."""
        return max(self.price, self.before) / min(self.price, self.before) - 1.0

    def __str__(self) -> str:
        beside = "the close before" if self.where == "open" else "its open"
        verb = "opens at" if self.where == "open" else f"has its {self.where} at"
        change = f"{100.0 * (self.price / self.before - 1.0):+,.4g} %"
        hint = f": {guess}?" if (guess := self._guess()) else ""
        told = f"{verb} {self.price:.6g}, {change} from {beside}, {self.before:.6g}{hint}"
        return f"the bar at {format_ns(self.start_ns)} {told}"

    def _guess(self) -> str:
        if self.missed >= _COMPARED:
            return f"after {self.missed} sessions without bars, another company's symbol"
        apart = log(1.0 + self.size)
        for (new, old), expected in _SPLITS.items():
            if self.new_session and abs(apart - expected) < _NEAR:
                return f"a split of {new}:{old}" if self.price < self.before else f"a reverse split of {old}:{new}"
        return "a wrong decimal point" if apart > log(_FIVEFOLD) else ""


def find_jumps(series: IntervalBars, sessions: Sessions, size: float) -> Iterator[Jump]:
    """The suspected moves of base bars, oldest first; each bar has one at most, its largest. `size`: see JumpRule.

    What is usual for these bars isn't suspected: moves within six times the range of a typical session, of a few ticks,
    or less than fivefold in a session that trades and swings three times as much as those before. Prices of zero and
    below have no moves in per cent: series with any have none that are suspected.
    """
    bars = series.bars
    if not len(bars) or float(bars.low.min()) <= 0.0:
        return
    before = np.concatenate((bars.open[:1], bars.close[:-1]))
    ratios = (bars.open / before, before / bars.open, bars.high / bars.open, bars.open / bars.low)
    furthest = np.maximum.reduce(ratios)
    rows = np.flatnonzero(furthest >= 1.0 + size)
    if not len(rows):
        return
    rows = rows[furthest[rows] >= min(_FIVEFOLD, np.exp(_TIMES_TYPICAL * _typical_range(series)))]
    starts = np.flatnonzero(np.diff(series.session, prepend=-1))
    tick = _smallest_step(series, rows)
    for row in rows.tolist():
        jump = _jump(series, sessions, row, int(np.argmax([ratio[row] for ratio in ratios])))
        if abs(jump.price - jump.before) <= _TICKS * tick:
            continue
        if jump.size < _FIVEFOLD - 1.0 and jump.missed < _COMPARED and _market_moved(series, starts, row):
            continue
        yield jump


def _jump(series: IntervalBars, sessions: Sessions, row: int, which: int) -> Jump:
    bars, start_ns = series.bars, int(series.bars.start_ns[row])
    opens = float(bars.open[row])
    if which >= 2:
        high = which == 2
        return Jump(start_ns, "high" if high else "low", float((bars.high if high else bars.low)[row]), opens)
    last, this = int(series.session[row - 1]), int(series.session[row])
    if series.interval.unit == "w":
        last = int(np.searchsorted(sessions.week, sessions.week[last], side="right")) - 1
    missed = max(this - last - 1, 0)
    return Jump(start_ns, "open", opens, float(bars.close[row - 1]), missed, this != last)


def _typical_range(series: IntervalBars) -> float:
    """Log of high ÷ low of a session, as the median bar makes it likely, gaps between bars counted."""
    bars = series.bars
    before = np.concatenate((bars.open[:1], bars.close[:-1]))
    true_range = np.log(np.maximum(bars.high, before) / np.minimum(bars.low, before))
    sessions = 1 + int(np.count_nonzero(np.diff(series.session)))
    return float(np.median(true_range)) * sqrt(len(bars) / sessions)


def _smallest_step(series: IntervalBars, suspects: IntArray) -> float:
    """The smallest range of any other bar: a tick or more, and of a calm penny stock just that. 0.0 without any."""
    ranges: FloatArray = np.delete(series.bars.high - series.bars.low, suspects)
    positive = ranges[ranges > 0]
    return float(positive.min()) if len(positive) else 0.0


def _market_moved(series: IntervalBars, starts: IntArray, row: int) -> bool:
    """Whether the rest of the session swings and trades more than usual at that time of the day."""
    stops = np.append(starts[1:], len(series))
    at = int(np.searchsorted(starts, row, side="right")) - 1
    offset, many = row - int(starts[at]), int(stops[at]) - row
    usual = [
        _activity(series, slice(int(start) + offset, min(int(start) + offset + many, int(stop))))
        for start, stop in zip(starts[:at][-_COMPARED:], stops[:at][-_COMPARED:], strict=True)
        if start + offset < stop
    ]
    if not usual:
        return False
    now = np.array(_activity(series, slice(row, row + many)))
    return bool((now > _TIMES_USUAL * np.median(usual, axis=0)).all())


def _activity(series: IntervalBars, rows: slice) -> tuple[float, float]:
    """Log of high ÷ low, and turnover."""
    bars = series.bars
    turnover = bars.close[rows] * bars.volume[rows]
    return log(float(bars.high[rows].max()) / float(bars.low[rows].min())), float(turnover.sum())


def jump_warnings(series: IntervalBars, sessions: Sessions, rule: JumpRule | None, source: str) -> tuple[Reason, ...]:
    """What there is to say of the suspected moves of a source's base bars: of the first 20, and that there are more."""
    if rule is None:
        return ()
    return first_warnings(
        jump_warning(jump, source) for jump in islice(find_jumps(series, sessions, rule.size), _MOST + 1)
    )


def jump_warning(jump: Jump, source: str) -> Reason:
    """What there is to say of a suspected move."""
    return Reason("suspect_jump", str(jump), _REMEDY, source)


def first_warnings(warnings: Iterable[Reason]) -> tuple[Reason, ...]:
    """Each once, the first 20, and that there are more. It is the same whether all are given, or the first of parts."""
    distinct = list(dict.fromkeys(warnings))
    told = [warning for warning in distinct if warning.message != _MORE]
    if len(told) > _MOST or len(told) < len(distinct):
        return (*told[:_MOST], replace(told[0], message=_MORE))
    return tuple(told)


def check_jumps(
    series: IntervalBars, sessions: Sessions, rule: JumpRule | None, *, symbol: str, source: str
) -> tuple[Reason, ...]:
    """The warnings of bars that are loaded; DataError, of the first, where the rule refuses."""
    return refused_or(
        jump_warnings(series, sessions, rule, source), rule, series.interval, symbol=symbol, source=source
    )


def refused_or(
    found: tuple[Reason, ...], rule: JumpRule | None, interval: Interval, *, symbol: str, source: str
) -> tuple[Reason, ...]:
    """The warnings; DataError, of the first, where the rule refuses."""
    if found and rule is not None and rule.refuse:
        raise DataError(
            found[0].message,
            symbol=symbol,
            interval=str(interval),
            source=source,
            remedy=found[0].remedy,
            code="suspect_jump",
        )
    return found
