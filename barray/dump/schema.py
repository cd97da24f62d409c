"""Layout of the JSON dump, in one place: `barray.dump.writers.json` writes it, `barray.dump.checks` enforces it.

There are no other keys.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NotRequired

import numpy as np
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from barray.coordinator.summary import EventAction
from barray.dump.reason import ReasonJson
from barray.dump.scans import ScansJson
from barray.dump.trading import TradingJson
from barray.market.bars import COLUMNS, Bars, format_ns
from barray.market.quality import Quality
from barray.market.series import IntervalBars

SCHEMA, SCHEMA_1 = "barray.session/2", "barray.session/1"
_closed = with_config(ConfigDict(extra="forbid", strict=True))


@_closed
class HoursJson(TypedDict):
    """Local wall-clock times, HH:MM."""

    open: str
    close: str
    half_day_close: str


@_closed
class SessionJson(TypedDict):
    """Facts of the session; `date` as YYYY-MM-DD, `open`, `close` and `now` as stamps.

    `degraded`: there where symbols are missing because the machine failed: those that are dropped for it.
    """

    calendar: str
    timezone: str
    hours: Literal["regular", "extended"]
    extended_hours: HoursJson | None
    date: str
    open: str
    close: str
    now: str
    degraded: NotRequired[list[str]]


@_closed
class JumpRuleJson(TypedDict):
    """`JumpRule`."""

    size: float
    refuse: bool


@_closed
class OwnIndicatorJson(TypedDict):
    """A strategy's own indicator: it needs so many bars before its first value. Its values are the strategy's alone."""

    name: str
    interval: str
    bars: int


@_closed
class RequirementsJson(TypedDict):
    """What the config asks of every full symbol; `history_first` labels the first session whose bars were loaded.

    `own_indicators`: there where a strategy has any. `prices`: there where a source's prices may be zero or less.
    `suspect_jump`: there where moves are suspected. `daily`: there where a source gives daily bars of sessions before
    those with base bars, `daily_first` where there are any such.
    """

    intervals: list[str]
    indicators: list[str]
    own_indicators: NotRequired[list[OwnIndicatorJson]]
    trailing_days: int
    max_missing_days: int
    prices: NotRequired[Literal["any"]]
    suspect_jump: NotRequired[JumpRuleJson]
    daily: NotRequired[str]
    daily_days: NotRequired[int]
    history_first: str
    daily_first: NotRequired[str]


@_closed
class Step0Json(TypedDict):
    """`SymbolValidationResult.to_dict()`."""

    can_proceed: bool
    reason: str
    data_source: str | None
    intervals_supported: list[str]
    base_interval: str | None
    has_historical_data: bool
    historical_date_range: list[str] | None
    has_session_data: bool
    meets_config_requirements: bool
    sources_asked: list[str]
    reasons: list[ReasonJson]
    daily_source: NotRequired[str]
    daily_date_range: NotRequired[list[str] | None]


@_closed
class EventJson(TypedDict):
    """`SessionEvent`, with its stamp; `symbol` is "" where it concerns the session as a whole."""

    at: str
    action: EventAction
    symbol: str
    by: str
    accepted: bool
    reason: str
    detail: dict[str, Any]


@_closed
class HeaderJson(TypedDict):
    """Everything but the symbols; `digest`: SHA-256 of the content, see `barray.dump.digest`. `trading`: there where a
    strategy traded; `scans`: where scans looked for symbols.
    """

    schema: Literal["barray.session/2"]
    digest: str
    session: SessionJson
    requirements: RequirementsJson
    step0: dict[str, Step0Json]
    dropped: dict[str, list[ReasonJson]]
    events: list[EventJson]
    trading: NotRequired[TradingJson]
    scans: NotRequired[ScansJson]


@_closed
class MetadataJson(TypedDict):
    """`SymbolMetadata.metadata_dict()`."""

    meets_session_config_requirements: bool
    added_by: str
    auto_provisioned: bool
    added_at: str | None
    added_mid_session: bool
    provisioned_reason: str | None
    upgraded_from_adhoc: bool


@_closed
class LineageJson(TypedDict):
    """Which source served which bars: stamps of the first and last one, and how many.

    `dataset`: feed and adjustment of a vendor's bars (`alpaca-iex-raw`), null where the source doesn't say.
    """

    source: str
    dataset: str | None
    interval: str
    first: str | None
    last: str | None
    bars: int


@_closed
class SeriesJson(TypedDict):
    """Bars as columns of one length; the first `history` of them closed before the session opened.

    Given bars (of the source, or adhoc) carry `digest`, derived ones the five keys before it. Of daily bars the first
    `given` may be those of another source: they carry both, the digest being of these.
    """

    history: int
    timestamp: list[str]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    end: NotRequired[list[str]]
    expected: NotRequired[list[int]]
    actual: NotRequired[list[int]]
    complete: NotRequired[list[bool]]
    derived_from: NotRequired[str]
    digest: NotRequired[str]
    given: NotRequired[int]


DERIVED_KEYS = ("end", "expected", "actual", "complete", "derived_from")


@_closed
class IndicatorJson(TypedDict):
    """`values[output][i]` belongs to row `first_bar + i` of the bars of `interval`; null where there is no value."""

    interval: str
    convention: str
    first_bar: int
    values: dict[str, list[float | None]]


@_closed
class GapJson(TypedDict):
    """Missing bars from `start` to before `end`."""

    start: str
    end: str
    missing: int


@_closed
class QualityJson(TypedDict):
    """`Quality` with its share."""

    share: float | None
    expected: int
    actual: int
    gaps: list[GapJson]


@_closed
class BarJson(TypedDict):
    """The five values of one bar."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@_closed
