"""What became of hits: returns after they were found, by place, and as a factor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.errors import ConfigError
from barray.trading.scans.hits import SessionHits

if TYPE_CHECKING:
    import pandas as pd

_PRICE = "close"
"""Under which of its values a hit has the price at which it was found: the newest close of the base interval."""


@dataclass(frozen=True, eq=False)
class FoundRows:
    """Hits of one scan over many sessions, in order of time and place; all (n,).

    `dates`: labels of the sessions; `at_ns`: UTC ns; `places` from 1; `scores`, NaN where nothing ranked; `prices`: the
    newest close when it was found.
    """

    dates: np.ndarray
    at_ns: IntArray
    symbols: np.ndarray
    places: IntArray
    scores: FloatArray
    prices: FloatArray

    @classmethod
    def of(cls, sessions: Iterable[tuple[date, SessionHits]]) -> FoundRows:
        """From each session's hits, in order."""
        rows = [
            (day, hits.at_ns, symbol, place, hits.scores[place - 1], hits.values[_PRICE][place - 1])
            for day, found in sessions
            for hits in found.hits
            for place, symbol in enumerate(hits.symbols, 1)
        ]
        dates, at_ns, symbols, places, scores, prices = zip(*rows, strict=True) if rows else ((),) * 6
        return cls(
            np.array(dates, "datetime64[D]"),
            np.array(at_ns, np.int64),
            np.array(symbols, object),
            np.array(places, np.int64),
            np.array(scores, np.float64),
            np.array(prices, np.float64),
        )

    def __len__(self) -> int:
        return len(self.dates)

    def take(self, rows: np.ndarray) -> FoundRows:
        """Some of them."""
        return FoundRows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Closes:
    """Daily closes: `dates` datetime64[D] (days,), ascending, `symbols` sorted, `values` float64 (days, symbols), NaN
    where a symbol has none.
    """

    dates: np.ndarray
    symbols: tuple[str, ...]
    values: FloatArray

    @cached_property
    def column(self) -> Mapping[str, int]:
        """Where each symbol stands."""
        return {symbol: i for i, symbol in enumerate(self.symbols)}


def forward_returns(found: FoundRows, closes: Closes, horizons: Sequence[int] = (0, 1, 5, 20)) -> dict[int, FloatArray]:
    """By horizon: what was earned from the price at which each was found to the close so many sessions after its own
    (0: its own close), 0.01 for 1 %; NaN where there is no such close. ConfigError for a horizon below 0.
    """
    if any(not isinstance(one, int) or one < 0 for one in horizons):
        raise ConfigError(f"horizons are {list(horizons)}", remedy="give whole numbers of sessions, such as 0, 1, 5")
    days = np.searchsorted(closes.dates, found.dates)
    columns = np.array([closes.column.get(symbol, -1) for symbol in found.symbols], np.int64)
    known = (columns >= 0) & (days < len(closes.dates))
    known[known] &= closes.dates[days[known]] == found.dates[known]
    made: dict[int, FloatArray] = {}
    for horizon in horizons:
        later = known & (days + horizon < len(closes.dates))
        returns = np.full(len(found), np.nan)
        returns[later] = closes.values[days[later] + horizon, columns[later]] / found.prices[later] - 1.0
        made[horizon] = returns
    return made


@dataclass(frozen=True)
class PlaceReturns:
    """Of the places from `first` to `last`: how many hits have a return, their mean, median, and the share above 0."""

    first: int
    last: int
    horizon: int
    hits: int
    mean: float
    median: float
    positive: float


def returns_by_place(
    found: FoundRows, returns: Mapping[int, FloatArray], bounds: Sequence[int] = (1, 5, 10, 20, 50)
) -> tuple[PlaceReturns, ...]:
    """Returns of hits by their places, up to each of `bounds` (ascending), and those beyond; spans without hits are
    left out.
    """
    edges = [0, *bounds, int(max([*found.places.tolist(), bounds[-1]])) if len(bounds) else 0]
    rows = []
    for low, high in pairwise(edges):
        within = (found.places > low) & (found.places <= high)
        for horizon, values in returns.items():
            own = values[within & ~np.isnan(values)]
            if len(own):
                stats = float(own.mean()), float(np.median(own)), float((own > 0).mean())
                rows.append(PlaceReturns(low + 1, high, horizon, len(own), *stats))
    return tuple(rows)


def factor_of(found: FoundRows) -> pd.Series:
    """The scores as a factor for alphalens-reloaded: a Series `factor` with the index (date, asset), one value a
    session and symbol, that of the last time at which it was found. Dates are session labels at midnight, without a
    zone.

    What a hit of 10:00 earns is then counted from that session's close on: see `prices_of`.
    """
    import pandas as pd

    pairs = zip(found.dates.tolist(), found.symbols, strict=True)
    last = {pair: row for row, pair in enumerate(pairs)}
    keys = sorted(last)
    index = pd.MultiIndex.from_arrays(
        [pd.DatetimeIndex([day for day, _ in keys]), [symbol for _, symbol in keys]], names=["date", "asset"]
    )
    return pd.Series(found.scores[[last[key] for key in keys]] if keys else np.empty(0), index, name="factor")


def prices_of(closes: Closes) -> pd.DataFrame:
    """The closes as alphalens-reloaded wants its prices: a row a session, a column a symbol."""
    import pandas as pd

    index = pd.DatetimeIndex(closes.dates.astype("datetime64[ns]"), name="date")
    return pd.DataFrame(closes.values, index, list(closes.symbols))
