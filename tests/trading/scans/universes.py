"""Random universes with holes, halts, new listings and dead symbols, and what terms mean, told in plain loops."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date

import numpy as np
import talib

from barray.market.bars import Bar, Bars
from barray.market.calendar import TradingCalendar
from barray.market.interval import Interval
from barray.market.universe.lay import lay_universe
from barray.trading.scans.bars import ScanBars
from tests.market.builders import calendar

FIVE_MINUTES = 300 * 10**9
BEFORE_HALF_DAY, HALF_DAY, AFTER_HALF_DAY = date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5)
SESSIONS_BACK = 6


def xnys() -> TradingCalendar:
    return calendar("XNYS", date(2024, 6, 17), date(2024, 7, 8))


@dataclass(frozen=True)
class Universe:
    """Bars by symbol, each a list of Bar, of 5 minutes; `bars`: the same laid out."""

    day: date
    by_symbol: dict[str, list[Bar]]
    bars: ScanBars

    @property
    def open_ns(self) -> int:
        return self.bars.open_ns


def universe(seed: int, day: date = AFTER_HALF_DAY, symbols: int = 8) -> Universe:
    """Symbols of many kinds, which `seed` determines."""
    rng = np.random.default_rng(seed)
    by_symbol = {f"S{i:02d}": _one(rng, day) for i in range(symbols)}
    return Universe(day, by_symbol, laid(by_symbol, day))


def laid(by_symbol: dict[str, list[Bar]], day: date) -> ScanBars:
    found, names = xnys(), tuple(sorted(by_symbol))
    row = found.session(day)
    bars = Bars.concat([Bars.of(by_symbol[name]) for name in names])
    offsets = np.concatenate(([0], np.cumsum([len(by_symbol[name]) for name in names])))
    interval = Interval.parse("5m")
    base, reasons = lay_universe(bars, offsets, names, interval, found.sessions, row, source="test")
    assert not reasons
    return ScanBars(found.sessions, row, found.timezone, base)


def _one(rng: np.random.Generator, day: date) -> list[Bar]:
    sessions, row = xnys().sessions, xnys().session(day)
    first = row - SESSIONS_BACK
    kind = rng.choice(
        ["whole", "holes", "halts", "new", "dead", "rare", "empty"], p=[0.3, 0.2, 0.15, 0.1, 0.1, 0.1, 0.05]
    )
    born = int(rng.integers(first, row + 1)) if kind == "new" else first
    dead = int(rng.integers(first, row + 1)) if kind == "dead" else row
    price, found = float(rng.uniform(2, 200)), []
    for number in range(born, dead + 1):
        price *= math.exp(rng.normal(0, 0.03))
        halted = kind == "halts" and rng.random() < 0.4
        pause = int(rng.integers(0, 78)) if kind == "halts" else 1_000
        for slot, start in enumerate(
            range(int(sessions.open_ns[number]), int(sessions.close_ns[number]), FIVE_MINUTES)
        ):
            keep = {"holes": 0.8, "rare": 0.08, "empty": 0.0}.get(str(kind), 1.0)
            if halted or pause <= slot < pause + 20 or rng.random() > keep:
                continue
            opens = price * math.exp(rng.normal(0, 0.002))
            price = opens * math.exp(rng.normal(0, 0.004))
            high, low = max(opens, price) * (1 + rng.random() * 0.002), min(opens, price) * (1 - rng.random() * 0.002)
            volume = 0.0 if rng.random() < 0.02 else float(rng.lognormal(7, 1.0))
            found.append(Bar(start, opens, high, low, price, volume))
    return found


# What terms mean, bar by bar.


def known(world: Universe, symbol: str, at_ns: int) -> list[Bar]:
    return [bar for bar in world.by_symbol[symbol] if bar.start_ns + FIVE_MINUTES <= at_ns]


def of_session(world: Universe, bars: list[Bar], back: int = 0) -> list[Bar]:
    sessions, row = world.bars.sessions, world.bars.row - back
    return [bar for bar in bars if sessions.open_ns[row] <= bar.start_ns < sessions.close_ns[row]]


def days(world: Universe, symbol: str) -> list[Bar]:
    """Daily bars before the session."""
    found = []
    for back in range(world.bars.row, 0, -1):
        own = of_session(world, world.by_symbol[symbol], back)
        if own:
            high, low = max(bar.high for bar in own), min(bar.low for bar in own)
            total = 0.0
            for bar in own:
                total += bar.volume
            found.append(Bar(own[0].start_ns, own[0].open, high, low, own[-1].close, total))
    return found


def coarser(world: Universe, bars: list[Bar], minutes: int, at_ns: int) -> list[Bar]:
    """Bars of so many minutes from the session's open, those that have closed by a time."""
    sessions, step = world.bars.sessions, minutes * 60 * 10**9
    opens = sessions.open_ns.tolist()
    found: dict[tuple[int, int], list[Bar]] = {}
    for bar in bars:
        row = bisect_right(opens, bar.start_ns) - 1
        found.setdefault((row, (bar.start_ns - int(sessions.open_ns[row])) // step), []).append(bar)
    made = []
    for (row, bucket), own in found.items():
        start = int(sessions.open_ns[row]) + bucket * step
        if min(start + step, int(sessions.close_ns[row])) <= at_ns:
            high, low = max(bar.high for bar in own), min(bar.low for bar in own)
            made.append(Bar(start, own[0].open, high, low, own[-1].close, sum(bar.volume for bar in own)))
    return made


def expected(world: Universe, symbol: str, at_ns: int) -> dict[str, float]:
    """The values of many terms, by their texts; NaN for what isn't known."""
    nan = math.nan
    bars, before = known(world, symbol, at_ns), days(world, symbol)
    today = of_session(world, bars)
    last_close = before[-1].close if before else nan
    opened = today[0].open if today else nan
    newest = today[-1].close if today else nan
    high = max((bar.high for bar in today), default=nan)
    low = min((bar.low for bar in today), default=nan)
    volume = sum(bar.volume for bar in today) if today else nan
    elapsed = at_ns - world.open_ns
    usual = []
    for back in (1, 2, 3):
        opens, closes = (
            int(getattr(world.bars.sessions, name)[world.bars.row - back]) for name in ("open_ns", "close_ns")
        )
        until = min(opens + elapsed, closes)
        own = [b for b in of_session(world, world.by_symbol[symbol], back) if b.start_ns + FIVE_MINUTES <= until]
        if own:
            usual.append(sum(bar.volume for bar in own))
    mean = sum(usual) / len(usual) if usual else nan
    paid = sum((bar.high + bar.low + bar.close) / 3 * bar.volume for bar in today)
    closes15 = np.array([bar.close for bar in coarser(world, bars, 15, at_ns)])
    rsi = talib.RSI(closes15, 14)[-1] if len(closes15) > 14 else nan
    last3 = before[-3:] if len(before) >= 3 else []
    return {
        "gap()": opened / last_close - 1,
        "change()": newest / last_close - 1,
        "change_since_open()": newest / opened - 1,
        "session_high()": high,
        "session_low()": low,
        "session_volume()": volume,
        "session_range()": (high - low) / opened,
        "vwap()": paid / volume if today and volume else nan,
        "relative_volume(3)": volume / mean if usual and mean > 0 else nan,
        "close": bars[-1].close if bars else nan,
        "close(1)": last_close,
        "close(3)": last3[0].close if last3 else nan,
        "adv(3)": sum(day.close * day.volume for day in last3) / 3 if last3 else nan,
        "average_volume(3)": sum(day.volume for day in last3) / 3 if last3 else nan,
        "highest(3)": max((day.high for day in last3), default=nan),
        "lowest(3)": min((day.low for day in last3), default=nan),
        "RSI(14)@15m": rsi,
        "close@15m": float(closes15[-1]) if len(closes15) else nan,
    }
