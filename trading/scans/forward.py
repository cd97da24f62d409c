"""What became of hits: returns after they were found, by place, and as a factor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, ConfigError
from barray.market.interval import DAY, Interval
from barray.market.table import Column, Table, floats_known, stamps, texts
from barray.trading.scans.follow import Kept
from barray.trading.scans.plan import PRICE

if TYPE_CHECKING:
    import pandas as pd

Asked = Mapping[str, IntArray]
"""By symbol: times of a session, UTC ns, ascending, at which its newest close is asked for."""
_BOUNDS = (1, 5, 10, 20, 50)
_MOST_SESSIONS = 250


@dataclass(frozen=True)
class Horizon:
    """How long after a hit its return is taken: `ns` later in its session; or, where that is None, at the close so many
    `sessions` after its own.
    """

    text: str
    ns: int | None = None
    sessions: int = 0

    @classmethod
    def parse(cls, text: str) -> Horizon:
        """`5m`, `2h`, `close` (the session's own), `1d`, `5d`; ConfigError for another."""
        if text == "close":
            return cls(text)
        if text.endswith("d") and text[:-1].isdecimal() and 0 < int(text[:-1]) <= _MOST_SESSIONS:
            return cls(text, None, int(text[:-1]))
        try:
            interval = Interval.parse(text)
        except BarrayError:
            interval = DAY
        if not interval.is_intraday:
            raise ConfigError(
                f"{text!r} is no time after a hit", remedy="give minutes, hours, close, or sessions: 5m, 30m, close, 1d"
            )
        return cls(text, interval.ns)


def horizons_of(texts: Iterable[str], base: Interval | None = None) -> tuple[Horizon, ...]:
    """Each once. ConfigError as for `parse`, and where bars of `base` are too coarse."""
    found = tuple(Horizon.parse(text.strip()) for text in dict.fromkeys(texts))
    for one in found:
        if base is not None and one.ns is not None and (not base.is_intraday or one.ns % base.ns):
            raise ConfigError(
                f"bars of {base} do not tell what a hit earns in {one.text}", remedy="give sessions: 1d, 5d"
            )
    return found


@dataclass(frozen=True, eq=False)
class FoundRows:
    """Those that scans kept, in order of time, scans and places; all (n,).

    `dates`: labels of the sessions; `at_ns`: UTC ns; `places` from 1; `scores`, NaN where nothing ranked; `prices`: the
    newest close when it was found.
    """

    dates: np.ndarray
    at_ns: IntArray
    scans: np.ndarray
    symbols: np.ndarray
    places: IntArray
    scores: FloatArray
    prices: FloatArray

    @classmethod
    def of(cls, sessions: Iterable[tuple[date, Sequence[Kept]]]) -> FoundRows:
        """From sessions, in order."""
        rows = [
            (day, row.at_ns, row.scan, row.symbol, row.place, row.score, row.values[PRICE.text])
            for day, kept in sessions
            for row in kept
        ]
        dates, at_ns, scans, symbols, places, scores, prices = zip(*rows, strict=True) if rows else ((),) * 7
        return cls(
            np.array(dates, "datetime64[D]"),
            np.array(at_ns, np.int64),
            np.array(scans, object),
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


def asked_closes(found: FoundRows, horizons: Sequence[Horizon], sessions: Sessions, later: int) -> dict[int, Asked]:
    """Which closes must be known, by session (its row): of each that was found when that time has passed, and all of
    their closes from the first session in which one was found to `later` sessions after the last.
    """
    if not len(found):
        return {}
    rows = np.searchsorted(sessions.dates, found.dates)
    times: dict[int, dict[str, set[int]]] = {}
    everybody = sorted(set(found.symbols.tolist()))
    for row in range(int(rows.min()), min(int(rows.max()) + later + 1, len(sessions))):
        times[row] = {symbol: {int(sessions.close_ns[row])} for symbol in everybody}
    within = [one.ns for one in horizons if one.ns is not None]
    for row, symbol, at_ns in zip(rows.tolist(), found.symbols.tolist(), found.at_ns.tolist(), strict=True):
        last_ns = int(sessions.close_ns[row])
        times[row][symbol].update(at_ns + ns for ns in within if at_ns + ns <= last_ns)
    return {row: {name: np.array(sorted(some), np.int64) for name, some in by.items()} for row, by in times.items()}


@dataclass(frozen=True)
class PlaceReturns:
    """Of a scan's places from `first` to `last`: how many hits have a return so long after, its mean, its median, and
    the share above 0.
    """

    scan: str
    first: int
    last: int
    horizon: str
    hits: int
    mean: float
    median: float
    positive: float


@dataclass(frozen=True, eq=False)
class ForwardReturns:
    """What hits earned. `returns`: by horizon, of each row of `found`, from the price at which it was found to the
    newest close when that time had passed, 0.01 for 1 %; NaN where the session ended before, or there is no such close.
    `dates` (days,), `symbols` and `closes` float64 (days, symbols): all sessions' closes of all that were found.
    """

    found: FoundRows
    returns: Mapping[str, FloatArray]
    dates: np.ndarray
    symbols: tuple[str, ...]
    closes: FloatArray
    bounds: Sequence[int] = field(default=_BOUNDS)

    @classmethod
    def of(
        cls,
        found: FoundRows,
        horizons: Sequence[Horizon],
        sessions: Sessions,
        asked: Mapping[int, Asked],
        told: Mapping[int, Mapping[str, FloatArray]],
    ) -> ForwardReturns:
        """Of what was `asked`, and the closes that were `told`, by session and symbol: NaN for none."""
        close_at: dict[tuple[int, str, int], float] = {
            (row, symbol, at_ns): close
            for row, by in asked.items()
            for symbol, times in by.items()
            if row in told and symbol in told[row]
            for at_ns, close in zip(times.tolist(), told[row][symbol].tolist(), strict=True)
        }
        rows = np.searchsorted(sessions.dates, found.dates)
        nothing = float("nan")

        def price(row: int, symbol: str, at_ns: int, horizon: Horizon) -> float:
            if horizon.ns is not None:
                return close_at.get((row, symbol, at_ns + horizon.ns), nothing)
            last = row + horizon.sessions
            ends_ns = int(sessions.close_ns[last]) if last < len(sessions) else 0
            return close_at.get((last, symbol, ends_ns), nothing)

        rows_of = list(zip(rows.tolist(), found.symbols.tolist(), found.at_ns.tolist(), strict=True))
        returns = {
            one.text: np.array([price(*row, one) for row in rows_of], np.float64) / found.prices - 1.0
            for one in horizons
        }
        symbols = tuple(sorted(set(found.symbols.tolist())))
        days = sorted(asked)
        closes = [[close_at.get((row, name, int(sessions.close_ns[row])), nothing) for name in symbols] for row in days]
        return cls(found, returns, sessions.dates[days], symbols, np.array(closes).reshape(len(days), len(symbols)))

    @cached_property
    def table(self) -> Table:
        """A row a hit: session, timestamp, scan, symbol, place, score, price, and a column a horizon."""
        found = self.found
        columns = {
            "session": Column(found.dates.astype(np.int32), "day"),
            "timestamp": stamps(found.at_ns),
            "scan": texts(found.scans.tolist()),
            "symbol": texts(found.symbols.tolist()),
            "place": Column(found.places),
            "score": floats_known(found.scores),
            "price": floats_known(found.prices),
        }
        return Table(columns | {name: floats_known(values) for name, values in self.returns.items()})

    @cached_property
    def by_place(self) -> tuple[PlaceReturns, ...]:
        """By scan and places: the first, up to each of `bounds`, and those beyond; spans without hits are left out."""
        found: list[PlaceReturns] = []
        for scan in dict.fromkeys(self.found.scans.tolist()):
            own = self.found.scans == scan
            edges = [0, *self.bounds, max(int(self.found.places[own].max()), self.bounds[-1] + 1)]
            for low, high in pairwise(edges):
                within = own & (self.found.places > low) & (self.found.places <= high)
                for name, values in self.returns.items():
                    some = values[within & ~np.isnan(values)]
                    if len(some):
                        stats = float(some.mean()), float(np.median(some)), float((some > 0).mean())
                        found.append(PlaceReturns(scan, low + 1, high, name, len(some), *stats))
        return tuple(found)

    @cached_property
    def places(self) -> Table:
        """`by_place` as a table."""
        rows = self.by_place
        told = {name: texts([getattr(row, name) for row in rows]) for name in ("scan", "horizon")}
        counts = {
            name: Column(np.array([getattr(row, name) for row in rows], np.int64)) for name in ("first", "last", "hits")
        }
        stats = {
            name: Column(np.array([getattr(row, name) for row in rows], np.float64))
            for name in ("mean", "median", "positive")
        }
        every = told | counts | stats
        return Table({name: every[name] for name in PlaceReturns.__dataclass_fields__})

    @cached_property
    def factor_table(self) -> Table:
        """Of each scan, session and symbol the score when it was last found: scan, date, asset, factor."""
        found = self.found
        last = {
            key: row
            for row, key in enumerate(
                zip(found.scans.tolist(), found.dates.tolist(), found.symbols.tolist(), strict=True)
            )
        }
        rows = np.array([last[key] for key in sorted(last)], np.int64)
        own = found.take(rows)
        return Table(
            {
                "scan": texts(own.scans.tolist()),
                "date": Column(own.dates.astype(np.int32), "day"),
                "asset": texts(own.symbols.tolist()),
                "factor": floats_known(own.scores),
            }
        )

    @cached_property
    def price_table(self) -> Table:
        """`prices` as a table: date, and a column a symbol."""
        days = Column(self.dates.astype(np.int32), "day")
        return Table({"date": days} | {name: floats_known(self.closes[:, i]) for i, name in enumerate(self.symbols)})

    def factor(self, scan: str | None = None) -> pd.Series:
        """The scores of one scan as a factor for alphalens-reloaded: a Series `factor` with the index (date, asset),
        one value a session and symbol, that of the last time at which it was found. Dates are session labels at
        midnight, without a zone. `scan`: its name, where there are several; ConfigError for another.

            alphalens.utils.get_clean_factor_and_forward_returns(forward.factor(), forward.prices(), quantiles=5)

        What a hit of 10:00 earns is then counted from that session's close on.
        """
        import pandas as pd

        names = sorted(set(self.found.scans.tolist()))
        if (scan is None and len(names) > 1) or (scan is not None and scan not in names):
            raise ConfigError(
                f"there is no factor of {scan!r}", remedy=f"name a scan that found any: {', '.join(names)}"
            )
        frame: Any = self.factor_table.to_pandas()
        frame = frame[frame["scan"] == (scan or names[0])] if names else frame
        index = pd.MultiIndex.from_arrays(
            [pd.DatetimeIndex(frame["date"].astype("datetime64[ns]")), frame["asset"].astype(str)],
            names=["date", "asset"],
        )
        return pd.Series(frame["factor"].to_numpy(np.float64), index, name="factor")

    def prices(self) -> pd.DataFrame:
        """The closes as alphalens-reloaded wants its prices: a row a session, a column a symbol."""
        import pandas as pd

        return pd.DataFrame(
            self.closes, pd.DatetimeIndex(self.dates.astype("datetime64[ns]"), name="date"), list(self.symbols)
        )
