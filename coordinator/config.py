"""The session's configuration: what may stand in it, with what defaults. Reading it from YAML: `config_file`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from data_sources.layout import Layout
from data_sources.parquet_file import Columns
from data_sources.parquet_source import ParquetSource
from data_sources.protocol import DataSource
from market.adhoc import parse_bar
from market.calendar import ExtendedHours
from market.errors import BarrayError
from market.indicators import IndicatorSpec, parse_indicator
from market.interval import Interval
from market.requirements import SymbolRequirements

T = TypeVar("T")
ACTORS_PER_CPU = 50
"""What a core bears: an idle worker wakes 100 times a second, and past this a node drowns in that (bench/README.md)."""


def _parsed(parse: Callable[[Any], T]) -> Callable[[Any], T]:
    """Let pydantic see our errors as its own."""

    def validator(value: Any) -> T:
        try:
            return parse(value)
        except BarrayError as error:
            raise ValueError(str(error)) from error

    return validator


def _symbol(value: Any) -> str:
    if not isinstance(value, str):
        example = f"write {str(value)!r} in quotes" if isinstance(value, int | float) else "write it in quotes"
        raise ValueError(f"a symbol is text: {example}")
    return value


def _wall_time(value: Any) -> time:
    if isinstance(value, time):
        return value
    try:
        parsed = time.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("a time of day is written as 10:30 or 10:30:15") from None
    if parsed.tzinfo is not None:
        raise ValueError("times of day are exchange time: leave the offset out")
    return parsed


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except TypeError:
        raise ValueError("a date is written as 2024-07-01") from None
    except ValueError as error:
        raise ValueError(f"a date is written as 2024-07-01 ({error})") from None


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; use one such as America/New_York or UTC") from None
    return name


def _stamp_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


IntervalField = Annotated[Interval, PlainValidator(_parsed(Interval.parse)), PlainSerializer(str)]
IndicatorField = Annotated[
    IndicatorSpec, PlainValidator(_parsed(parse_indicator)), PlainSerializer(lambda spec: spec.key)
]
SymbolField = Annotated[str, BeforeValidator(_symbol)]
DateField = Annotated[date, BeforeValidator(_date), Field(ge=date(1970, 1, 1), le=date(2200, 12, 31))]
TimeField = Annotated[time, PlainValidator(_wall_time)]


class Section(BaseModel):
    """A mapping in the config: unknown keys are refused, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class ExtendedHoursSection(Section):
    """Hours of an extended session, exchange time."""

    open: TimeField
    close: TimeField
    half_day_close: TimeField


class SessionSection(Section):
    """Which sessions: those of `calendar` from `start` to `end`, both included."""

    calendar: str = "XNYS"
    start: DateField
    end: DateField
    hours: Literal["regular", "extended"] = "regular"
    extended_hours: ExtendedHoursSection | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_day(cls, data: Any) -> Any:
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
    """Sessions loaded before the session date; indicators may need more, and then get more."""

    trailing_days: int = Field(0, ge=0, le=5000)
    max_missing_days: int = Field(0, ge=0)


class ColumnsSection(Section):
    """Names of the columns in a source's files; `timezone` of stamps stored without one; `stamp`: which edge."""

    timestamp: str = "timestamp"
    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    volume: str = "volume"
    symbol: str = "symbol"
    timezone: Annotated[str, AfterValidator(_zone)] | None = None
    stamp: Literal["start", "end"] = "start"


class ParquetSection(Section):
    """A tree of Parquet files; see data_sources.parquet_source.ParquetSource."""

    type: Literal["parquet"] = "parquet"
    name: str = "parquet"
    root: str
    layout: Annotated[Layout, PlainValidator(_parsed(lambda text: Layout(str(text)))), PlainSerializer(str)] = Field(
        default_factory=lambda: Layout("{symbol}/{interval}/{date}.parquet")
    )
    columns: ColumnsSection = ColumnsSection()
    interval: IntervalField | None = None
    interval_names: dict[str, Annotated[str, AfterValidator(lambda text: str(_parsed(Interval.parse)(text)))]] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _complete(self) -> ParquetSection:
        _parsed(lambda _: self.open())(None)
        return self

    def open(self) -> ParquetSource:
        """The source; nothing is read yet."""
        columns = Columns(**self.columns.model_dump())
        return ParquetSource(self.root, self.name, self.layout, columns, self.interval, self.interval_names)


class ValidationSection(Section):
    """Step 0. `per_symbol: false` lets any failure end the session; `deadline_s` is each symbol's, wall clock."""

    per_symbol: bool = True
    deadline_s: float = Field(30.0, gt=0, le=86_400)


