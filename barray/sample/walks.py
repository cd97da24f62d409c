"""Seeded prices: what moves all symbols together, and the walk of each, any day of which can be made alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from barray.market.bars import Bars, FloatArray, IntArray
from barray.market.calendar import Sessions, load_calendar
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.series import derive, lay_on_sessions

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


def sample_symbols(count: int) -> tuple[str, ...]:
    """The first `count` symbols of the sample universe: well-known tickers, then SYM0001, SYM0002 …

    ConfigError for none or more than there are.
    """
    if not 1 <= count <= MAX_SYMBOLS:
        raise ConfigError(f"{count} sample symbols", remedy=f"ask for 1 to {MAX_SYMBOLS:,}")
    return (*KNOWN_SYMBOLS[:count], *(f"SYM{number:04d}" for number in range(1, count - len(KNOWN_SYMBOLS) + 1)))


def seeded(seed: int, *parts: object) -> np.random.Generator:
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


class Market:
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
        before = seeded(self.seed, name, "before").standard_normal((-self.first_number, 3))
        after = seeded(self.seed, name, "after").standard_normal((max(self.span[1], 0) + 1, 3))
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
        path = _bridge(seeded(self.seed, _COMMON, day), upto, step, end)
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


class Walk:
    """The price of one symbol: its level at the start of each day, and the path of each session on demand.

    A day's log return is gap + session, each from the market's and the symbol's own normal numbers; the session's path
    is a bridge to the level that the next day starts from. So any day can be made alone and still joins its neighbours.
    `in_play`: whether a symbol trades the more the further its own news moves its open.
    """

    def __init__(
        self, symbol: str, market: Market, missing_share: float | None = None, *, in_play: bool = False
    ) -> None:
        self.symbol, self._market = symbol, market
        random = seeded(market.seed, symbol, "profile")
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
        self._end, self._spread = own[kept, 1].copy(), np.abs(own[kept, 2])
        self._busy = market.busy[kept].copy()
        if in_play:
            self._busy *= np.exp(0.8 * np.maximum(np.abs(own[kept, 0]) - 1.0, 0.0) + 0.3 * own[kept, 2])

    def bars(self, days: Sequence[date]) -> Bars:
        """Bars of these sessions in one series."""
        market = self._market
        bars = Bars.concat([self._day(day) for day in days])
        if market.bar == market.grid:
            return bars
        laid = lay_on_sessions(bars, market.grid, market.sessions, 0, symbol=self.symbol, source="sample data")
        return derive(laid, market.bar, market.sessions, 0).bars

    def daily(self, days: Sequence[date]) -> Bars:
        """Daily bars of these sessions, without their minutes: the closes are those of the minutes, unless the last is
        missing; the ranges are drawn.
        """
        market = self._market
        numbers = np.array([(day - EPOCH).days for day in days]) - market.span[0]
        ends = market.draws[numbers + market.span[0] - market.first_number, 1]
        moves = self._session[numbers] * (self._common * ends + self._own * self._end[numbers]) + self._drift
        edges = self._open[numbers] + np.stack((np.zeros(len(days)), moves))
        reach = 0.5 * self._session[numbers] * self._spread[numbers]
        levels = np.stack((edges[0], edges.max(axis=0) + reach, edges.min(axis=0) - reach, edges[1]))
        open_, high, low, close = np.maximum(np.rint(np.exp(levels) * 100), 1) / 100
        volume = np.maximum(np.rint(self._volume * self._busy[numbers]), 1)
        rows = np.searchsorted(market.sessions.dates, np.array(days, "datetime64[D]"))
        return Bars(market.sessions.open_ns[rows], open_, high, low, close, volume)

    def _day(self, date_: date) -> Bars:
        market, day = self._market, self._market.days[date_]
        number = (date_ - EPOCH).days - market.span[0]
        random = seeded(market.seed, self.symbol, date_)
        own = _bridge(random, day.variance, day.step, self._end[number])
        path = self._session[number] * (self._common * day.market + self._own * own) + self._drift * day.variance
        cents = np.maximum(np.rint(np.exp(self._open[number] + path) * 100), 1).reshape(-1, _POINTS)
        bars = len(cents)
        mean = self._volume * self._busy[number] * day.smile
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
