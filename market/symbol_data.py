"""What a session knows of one symbol: bars, indicators, quality, and the metadata, all in one object."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any

from barray.market.bars import Bar, format_ns
from barray.market.errors import ConfigError
from barray.market.html import figure, html_table
from barray.market.indicators import IndicatorData
from barray.market.interval import Interval
from barray.market.quality import Quality
from barray.market.series import IntervalBars
from barray.market.table import Table
from barray.market.tables import bars_table, gaps_table, indicators_table, quality_table
from barray.market.validation import Reason

ADDED_BY = ("config", "strategy", "scanner", "adhoc")


@dataclass(frozen=True, kw_only=True)
class SymbolMetadata:
    """How a symbol came into the session.

    `added_at` is session time (aware, UTC): when the symbol was added or, after an upgrade, upgraded.
    `provisioned_reason` says what auto-provisioned it: `bar_addition` or `indicator_addition`.
    """

    meets_session_config_requirements: bool = False
    added_by: str = "config"
    auto_provisioned: bool = False
    added_at: datetime | None = None
    added_mid_session: bool = False
    provisioned_reason: str | None = None
    upgraded_from_adhoc: bool = False

    def metadata_dict(self) -> dict[str, Any]:
        """The metadata as JSON types, in declaration order."""
        values = {one.name: getattr(self, one.name) for one in fields(SymbolMetadata)}
        return values | {"added_at": self.added_at.strftime("%Y-%m-%dT%H:%M:%SZ") if self.added_at else None}


def metadata_problems(meets: object, added_by: object, auto_provisioned: object, upgraded: object = False) -> list[str]:
    """What in these flags contradicts the four states a symbol can be in; empty if nothing does.

    | state | meets | added_by | auto_provisioned | upgraded_from_adhoc |
    | from config | True | config | False | False |
    | add_symbol | True | strategy, scanner | False | False |
    | adhoc | False | adhoc | True | False |
    | upgraded | True | strategy, scanner | False | True |
    """
    problems = [
        f"{name} is {value!r}, not true or false"
        for name, value in (
            ("meets_session_config_requirements", meets),
            ("auto_provisioned", auto_provisioned),
            ("upgraded_from_adhoc", upgraded),
        )
        if not isinstance(value, bool)
    ]
    if added_by not in ADDED_BY:
        problems.append(f"added_by is {added_by!r}, not one of {', '.join(ADDED_BY)}")
    if problems:
        return problems
    if auto_provisioned == meets:
        problems.append(f"auto_provisioned and meets_session_config_requirements are both {meets}: exactly one is true")
    if (added_by == "adhoc") != auto_provisioned:
        problems.append(f"added_by is {added_by} while auto_provisioned is {auto_provisioned}")
    if upgraded and not meets:
        problems.append("upgraded_from_adhoc is true while meets_session_config_requirements is false")
    if upgraded and added_by not in ("strategy", "scanner"):
        problems.append(f"upgraded_from_adhoc is true while added_by is {added_by}: an upgrade names its caller")
    return problems


@dataclass(frozen=True)
class AdhocConflict:
    """An adhoc bar that the source of record overruled on upgrade; `record` is None where the source has none."""

    interval: Interval
    adhoc: Bar
    record: Bar | None

    def __str__(self) -> str:
        kept = "the source's bar is used" if self.record else "the source has no such bar, it was dropped"
        return f"{self.interval} bar at {format_ns(self.adhoc.start_ns)} was added adhoc; {kept}"


@dataclass(frozen=True)
class Lineage:
    """Which source served which bars: starts of the first and last bar kept (UTC ns, None without bars), how many.

    `dataset`: a vendor's feed and adjustment (`alpaca-iex-raw`), None where the source doesn't say.
    """

    source: str
    interval: Interval
    first_ns: int | None
    last_ns: int | None
    bars: int
    dataset: str | None = None


@dataclass(frozen=True, eq=False)
class SymbolSessionData(SymbolMetadata):
    """One symbol as of `now_ns` (session time, UTC ns): everything that has closed by then, nothing later.

    `bars` by interval name: history and session in one series, finest first. `indicators` by key (`RSI(14)@5m`),
    aligned with the bars of their interval. `quality` by interval, of the session date so far; `history_quality` of the
    days before.
    `adhoc_bars`: starts (UTC ns) of bars added by hand, by interval; `adhoc_indicators`: keys of indicators added so.
    `base_interval` is None for an adhoc symbol, which nothing was loaded for. `warnings`: moves of the source's prices
    that are suspected, as far as its bars have closed. `lineage` is of the base bars, `daily_lineage` of the daily ones
    that a source gave of sessions before these, None without such.
    """

    symbol: str = field(kw_only=False)
    session_date: date | None = None
    now_ns: int = 0
    base_interval: Interval | None = None
    bars: dict[str, IntervalBars] = field(default_factory=dict)
    indicators: dict[str, IndicatorData] = field(default_factory=dict)
    quality: dict[str, Quality] = field(default_factory=dict)
    history_quality: dict[str, Quality] = field(default_factory=dict)
    adhoc_bars: dict[str, tuple[int, ...]] = field(default_factory=dict)
    adhoc_indicators: tuple[str, ...] = ()
    conflicts: tuple[AdhocConflict, ...] = ()
    lineage: Lineage | None = None
    daily_lineage: Lineage | None = None
    warnings: tuple[Reason, ...] = ()

    @property
    def metadata(self) -> SymbolMetadata:
        """How the symbol came into the session, without its bars."""
        return SymbolMetadata(**{one.name: getattr(self, one.name) for one in fields(SymbolMetadata)})

    def table(self, what: str, interval: str | None = None) -> Table:
        """A table that pandas, Polars, DuckDB and pyarrow read, its numbers without a copy; see Table.

        - `table("bars", "5m")`: `timestamp` (start), open, high, low, close, volume, `end`, `expected` and `actual`
          base bars, `complete`, `history` (closed before the session opened), `adhoc` (added by hand);
        - `table("indicators", "5m")`: `timestamp` of the bar, and a column an indicator of that interval by its key
          (`MACD(12,26,9)@5m.macdsignal` where it has several outputs), null until warm;
        - `table("quality")`: by interval and `part` (session, history) `share`, `expected`, `actual`, `gaps`;
        - `table("gaps")`: `interval`, `part`, `start`, `end`, `missing` bars of each.

        `interval`: default the base interval. ConfigError for an interval or a table that there isn't.
        """
        qualities = {"session": self.quality, "history": self.history_quality}
        match what:
            case "bars":
                series = self._series(interval)
                return bars_table(series, self.adhoc_bars.get(str(series.interval), ()))
            case "indicators":
                return indicators_table(self._series(interval), self.indicators)
            case "quality":
                return quality_table(qualities)
            case "gaps":
                return gaps_table(qualities)
        raise ConfigError(f"{what!r} is no table of a symbol", remedy="choose bars, indicators, quality or gaps")

    def _series(self, interval: str | None) -> IntervalBars:
        name = str(self.base_interval) if interval is None and self.base_interval else str(interval)
        series = self.bars.get(name)
        if series is None:
            listed = ", ".join(self.bars) or "none"
            raise ConfigError(f"there are no bars of {name}", symbol=self.symbol, remedy=f"choose from {listed}")
        return series

    def _repr_html_(self) -> str:
        rows = [
            (
                name,
                f"{len(series):,}",
                f"{series.history:,}",
                figure(float(series.bars.close[-1])) if len(series) else "",
                figure(self.quality[name].share) if name in self.quality else "",
                ", ".join(key for key, one in self.indicators.items() if str(one.spec.interval) == name),
            )
            for name, series in self.bars.items()
        ]
        state = "full" if self.meets_session_config_requirements else "adhoc"
        title = f"{self.symbol}, {state}, added by {self.added_by}, at {format_ns(self.now_ns)}"
        return html_table(("interval", "bars", "of history", "last close", "quality", "indicators"), rows, title)
