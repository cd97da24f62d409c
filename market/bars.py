"""Bars as read-only NumPy columns, and the checks that every bar from outside has to pass."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from barray.market.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = (*PRICE_COLUMNS, "volume")
_ORDERED = (("high", "open"), ("high", "close"), ("open", "low"), ("close", "low"), ("high", "low"))
Prices = Literal["positive", "any"]
"""What prices a source has: `positive`, or `any`, where spreads and some futures trade at zero and below."""


def floats(column: FloatArray) -> Sequence[float]:
    """A column whose elements are Python floats: as quick as a list to look into, and nothing to make beforehand."""
    return column.data


@dataclass(frozen=True)
class Bar:
    """One bar. `start_ns`: its start, UTC nanoseconds since 1970; prices in the quote currency, volume in units."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars of one symbol and interval, oldest first, as columns of one length.

    `start_ns` int64 (n,): bar start, UTC, nanoseconds since 1970. The others float64 (n,). All arrays are read-only.
    """

    start_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __post_init__(self) -> None:
        for field in fields(self):
            getattr(self, field.name).flags.writeable = False

    @classmethod
    def empty(cls) -> Bars:
        """No bars."""
        return cls(np.empty(0, np.int64), *(np.empty(0, np.float64) for _ in COLUMNS))

    @classmethod
    def of(cls, bars: Iterable[Bar]) -> Bars:
        """Columns from single bars, in the order given."""
        rows = list(bars)
        columns = (np.array([getattr(bar, name) for bar in rows], np.float64) for name in COLUMNS)
        return cls(np.array([bar.start_ns for bar in rows], np.int64), *columns)

    @classmethod
    def partial(cls, start_ns: IntArray, columns: Mapping[str, FloatArray]) -> Bars:
        """Bars of which only these columns are known; the others are NaN, and take no memory."""
        absent = np.broadcast_to(np.float64(np.nan), len(start_ns))
        return cls(start_ns, *(columns.get(name, absent) for name in COLUMNS))

    @classmethod
    def concat(cls, parts: Sequence[Bars], columns: Collection[str] = COLUMNS) -> Bars:
        """The parts one after another. `columns`: those that are there, see `partial`."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        starts = np.concatenate([part.start_ns for part in parts])
        return cls.partial(starts, {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})

    def take(self, rows: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Bars:
        """The chosen rows; a slice shares memory with this object."""
        return Bars(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.start_ns)

    def __getitem__(self, row: int) -> Bar:
        return Bar(int(self.start_ns[row]), *(float(getattr(self, name)[row]) for name in COLUMNS))

    def equals(self, other: Bars) -> bool:
        """Same stamps and the same values to the last bit."""
        return all(np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))


def format_ns(stamp_ns: int) -> str:
    """`2024-07-01T13:30:00Z`: a UTC stamp as people and JSON read it (fractions only where there are any)."""
    seconds, fraction = divmod(int(stamp_ns), 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}Z".replace(".000000000Z", "Z")


def parse_ns(text: str) -> int:
    """The stamp that `format_ns` wrote; ValueError for anything else."""
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is no stamp in UTC such as 2024-07-01T13:30:00Z")
    return int(np.datetime64(text[:-1], "ns").astype(np.int64))


def sane_rows(bars: Bars, prices: Prices = "positive", columns: Collection[str] = COLUMNS) -> NDArray[np.bool_]:
    """Which rows can be bars, by their values: bool (n,). `value_problem` says what is wrong with another.

    `columns`: those that are judged.
    """
    given = [name for name in PRICE_COLUMNS if name in columns]
    above = 0.0 if prices == "positive" else -np.inf
    sane = np.ones(len(bars), np.bool_)
    with np.errstate(invalid="ignore"):  # NaN compares false
        for higher, lower in _ORDERED:
            if higher in given and lower in given:
                sane &= getattr(bars, higher) >= getattr(bars, lower)
        for name in ["low"] if "low" in given else given:
            sane &= getattr(bars, name) > above
        for name in ["high"] if "high" in given else given:
            sane &= getattr(bars, name) < np.inf
        if "volume" in columns:
            sane &= (bars.volume >= 0) & (bars.volume < np.inf)
    return sane


def check_values(
    bars: Bars,
    prices: Prices = "positive",
    /,
    *,
    symbol: str,
    interval: str,
    source: str,
    columns: Collection[str] = COLUMNS,
) -> None:
    """Raise DataError if any row cannot be a bar, naming the first such row, why, and how many there are."""
    sane = sane_rows(bars, prices, columns)
    if sane.all():
        return
    rows = np.flatnonzero(~sane)
    bar = bars[int(rows[0])]
    more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
    below_zero = prices == "positive" and value_problem(bar, "any", columns) is None
    raise DataError(
        f"bar at {format_ns(bar.start_ns)}: {value_problem(bar, prices, columns)}{more}",
        symbol=symbol,
        interval=interval,
        source=source,
        remedy="mend or remove these rows in the source"
        + (", or give the source prices: any, where a price may be zero or less" if below_zero else ""),
        code="bad_values",
    )


def value_problem(bar: Bar, prices: Prices = "positive", columns: Collection[str] = COLUMNS) -> str | None:
    """Why the values of these columns cannot be a bar's, or None. The sentence begins with the column at fault."""
    for name in COLUMNS:
        value = getattr(bar, name)
        if name not in columns:
            continue
        if not np.isfinite(value):
            return f"{name} is {value}"
        if value < 0 and (name == "volume" or prices == "positive"):
            return f"{name} is negative ({value})"
        if value == 0 and name != "volume" and prices == "positive":
            return f"{name} is zero"
    if bar.high < bar.low:  # a column that isn't there is NaN
        return f"high {bar.high} is below low {bar.low}"
    inner = [value for value in (bar.open, bar.close) if not math.isnan(value)]
    if inner and bar.high < max(inner):
        return f"high {bar.high} is below the open or close ({bar.open}, {bar.close})"
    if inner and bar.low > min(inner):
        return f"low {bar.low} is above the open or close ({bar.open}, {bar.close})"
    return None


def check_order(start_ns: IntArray, *, symbol: str, interval: str, source: str) -> None:
    """Raise DataError unless the stamps increase strictly, naming the first that doesn't."""
    steps = np.diff(start_ns)
    if len(steps) == 0 or steps.min() > 0:
        return
    row = int(np.argmax(steps <= 0))
    stamp = format_ns(int(start_ns[row + 1]))
    duplicate = steps[row] == 0
    raise DataError(
        f"stamp {stamp} stands twice" if duplicate else f"stamp {stamp} comes after {format_ns(int(start_ns[row]))}",
        symbol=symbol,
        interval=interval,
        source=source,
        remedy="keep one bar a stamp" if duplicate else "sort the rows by time",
        code="duplicate_stamps" if duplicate else "unsorted_stamps",
    )
