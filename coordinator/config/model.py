"""The session's configuration: what may stand in it, with what defaults. `barray.coordinator.config.file` reads it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from barray.coordinator.config.account import AccountSection
from barray.coordinator.config.actors import ActorsSection, PlacementSection
from barray.coordinator.config.fields import (
    DateField,
    IndicatorField,
    IntervalField,
    Section,
    SymbolField,
    TimeField,
    jump_size,
    stamp_text,
)
from barray.coordinator.config.scans import ScanSection
from barray.coordinator.config.schedule import ScheduledAction
from barray.coordinator.config.sources import AlpacaSection, ParquetSection, SourceSection
from barray.coordinator.config.strategy import CostsSection, StrategySection, SweepSection
from barray.coordinator.config.tables import TableName, TableSection
from barray.data_sources.fetching.months import EXCHANGE
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.listings import read_listings
from barray.data_sources.manager import DataManager
from barray.data_sources.protocol import DataSource
from barray.data_sources.renamed import RenamedSource
from barray.market.calendar import ExtendedHours
from barray.market.clock import PracticeClock, WallClock
from barray.market.indicators import IndicatorSpec
from barray.market.interval import NS_PER_SECOND, Interval
from barray.market.listings import LISTINGS
from barray.market.renames import Renames
from barray.market.requirements import JumpRule, SymbolRequirements

logger = logging.getLogger(__name__)


class ExtendedHoursSection(Section):
    """Hours of an extended session, exchange time."""

    open: TimeField
    close: TimeField
    half_day_close: TimeField


class SessionSection(Section):
    """Which sessions: those of `calendar` from `start` to `end`, both included.

    `mode: live`: the session of today (of `start`, where live.practice says what time it is), as its bars come.
    """

    mode: Literal["replay", "live"] = "replay"
    calendar: str = "XNYS"
    start: DateField
    end: DateField
    hours: Literal["regular", "extended"] = "regular"
    extended_hours: ExtendedHoursSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_day(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mode") == "live" and "start" not in data:
            data = {**data, "start": datetime.fromtimestamp(WallClock().now_ns() / NS_PER_SECOND, EXCHANGE).date()}
        if isinstance(data, dict) and "start" in data and "end" not in data:
            return {**data, "end": data["start"]}
        return data

    @model_validator(mode="after")
    def _in_order(self) -> SessionSection:
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}: exchange them")
        return self

    @property
    def extended(self) -> ExtendedHours | None:
        """The extended hours given, if any."""
        hours = self.extended_hours
        return ExtendedHours(hours.open, hours.close, hours.half_day_close) if hours else None


class HistorySection(Section):
    """Sessions loaded before the session date; indicators may need more, and then get more.

    `daily`: the source that gives daily bars of those that only indicators of days and weeks need, and of `daily_days`
    in any case.
    """

    trailing_days: int = Field(0, ge=0, le=5000)
    max_missing_days: int = Field(0, ge=0)
    daily: str | None = None
    daily_days: int = Field(0, ge=0, le=5000)


class ValidationSection(Section):
    """Step 0. `per_symbol: false` lets any failure end the session; `deadline_s` is each symbol's, wall clock.

    `allow_lost`: a run that lost symbols because the machine failed says so, and ends with exit code 0 nevertheless.
    `suspect_jump`: how far apart two prices are suspected, 0.4 where the higher is 40 % above the lower; `false` where
    none are. `on_jump: refuse` makes an error of the warning. See docs/data.md.
    """

    per_symbol: bool = True
    allow_lost: bool = False
    deadline_s: float = Field(30.0, gt=0, le=86_400)
    suspect_jump: Annotated[float | Literal[False], BeforeValidator(jump_size)] = 0.4
    on_jump: Literal["warn", "refuse"] = "warn"

    @property
    def jumps(self) -> JumpRule | None:
        """Which moves of prices are suspected."""
        return JumpRule(self.suspect_jump, self.on_jump == "refuse") if self.suspect_jump else None


class RunSection(Section):
    """How time moves. `window` cuts the session into steps (default: only where something is scheduled); `pause_s`
    waits after each, wall clock, so that a person can attach and watch.
    """

    window: IntervalField | None = None
    pause_s: float = Field(0.0, ge=0, le=86_400)


class PracticeSection(Section):
    """A live session over a day of the past: it is `start` (with an offset, or Z) at the real time `origin` (seconds
    since 1970; default: when the config is read), and time goes `speed` times as fast. `jumps`: a file to be made, by
    which time jumps over whatever nothing has to be waited for in.
    """

    start: Annotated[datetime, BeforeValidator(stamp_text)]
    speed: float = Field(1.0, gt=0, le=10_000)
    origin: float = Field(default_factory=lambda: WallClock().now_ns() / NS_PER_SECOND)
    jumps: str = ""

    @model_validator(mode="after")
    def _zoned(self) -> PracticeSection:
        if self.start.tzinfo is None:
            raise ValueError("start has no time zone: write it as 2024-07-02T13:25:00Z")
        return self

    @property
    def clock(self) -> PracticeClock:
        """What tells the time."""
        start_ns, origin_ns = int(self.start.timestamp()) * NS_PER_SECOND, int(self.origin * 1e6) * 1_000
        return PracticeClock(start_ns, origin_ns, self.speed, self.jumps)


class LiveSection(Section):
    """A live session; seconds are real ones.

    `grace_s`: how long a minute's bars are waited for after its end; those that come later are taken in late.
    `stale_s`: after so long without any bar the vendor's history is asked instead, until bars come again. `close_s`:
    how long after the close corrections are taken. `record`: a folder for the session's bars and its history as
    Parquet, so that it can be replayed.
    """

    grace_s: float = Field(3.0, ge=0, le=60)
    stale_s: float = Field(90.0, gt=0, le=86_400)
    close_s: float = Field(40.0, ge=0, le=3_600)
    record: str | None = None
    practice: PracticeSection | None = None

    @property
    def clock(self) -> PracticeClock | WallClock:
        """What tells the time."""
        return self.practice.clock if self.practice else WallClock()


class ExportSection(Section):
    """What is written at the end of each session, below `directory`; `{date}` in it is not needed.

    Of the formats, `html` is a report to read; the others are dumps.
    """

    directory: str = "out"
    formats: tuple[Literal["json", "csv", "parquet", "html"], ...] = ("json",)


class ReportSection(Section):
    """What a backtest or a sweep writes, below `directory`."""

    directory: str = "backtests"
    formats: tuple[Literal["html", "parquet", "csv", "json"], ...] = ("html", "parquet", "json")
    charts: int = Field(6, ge=0, le=50)


class RaySection(Section):
    """Where to run. `address`: None starts Ray here, on loopback; `auto` or `host:port` joins a running cluster.

    `keep_logs`: a Ray that was started here leaves its folder when it ends, for a day. `metrics_port`: one that is
    started here exports metrics there, on loopback, which costs an agent's process; needs `barray[cluster]`.
    """

    address: str | None = None
    num_cpus: int | None = Field(None, ge=1)
    keep_logs: bool = False
    metrics_port: int | None = Field(None, ge=1024, le=65_535)


def _by_name(listings: Any) -> Any:
    return {"listings": listings} if isinstance(listings, str) else listings


class SessionConfig(Section):
    """A whole configuration. See examples/session.yaml.

    `listings`: tables of what was listed when, by name, or one that is called that; see docs/scans.md. That one also
    says what companies were called when; see docs/data.md.
    """

    name: str = Field("session", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
    session: SessionSection
    symbols: tuple[SymbolField, ...]
    intervals: tuple[IntervalField, ...] = ()
    indicators: tuple[IndicatorField, ...] = ()
    history: HistorySection = HistorySection()
    sources: tuple[SourceSection, ...] = Field(min_length=1)
    validation: ValidationSection = ValidationSection()
    actors: ActorsSection = ActorsSection()
    placement: PlacementSection = PlacementSection()
    run: RunSection = RunSection()
    live: LiveSection = LiveSection()
    schedule: tuple[ScheduledAction, ...] = ()
    export: ExportSection = ExportSection()
    ray: RaySection = RaySection()
    strategy: StrategySection | None = None
    account: AccountSection = AccountSection()
    costs: CostsSection = CostsSection()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    report: ReportSection = ReportSection()
    sweep: SweepSection | None = None
    tables: dict[TableName, TableSection] = Field(default_factory=dict)
    scans: tuple[ScanSection, ...] = ()
    listings: Annotated[dict[str, str], BeforeValidator(_by_name)] = Field(default_factory=dict)
    _where: str = PrivateAttr(default="config")
    _renames: Renames | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _symbols_or_scans(cls, data: Any) -> Any:
        return {"symbols": (), **data} if isinstance(data, dict) and data.get("scans") else data

    @model_validator(mode="after")
    def _consistent(self) -> SessionConfig:
        names = [source.name for source in self.sources]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two sources are named {twice[0]!r}: give each a name of its own")
        if self.history.daily is not None and self.history.daily not in names:
            raise ValueError(f"history.daily is {self.history.daily!r}: name one of the sources, {', '.join(names)}")
        if self.history.daily is None and self.history.daily_days:
            raise ValueError("history.daily_days without history.daily: name the source of daily bars")
        if self.is_live and not any(isinstance(source, AlpacaSection) for source in self.sources):
            raise ValueError("a live session needs a source of type alpaca: add one under sources")
        if self.account.limits is not None and (unknown := self.account.limits.unknown(self.symbols)):
            group, symbol = unknown
            raise ValueError(
                f"account.limits.groups.{group} has {symbol}, which is none of symbols: add it there, or take it out"
            )
        if not self.symbols and not self.scans:
            raise ValueError("symbols is empty: give at least one, or scans")
        if not self.intervals and self.strategy is None and not self.scans:
            raise ValueError("there are no intervals: give at least one that every symbol must have, such as [1m, 5m]")
        return self

    @property
    def where(self) -> str:
        """What names it in errors: its file, or that it is the config that was given."""
        return self._where

    def standing_in(self, where: str) -> SessionConfig:
        """The same, as what errors are to name it by."""
        named = self.model_copy()
        named._where = where
        return named

    @property
    def renames(self) -> Renames:
        """Companies that its table `listings` says were renamed, or none where a source is a vendor's: read when it is
        first asked for, and then part of the config. Errors as of `read_listings`.
        """
        if self._renames is None:
            path = self.listings.get(LISTINGS)
            found = Renames.in_listings(read_listings(Path(path))) if path else Renames()
            vendors = [source.name for source in self.sources if not isinstance(source, ParquetSection)]
            if found and vendors:
                logger.warning(
                    "%s tells of renamed symbols, which bars of %s do not follow: each has what is there under its own",
                    path,
                    vendors[0],
                )
            self._renames = found if not vendors else Renames()
        return self._renames

    @property
    def is_live(self) -> bool:
        """Whether bars come as minutes close."""
        return self.session.mode == "live"

    @property
    def requirements(self) -> SymbolRequirements:
        """What every full symbol must have."""
        return SymbolRequirements(
            tuple(sorted(set(self.intervals))),
            tuple(dict.fromkeys(self.indicators)),
            max(self.history.trailing_days, int(self.is_live)),  # a symbol without any history is none
            self.history.max_missing_days,
            "any" if any(getattr(source, "prices", None) == "any" for source in self.sources) else "positive",
            self.validation.jumps,
            self.history.daily,
            self.history.daily_days,
        )

    def needing(self, intervals: Iterable[Interval], indicators: Iterable[IndicatorSpec]) -> SessionConfig:
        """The same where every symbol must have these as well."""
        whole = self.model_copy(
            update={
                "intervals": tuple(sorted({*self.intervals, *intervals})),
                "indicators": tuple(dict.fromkeys((*self.indicators, *indicators))),
            }
        )
        return whole.standing_in(self.where)

    @property
    def data_sources(self) -> tuple[DataSource, ...]:
        """The sources in order of priority, as names are stored; of a live session the first that has a stream, and its
        minutes alone.
        """
        return self.data_manager.as_stored.sources

    @property
    def data_manager(self) -> DataManager:
        """These sources, freshly opened, and that of daily history. Where companies were renamed, a symbol of the
        config means who is called so on its last day, any other who is on the session's.
        """
        opened = [self._opened(source) for source in self.sources]
        daily = next((source for source in opened if source.name == self.history.daily), None)
        if self.renames:
            meant = dict.fromkeys(self.symbols, self.session.end)
            opened = [RenamedSource(source, self.renames, meant) for source in opened]
            daily = daily and RenamedSource(daily, self.renames, meant)
        if not self.is_live:
            return DataManager(tuple(opened), daily=daily)
        streamed = next(source for source in self.sources if isinstance(source, AlpacaSection))
        return DataManager((replace(self._opened(streamed), only=Interval(1, "m")),), daily=daily)

    def _opened(self, section: SourceSection) -> Any:
        source = section.open()
        practice = self.live.practice if self.is_live else None
        return replace(source, clock=practice.clock) if practice and isinstance(source, VendorSource) else source

    def resolved(self, folder: Path) -> SessionConfig:
        """The same with relative local paths taken from `folder`."""

        def absolute(path: str) -> str:
            return path if "://" in path else str((folder / Path(path).expanduser()).resolve())

        sources = tuple(source.resolved(absolute) for source in self.sources)
        export = self.export.model_copy(update={"directory": absolute(self.export.directory)})
        report = self.report.model_copy(update={"directory": absolute(self.report.directory)})
        live = self.live
        if live.record is not None:
            live = live.model_copy(update={"record": absolute(live.record)})
        strategy = self.strategy
        if strategy is not None and strategy.path is not None:
            strategy = strategy.model_copy(update={"path": absolute(strategy.path)})
        tables = {name: table.resolved(absolute) for name, table in self.tables.items()}
        listings = {name: absolute(path) for name, path in self.listings.items()}
        scans = tuple(
            scan.model_copy(update={"path": absolute(scan.path)}) if scan.path else scan for scan in self.scans
        )
        places = {"sources": sources, "tables": tables, "strategy": strategy, "scans": scans, "listings": listings}
        changed = {**places, "export": export, "report": report, "live": live}
        whole = SessionConfig.model_construct(_fields_set=self.model_fields_set, **{**dict(self), **changed})
        return whole.standing_in(self.where)