class ConflictJson(TypedDict):
    """An adhoc bar that the source of record overruled; `record` is null where the source has no such bar."""

    interval: str
    timestamp: str
    adhoc: BarJson
    record: BarJson | None


@_closed
class AdhocJson(TypedDict):
    """Added by hand: stamps of bars by interval, keys of indicators, the overruled bars and the digest of those."""

    bars: dict[str, list[str]]
    indicators: list[str]
    conflicts: list[ConflictJson]
    conflicts_digest: str | None


@_closed
class SymbolJson(TypedDict):
    """One symbol. `warnings`: there where moves of its source's prices are suspected. `daily_lineage`: there where
    daily bars of another source stand before those derived.
    """

    metadata: MetadataJson
    base_interval: str | None
    lineage: LineageJson | None
    daily_lineage: NotRequired[LineageJson]
    bars: dict[str, SeriesJson]
    indicators: dict[str, IndicatorJson]
    quality: dict[str, QualityJson]
    history_quality: dict[str, QualityJson]
    adhoc: AdhocJson
    warnings: NotRequired[list[ReasonJson]]


def bars_dumped(series: IntervalBars) -> slice:
    """Rows of a series that a dump holds: all, but for derived intraday bars, of which it holds the session's."""
    return slice(0 if series.derived_from is None or not series.interval.is_intraday else series.history, len(series))


def values_dumped(series: IntervalBars) -> slice:
    """Rows of a series whose indicator values a dump holds: the session's, or all where bars are daily or weekly."""
    return slice(series.history if series.interval.is_intraday else 0, len(series))


def quality_json(quality: Quality) -> QualityJson:
    """Quality as a dump shows it."""
    return {
        "share": quality.share,
        "expected": quality.expected,
        "actual": quality.actual,
        "gaps": [
            {"start": format_ns(gap.start_ns), "end": format_ns(gap.end_ns), "missing": gap.missing}
            for gap in quality.gaps
        ],
    }


def digest(bars: Bars) -> str:
    """16 hexadecimal digits over the stamps and the float64 values, so the same however the numbers are written.

    It finds a changed bar that nothing derived depends on. It is no signature: whoever edits can compute it anew.
    """
    total = hashlib.blake2b(digest_size=8)
    for name in ("start_ns", *COLUMNS):
        total.update(np.ascontiguousarray(getattr(bars, name)).data)
    return total.hexdigest()