class ActorsSection(Section):
    """The symbols' processes. `reuse` keeps a config symbol's process from day to day, its state cleared.

    `spawn`: `fork` takes workers from a process that has imported everything (Linux, Ray that we start), `stock` leaves
    that to Ray; `preload` names further modules for that process to import. `symbols_per_actor`: how many symbols share
    a process; `auto` gives each its own up to what the nodes' cores bear, and packs beyond. `num_cpus`: what a process
    claims of Ray's CPUs, for spreading over nodes. `call_timeout_s`: after it a call counts as hung; the process is
    killed and brought back, at most `max_restarts` times a session.
    """

    lifecycle: Literal["kill", "reuse"] = "kill"
    spawn: Literal["fork", "stock"] = "fork"
    preload: tuple[str, ...] = ()
    symbols_per_actor: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    num_cpus: float = Field(0.001, ge=0, le=1)
    call_timeout_s: float = Field(120.0, gt=0, le=86_400)
    max_restarts: int = Field(3, ge=0)


class RunSection(Section):
    """How time moves. `window` cuts the session into steps (default: only where something is scheduled); `pause_s`
    waits after each, wall clock, so that a person can attach and watch.
    """

    window: IntervalField | None = None
    pause_s: float = Field(0.0, ge=0, le=86_400)


class ScheduledBar(Section):
    """A bar to add. Its start is `time` of the session date (exchange time), or a full `timestamp`."""

    symbol: SymbolField
    interval: IntervalField
    time: TimeField | None = None
    timestamp: Annotated[str | None, BeforeValidator(_stamp_text)] = None
    open: float
    high: float
    low: float
    close: float
    volume: float

    @model_validator(mode="after")
    def _stamped(self) -> ScheduledBar:
        if (self.time is None) == (self.timestamp is None):
            raise ValueError("give either time (exchange time on the session date) or timestamp")
        if self.timestamp is not None:
            _parsed(parse_bar)(self.model_dump(include={"timestamp", "open", "high", "low", "close", "volume"}))
        return self


class ScheduledIndicator(Section):
    """An indicator to add."""

    symbol: SymbolField
    indicator: IndicatorField


class ScheduledAction(Section):
    """Something to do once the session clock reaches `at` (exchange time), each day or on `day` only."""

    at: TimeField
    day: DateField | None = None
    by: Literal["strategy", "scanner"] | None = None
    add_symbol: SymbolField | None = None
    add_bar: ScheduledBar | None = None
    add_indicator: ScheduledIndicator | None = None
    remove_symbol: SymbolField | None = None

    @model_validator(mode="after")
    def _one_action(self) -> ScheduledAction:
        actions = (self.add_symbol, self.add_bar, self.add_indicator, self.remove_symbol)
        if sum(action is not None for action in actions) != 1:
            raise ValueError("give exactly one of add_symbol, add_bar, add_indicator, remove_symbol")
        return self


class ExportSection(Section):
    """What is written at the end of each session, below `directory`; `{date}` in it is not needed."""

    directory: str = "out"
    formats: tuple[Literal["json", "csv", "parquet"], ...] = ("json",)


class RaySection(Section):
    """Where to run. `address`: None starts Ray here, on loopback; `auto` or `host:port` joins a running cluster."""

    address: str | None = None
    num_cpus: int | None = Field(None, ge=1)


class SessionConfig(Section):
    """A whole configuration. See examples/session.yaml."""

    name: str = Field("session", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
    session: SessionSection
    symbols: tuple[SymbolField, ...] = Field(min_length=1)
    intervals: tuple[IntervalField, ...] = Field(min_length=1)
    indicators: tuple[IndicatorField, ...] = ()
    history: HistorySection = HistorySection()
    sources: tuple[ParquetSection, ...] = Field(min_length=1)
    validation: ValidationSection = ValidationSection()
    actors: ActorsSection = ActorsSection()
    run: RunSection = RunSection()
    schedule: tuple[ScheduledAction, ...] = ()
    export: ExportSection = ExportSection()
    ray: RaySection = RaySection()

    @model_validator(mode="after")
    def _distinct_sources(self) -> SessionConfig:
        names = [source.name for source in self.sources]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two sources are named {twice[0]!r}: give each a name of its own")
        return self

    @property
    def requirements(self) -> SymbolRequirements:
        """What every full symbol must have."""
        return SymbolRequirements(
            tuple(sorted(set(self.intervals))),
            tuple(dict.fromkeys(self.indicators)),
            self.history.trailing_days,
            self.history.max_missing_days,
        )

    @property
    def data_sources(self) -> tuple[DataSource, ...]:
        """The sources in order of priority."""
        return tuple(source.open() for source in self.sources)

    def resolved(self, folder: Path) -> SessionConfig:
        """The same with relative local paths taken from `folder`."""

        def absolute(path: str) -> str:
            return path if "://" in path else str((folder / Path(path).expanduser()).resolve())

        sources = tuple(s.model_copy(update={"root": absolute(s.root)}) for s in self.sources)
        export = self.export.model_copy(update={"directory": absolute(self.export.directory)})
        return self.model_copy(update={"sources": sources, "export": export})
