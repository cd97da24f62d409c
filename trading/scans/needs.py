"""What must be read so that scans can be evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import time

from barray.market.bars import COLUMNS
from barray.market.errors import ConfigError
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements
from barray.trading.scans.plan import Plan
from barray.trading.scans.terms import Column, DayValue, Indicator, LastBars, SessionValue, TableColumn, Term

_SESSION_COLUMNS = {
    "gap": ("open",),
    "change": ("close",),
    "change_since_open": ("open", "close"),
    "session_open": ("open",),
    "session_high": ("high",),
    "session_low": ("low",),
    "session_range": ("open", "high", "low"),
    "session_volume": ("volume",),
    "relative_volume": ("volume",),
    "vwap": ("high", "low", "close", "volume"),
}
_DAY_COLUMNS = {
    "close": ("close",),
    "adv": ("close", "volume"),
    "average_volume": ("volume",),
    "highest": ("high",),
    "lowest": ("low",),
}


@dataclass(frozen=True)
class ScanNeeds:
    """What some scans look at. `columns`: of base bars; `day_columns`: of daily bars, in order of COLUMNS. `intervals`:
    those that must derive from the base. `indicators`: with those of `carry`. `sessions_back`: sessions before of which
    base bars are looked at, beyond what indicators need; `days_back`: daily bars before. `until`: the last time of day
    that is looked at, so that later bars of the session need not be read; None for its close. `tables`: by name.
    `daily_first`: the daily stage is no empty one, and can be evaluated before any base bar is read.
    """

    columns: tuple[str, ...]
    day_columns: tuple[str, ...]
    intervals: tuple[Interval, ...]
    indicators: tuple[IndicatorSpec, ...]
    sessions_back: int
    days_back: int
    until: time | None
    tables: tuple[str, ...]
    daily_first: bool

    def requirements(self, base: Interval, *, daily: bool = True) -> SymbolRequirements:
        """What is required of a symbol's base bars, of the interval `base` or one that it derives from. `daily`:
        whether daily bars are read by themselves; else, or where the base is 1d, base bars reach back as far as these.
        """
        apart = daily and base.is_intraday
        own = tuple(spec for spec in self.indicators if spec.interval.is_intraday or not apart)
        intervals = tuple(sorted({base, *(one for one in self.intervals if one.is_intraday or not apart)}))
        back = self.sessions_back if apart else max(self.sessions_back, self.days_back)
        return SymbolRequirements(intervals, own, trailing_days=back, max_missing_days=back)


def needs_of(plans: Iterable[Plan]) -> ScanNeeds:
    """What all of these need together; ConfigError where they are none, or two indicators have one name."""
    plans = tuple(plans)
    if not plans:
        raise ConfigError("there is no scan", remedy="name one under scans")
    found = _Found()
    for plan in plans:
        for term in plan.terms:
            found.add(term)
        for spec in plan.carry:
            found.add_indicator(spec)
    times = [plan.times.latest for plan in plans]
    return ScanNeeds(
        _in_order(found.columns),
        _in_order(found.day_columns),
        tuple(sorted(found.by_interval)),
        tuple(found.indicators.values()),
        found.sessions_back,
        found.days_back,
        None if None in times else max(one for one in times if one is not None),
        tuple(sorted(found.tables)),
        all(plan.daily.local or plan.daily.across for plan in plans),
    )


def compared_with(plans: Iterable[Plan]) -> Iterator[int]:
    """With how many earlier sessions `relative_volume` compares, wherever it is asked for."""
    for term in (term for plan in plans for term in plan.terms):
        if isinstance(term, SessionValue) and term.name == "relative_volume":
            yield term.n or 0


def columns_on(plan: Plan) -> dict[Interval, tuple[str, ...]]:
    """Which columns of the bars of each intraday interval that a scan names it looks at; others need not be derived."""
    found = _Found()
    for term in plan.terms:
        found.add(term)
    return {interval: _in_order(names) for interval, names in found.by_interval.items() if interval.is_intraday}


class _Found:
    def __init__(self) -> None:
        self.by_interval: dict[Interval, set[str]] = {}
        self.columns: set[str] = set()
        self.day_columns: set[str] = set()
        self.indicators: dict[str, IndicatorSpec] = {}
        self.tables: set[str] = set()
        self.sessions_back = 0
        self.days_back = 0

    def add(self, term: Term) -> None:
        if isinstance(term, Column):
            self._on(term.interval, (term.name,), 1)
        elif isinstance(term, LastBars):
            self._on(term.interval, (term.name,), term.n)
        elif isinstance(term, Indicator):
            self.add_indicator(term.spec)
        elif isinstance(term, DayValue):
            self.day_columns.update(_DAY_COLUMNS[term.name])
            self.days_back = max(self.days_back, term.n)
        elif isinstance(term, SessionValue):
            self.columns.update(_SESSION_COLUMNS[term.name])
            if term.name in ("gap", "change"):
                self.day_columns.add("close")
                self.days_back = max(self.days_back, 1)
            if term.name == "relative_volume":
                self.sessions_back = max(self.sessions_back, term.n or 0)
        elif isinstance(term, TableColumn):
            self.tables.add(term.table)

    def add_indicator(self, spec: IndicatorSpec) -> None:
        if self.indicators.setdefault(spec.key, spec) != spec:
            raise ConfigError(f"two indicators are called {spec.key}", remedy="give one of them another name")
        self._on(spec.interval, spec.columns, spec.lookback + 1)

    def _on(self, interval: Interval | None, columns: Iterable[str], n: int) -> None:
        columns = tuple(columns)
        if interval is not None:
            self.by_interval.setdefault(interval, set()).update(columns)
        self.columns.update(columns)  # of minutes, too, where days are made of them
        if interval is not None and not interval.is_intraday:
            self.day_columns.update(columns)
            self.days_back = max(self.days_back, n * (5 if interval.unit == "w" else 1))


def _in_order(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in COLUMNS if name in names)
