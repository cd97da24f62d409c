"""What derived bars and indicators of a range of sessions are made of: base bars, and daily ones of sessions before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.calendar import Sessions
from barray.market.daily import derive_beside, without_base
from barray.market.indicators import SESSION_VWAP, IndicatorSpec, compute
from barray.market.interval import Interval
from barray.market.series import IntervalBars

_WINDOWED = frozenset(
    {
        "SMA",
        "WMA",
        "TRIMA",
        "MAX",
        "MIN",
        "SUM",
        "MIDPOINT",
        "MIDPRICE",
        "MOM",
        "ROC",
        "ROCP",
        "ROCR",
        "ROCR100",
        "STDDEV",
        "VAR",
        "CCI",
        "WILLR",
        "AROON",
        "AROONOSC",
        "BOP",
        "TRANGE",
        "LINEARREG",
        "LINEARREG_ANGLE",
        "LINEARREG_INTERCEPT",
        "LINEARREG_SLOPE",
        "TSF",
        "CORREL",
        "BETA",
        "AVGPRICE",
        "MEDPRICE",
        "TYPPRICE",
        "WCLPRICE",
        "MFI",
        "ULTOSC",
    }
)
"""TA-Lib functions whose values depend on the last `lookback` bars alone, wherever the bars begin."""


@dataclass(frozen=True, eq=False)
class DailyPast:
    """Daily bars that a source gave. `first`: for each session to run, the row of the first that it looks back to."""

    every: IntervalBars
    first: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class RangeBars:
    """`base` was laid on `sessions`. `history`: for each session to run, the row of the first with base bars.

    `past`: daily bars of sessions before those, where there are any.
    """

    base: IntervalBars
    sessions: Sessions
    history: Mapping[int, int]
    past: DailyPast | None = None

    def series(self, interval: Interval, session_row: int) -> IntervalBars:
        """Bars of `interval` over the range; daily ones that were given are of sessions without base bars alone.

        ValueError where they don't derive from the base interval.
        """
        daily = without_base(self.past.every, self.base) if self.past else None
        return derive_beside(self.base, daily, interval, self.sessions, session_row)

    def values(self, spec: IndicatorSpec, series: IntervalBars, traded: IntArray) -> dict[str, FloatArray]:
        """Values by output, float64, aligned with `series`: in sessions `traded` those of each run alone. ConfigError
        where an own function fails.
        """
        if spec.own.windowed if spec.own else spec.name == SESSION_VWAP or spec.name in _WINDOWED:
            return dict(compute(spec, series).values)
        history = self.past.first if self.past and not spec.interval.is_intraday else self.history
        values = {name: np.full(len(series), np.nan) for name in spec.outputs}
        done = 0
        for session in traded.tolist():
            start, stop = np.searchsorted(series.session, (history[session], session + 1))
            computed = compute(spec, series.take(slice(int(start), int(stop)))).values
            fresh = max(done, int(start))
            for name, column in computed.items():
                values[name][fresh:stop] = column[fresh - start :]
            done = int(stop)
        for column in values.values():
            column.flags.writeable = False
        return values
