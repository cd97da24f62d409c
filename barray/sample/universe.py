"""A seeded, realistic sample universe as Parquet files, so that everything can be tried without a data vendor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from barray.data_sources.atomic_file import replacing
from barray.data_sources.parquet.layout import Layout
from barray.market.bars import PRICE_COLUMNS, Bars, FloatArray, IntArray
from barray.market.calendar import Sessions, load_calendar
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.series import derive, lay_on_sessions
from barray.market.symbols import symbol_problem
from barray.sample.faults import FAULTS, days_written, fault_day, name_faults, spoil_file, spoil_table

__all__ = ["EPOCH", "FAULTS", "KNOWN_SYMBOLS", "MAX_SYMBOLS", "SampleData", "sample_symbols", "write_sample_data"]

EPOCH = date(2024, 1, 1)  # every price walk stands at its level then, and goes both ways from there
MAX_SYMBOLS = 10_000
# ticker, price in USD at EPOCH, shares a day in millions, volatility in per cent a year: roughly as they were
_TABLE = """
AAPL 192 55 25   MSFT 376 24 24   NVDA 49 400 48   AMZN 152 43 31   GOOGL 140 30 29  META 354 17 38   TSLA 248 105 52
SPY 475 78 13    QQQ 409 45 18    AMD 147 62 48    INTC 50 38 40    NFLX 487 4.5 36  JPM 170 9.5 20   BAC 33.7 42 26
WFC 49 18 27     C 51 16 27       GS 386 2.3 24    V 260 6 18       MA 426 2.6 18    XOM 100 19 23    CVX 149 8.5 22
KO 59 13 14      PEP 170 5.5 16   WMT 52.5 20 17   COST 660 2 20    HD 347 3.5 22    MCD 296 3 16     NKE 108 9 30
DIS 90 12 27     BA 260 7 34      CAT 296 2.8 26   F 12.2 50 34     GM 36 15 33      T 16.8 35 23     VZ 37.7 20 22
PFE 28.8 38 25   JNJ 157 7.5 16   MRK 109 9 19     UNH 526 3.5 24   LLY 583 3 30     CRM 263 6 32     ORCL 105 9 30
"""
_KNOWN = _TABLE.split()
KNOWN_SYMBOLS = tuple(_KNOWN[::4])
_FUNDS = ("SPY", "QQQ")  # they are the market, more or less

_MINUTE = Interval(1, "m")
_TRADING_DAY_NS = 390 * _MINUTE.ns
_POINTS = 4  # prices of the path inside a bar
_WEEKDAYS_A_YEAR = 261
_WEEKEND_SIZE = 0.3  # of a weekday's move: little news from Saturday to Sunday
_OVERNIGHT = 0.3  # share of a day's variance that lies in its opening gap
_COMMON = "*"  # the market's random streams; no symbol can be called so
_ROW_GROUP = 20_000  # rows; in a file of many symbols a reader of one skips the other groups
_STAMP = pa.timestamp("us", tz="UTC")
_SCHEMA = pa.schema([("timestamp", _STAMP), *((name, pa.float64()) for name in PRICE_COLUMNS), ("volume", pa.int64())])


@dataclass(frozen=True)
class SampleData:
    """What was written. `broken`: fault by symbol. `bars`: rows, broken ones too; `bytes`: size of the `files`."""

    root: Path
    symbols: tuple[str, ...]
    broken: Mapping[str, str]
    sessions: tuple[date, ...]
    files: int
    bars: int
    bytes: int


def sample_symbols(count: int) -> tuple[str, ...]:
    """The first `count` symbols of the sample universe: well-known tickers, then SYM0001, SYM0002 …

    ConfigError for none or more than there are.
    """
    if not 1 <= count <= MAX_SYMBOLS:
        raise ConfigError(f"{count} sample symbols", remedy=f"ask for 1 to {MAX_SYMBOLS:,}")
    return (*KNOWN_SYMBOLS[:count], *(f"SYM{number:04d}" for number in range(1, count - len(KNOWN_SYMBOLS) + 1)))


def write_sample_data(
    root: Path,
    *,
    symbols: Sequence[str] | int,
    start: date | str,
    end: date | str,
    interval: str | Interval = "1m",
    seed: int = 7,
    calendar: str = "XNYS",
    hours: str = "regular",
    layout: str = "{symbol}/{interval}/{date}.parquet",
    broken: Mapping[str, str] | Sequence[str] = (),
    missing_share: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SampleData:
    """Write bars of all sessions from `start` to `end`, both included, below `root`.

    A symbol's bars of a day depend on seed, symbol, day, calendar, hours and interval alone, not on what else there is.
    Intervals of whole minutes are derived from the minutes, so they agree with the 1m files of the same seed. `layout`
    is a template (see barray.data_sources.parquet.layout); without {symbol} a file holds many symbols, sorted by
    `symbol` and time. `broken` maps symbols to faults or lists faults (see `name_faults`). `missing_share`: share
    of the regular hours' minutes (bars, if shorter) without a trade, 0 to below 1; by default next to none in liquid
    symbols, up to 4 % in others. `progress` is told how many of how many symbol-days are done. Files of an earlier
    call for the same symbols and days are replaced. ConfigError for what cannot be meant or written.
    """
    template, bar = Layout(layout), Interval.parse(interval)
    start, end = (date.fromisoformat(day) if isinstance(day, str) else day for day in (start, end))
    faults = name_faults(broken, shared_files=not template.has_symbol)
    chosen = sample_symbols(symbols) if isinstance(symbols, int) else symbols
    names = tuple(dict.fromkeys([*chosen, *faults]))
    _check(names, template, bar, start, end, missing_share)
    market = _Market(seed, calendar, hours, start, end, bar)
    output = _Output(Path(root), template, market, faults, len(names) * len(market.days), progress)
    walks = (_Walk(name, market, missing_share) for name in names)
    if template.has_symbol:
        for walk in walks:
            output.write_symbol(walk)
    else:
        output.write_shared(sorted(walks, key=lambda walk: walk.symbol))
    return SampleData(output.root, names, faults, tuple(market.days), output.files, output.bars, output.bytes)


def _check(
    names: Sequence[str], layout: Layout, bar: Interval, start: date, end: date, missing_share: float | None
) -> None:
    if layout.has_parts:
        raise ConfigError(
            f"layout {layout.template!r} has a *, which is no name to write", remedy="write a name in its place"
        )
    if not names:
        raise ConfigError("no symbols to write", remedy="give symbols, or how many")
    for name in names:
        if problem := symbol_problem(name):
            raise ConfigError(problem, symbol=str(name), remedy="give symbols such as AAPL or BRK.B", code="bad_symbol")
    if start > end:
        raise ConfigError(
            f"the dates are reversed: {start} to {end}", remedy=f"write {end} to {start}", code="bad_dates"
        )
    if bar.unit == "w":
        raise ConfigError("weekly bars are not written: a range of days cuts weeks", remedy="write 1d and derive 1w")
    if missing_share is not None and not 0 <= missing_share < 1:
        raise ConfigError(f"missing_share is {missing_share}", remedy="give a share from 0 to below 1, such as 0.01")


def _random(seed: int, *parts: object) -> np.random.Generator:
    """A stream of its own for every name: hashed, so that no stream depends on how many others there are."""
    digest = hashlib.blake2b("|".join(map(str, (seed, *parts))).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


@dataclass(frozen=True, eq=False)
class _Day:
    """What one session is to all symbols: `bars` bars, each of `_POINTS` points.

    `variance` (points,): share of the session's variance up to each point, ending at 1; `step` (points,): standard
    deviation of each step. `smile` (bars,): usual volume of a bar as a share of a whole day's. `quiet` (bars,): how
    much likelier than usual a bar is to be missing. `market` (points,): the common path.
    """

    start_ns: IntArray
    variance: FloatArray
    step: FloatArray
    smile: FloatArray
    quiet: FloatArray
    market: FloatArray


class _Market:
    """The sessions asked for, and the factor that moves all symbols together.

    `draws` (calendar days, 3): standard normal, of the days from `first_number` on, counted from EPOCH: gap, move
    within the session, busyness. `size` (calendar days,): the day's standard deviation against a usual weekday's.
    """

    def __init__(self, seed: int, calendar: str, hours: str, start: date, end: date, bar: Interval) -> None:
        self.seed, self.bar = seed, bar
        self.grid = _MINUTE if _MINUTE.derives(bar) else bar  # the finest bars made, others are derived
        trading = load_calendar(calendar, start, end, hours=hours)
        dates = trading.between(start, end)
        if not dates:
            trading.session(start)  # says which sessions are near
        self.sessions = trading.sessions
        self.span = ((start - EPOCH).days, (end - EPOCH).days)
        self.first_number = min(self.span[0], 0)
        self.draws = self.daily_draws(_COMMON)
        numbers = np.arange(self.first_number, self.first_number + len(self.draws))
        weekday = (numbers + EPOCH.weekday()) % 7
        self.busy = np.exp(0.25 * self.draws[:, 2])
        self.size = self.busy * np.where(weekday < 5, 1.0, _WEEKEND_SIZE)
        regular = load_calendar(calendar, start, end).sessions
        self.days = {day: self._day(day, regular) for day in dates}

    def daily_draws(self, name: str) -> FloatArray:
        """Normal numbers for every calendar day from EPOCH to the span, whichever way that lies; (calendar days, 3)."""
        before = _random(self.seed, name, "before").standard_normal((-self.first_number, 3))
        after = _random(self.seed, name, "after").standard_normal((max(self.span[1], 0) + 1, 3))
        return np.concatenate((before[::-1], after))

    def _day(self, day: date, regular: Sessions) -> _Day:
        row = self.sessions.index(day)
        assert row is not None
        close_ns = int(self.sessions.close_ns[row])
        start_ns, end_ns = self.sessions.expected_starts(row, self.grid, close_ns)
        main_open, main_close = int(regular.open_ns[row]), int(regular.close_ns[row])
        at = (start_ns - main_open) / (main_close - main_open)
        length = (end_ns - start_ns) / _TRADING_DAY_NS
        volume = _smile(at, opening=3.0, closing=4.0, outside=0.02) / 1.4
        quiet = 1.0 / volume
        quiet /= quiet[(at >= 0) & (at < 1)].mean()
        variance = np.repeat(_smile(at, opening=6.0, closing=0.8, outside=0.1) * length, _POINTS)
        variance /= variance.sum()
        upto, step = np.cumsum(variance), np.sqrt(variance)
        upto /= upto[-1]
        end = self.draws[(day - EPOCH).days - self.first_number, 1]
        path = _bridge(_random(self.seed, _COMMON, day), upto, step, end)
        return _Day(start_ns, upto, step, volume * length, quiet, path)


def _smile(at: FloatArray, *, opening: float, closing: float, outside: float) -> FloatArray:
    """U shape over the regular session, `at` 0 to 1; flat and small outside it."""
    inside = 1.0 + opening * np.exp(-np.abs(at) / 0.06) + closing * np.exp(-np.abs(1.0 - at) / 0.06)
    return np.where((at >= 0) & (at < 1), inside, outside)


def _bridge(random: np.random.Generator, upto: FloatArray, step: FloatArray, end: float) -> FloatArray:
    """A random walk over the session that ends exactly at `end`."""
    path = np.cumsum(random.standard_normal(len(step)) * step)
    bridge: FloatArray = path + upto * (end - path[-1])
    return bridge


class _Walk:
    """The price of one symbol: its level at the start of each day, and the path of each session on demand.

    A day's log return is gap + session, each from the market's and the symbol's own normal numbers; the session's path
    is a bridge to the level that the next day starts from. So any day can be made alone and still joins its neighbours.
    """

    def __init__(self, symbol: str, market: _Market, missing_share: float | None) -> None:
        self.symbol, self._market = symbol, market
        random = _random(market.seed, symbol, "profile")
        log_price, log_volume, volatility, common, drift = random.uniform(
            (np.log(8), np.log(1e5), 0.18, 0.4, -0.05), (np.log(300), np.log(8e6), 0.6, 0.75, 0.2)
        )
        if symbol in KNOWN_SYMBOLS:
            at = 4 * KNOWN_SYMBOLS.index(symbol)
            price, millions, per_cent = map(float, _KNOWN[at + 1 : at + 4])
            log_price, log_volume, volatility = np.log(price), np.log(millions * 1e6), per_cent / 100
            common = 0.95 if symbol in _FUNDS else common
        self._volume = float(np.exp(log_volume))
        self._missing = min(0.04, 5_000 / self._volume) if missing_share is None else missing_share
        self._common, self._own = common, float(np.sqrt(1.0 - common**2))
        own = market.daily_draws(symbol)
        size = volatility / np.sqrt(_WEEKDAYS_A_YEAR) * market.size
        mixed = self._common * market.draws[:, :2] + self._own * own[:, :2]
        gap, session = size * np.sqrt(_OVERNIGHT) * mixed[:, 0], size * np.sqrt(1.0 - _OVERNIGHT)
        level = log_price + _levels(drift / 365 + gap + session * mixed[:, 1], -market.first_number)
        kept = slice(market.span[0] - market.first_number, None)  # a copy, so that the days back to EPOCH can go
        self._open, self._session, self._drift = (level + gap)[kept].copy(), session[kept].copy(), drift / 365
        self._end = own[kept, 1].copy()

    def bars(self, days: Sequence[date]) -> Bars:
        """Bars of these sessions in one series."""
        market = self._market
        bars = Bars.concat([self._day(day) for day in days])
        if market.bar == market.grid:
            return bars
        laid = lay_on_sessions(bars, market.grid, market.sessions, 0, symbol=self.symbol, source="sample data")
        return derive(laid, market.bar, market.sessions, 0).bars

    def _day(self, date_: date) -> Bars:
        market, day = self._market, self._market.days[date_]
        number = (date_ - EPOCH).days - market.span[0]
        random = _random(market.seed, self.symbol, date_)
        own = _bridge(random, day.variance, day.step, self._end[number])
        path = self._session[number] * (self._common * day.market + self._own * own) + self._drift * day.variance
        cents = np.maximum(np.rint(np.exp(self._open[number] + path) * 100), 1).reshape(-1, _POINTS)
        bars = len(cents)
        mean = self._volume * market.busy[(date_ - EPOCH).days - market.first_number] * day.smile
        volume = np.maximum(np.rint(mean * np.exp(0.5 * random.standard_normal(bars) - 0.125)), 1)
        traded = random.random(bars) >= np.minimum(self._missing * day.quiet, 0.95)
        traded[0] = True  # the opening auction
        prices = (cents[:, 0], cents.max(axis=1), cents.min(axis=1), cents[:, -1])
        columns = (*(column / 100 for column in prices), volume)
        return Bars(day.start_ns[traded], *(column[traded] for column in columns))


def _levels(returns: FloatArray, zero: int) -> FloatArray:
    """Log level at the start of each day against the start of day `zero`; each the same however far `returns` reach."""
    before = -np.cumsum(returns[:zero][::-1])[::-1]
    return np.concatenate((before, [0.0], np.cumsum(returns[zero:-1])))


@dataclass
class _Output:
    """Writes the files and counts them."""

    root: Path
    layout: Layout
    market: _Market
    faults: Mapping[str, str]
    total: int
    progress: Callable[[int, int], None] | None
    done: int = 0
    files: int = 0
    bars: int = 0
    bytes: int = 0

    def write_symbol(self, walk: _Walk) -> None:
        """All files of one symbol."""
        for path, days in self._places(walk.symbol):
            table = self._rows(walk, days)
            if table is None:
                _remove(path)
            else:
                self._write(path, table.schema, [table], self._fault(walk.symbol, days))

    def write_shared(self, walks: Sequence[_Walk]) -> None:
        """Files that hold all symbols, sorted by symbol."""
        schema = _SCHEMA.insert(0, pa.field("symbol", pa.string()))
        for path, days in self._places(""):
            tables = ((walk.symbol, self._rows(walk, days)) for walk in walks)
            named = (
                table.add_column(0, "symbol", pa.repeat(symbol, table.num_rows))
                for symbol, table in tables
                if table is not None
            )
            self._write(path, schema, named, None)

    def _places(self, symbol: str) -> Iterator[tuple[Path, list[date]]]:
        """Each file with the sessions it holds."""

        def path(day: date) -> Path:
            values = {"symbol": symbol, "interval": str(self.market.bar), **self.layout.values_of(day)}
            return self.root.joinpath(*(str(self.layout.known(i, values)) for i in range(len(self.layout.components))))

        return ((place, list(days)) for place, days in groupby(self.market.days, path))

    def _rows(self, walk: _Walk, days: Sequence[date]) -> pa.Table | None:
        """One symbol's part of a file, spoiled where it is to be; None where it has none of these sessions."""
        written = set(days_written(self.faults.get(walk.symbol), tuple(self.market.days)))
        present = [day for day in days if day in written]
        table = _table(walk.bars(present)) if present else None
        fault = self._fault(walk.symbol, days)
        self.done += len(days)
        if self.progress:
            self.progress(self.done, self.total)
        return spoil_table(fault, table, walk.symbol) if fault and table is not None else table

    def _fault(self, symbol: str, days: Sequence[date]) -> str | None:
        """The symbol's fault, if it hits the file of these sessions."""
        fault = self.faults.get(symbol)
        return fault if fault and fault_day(fault, tuple(self.market.days)) in days else None

    def _write(self, path: Path, schema: pa.Schema, tables: Iterable[pa.Table], fault: str | None) -> None:
        with replacing(path) as part:
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(part, schema, compression="zstd") as writer:
                for group in _row_groups(tables):
                    writer.write_table(group, row_group_size=max(group.num_rows, 1))
                    self.bars += group.num_rows
            if fault:
                spoil_file(fault, part)
            if part.is_dir() or path.is_dir():
                _remove(path)  # a directory neither replaces a file nor is replaced by one
        self.files += 1
        self.bytes += path.stat().st_size if path.is_file() else 0


def _table(bars: Bars) -> pa.Table:
    stamps = pa.array(bars.start_ns // 1_000, pa.int64()).cast(_STAMP)
    prices = (getattr(bars, name) for name in PRICE_COLUMNS)
    return pa.Table.from_arrays(
        [stamps, *map(pa.array, prices), pa.array(bars.volume.astype(np.int64))], schema=_SCHEMA
    )


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The tables put together to groups of at least `_ROW_GROUP` rows, the last one aside."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(part.num_rows for part in waiting) >= _ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()  # what the fault `directory` left; a folder with content is somebody's and stays
    else:
        path.unlink(missing_ok=True)
