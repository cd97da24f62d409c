"""The sources that may stand in a configuration. None holds a secret: that comes from the environment or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, PlainSerializer, PlainValidator, Tag, model_validator

from barray.coordinator.config.fields import IntervalField, Section, parsed, zone_name
from barray.data_sources.alpaca.vendor import LIMITS as ALPACA_LIMITS
from barray.data_sources.alpaca.vendor import AlpacaAccount
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.object_store.store import ObjectStore, is_object_uri
from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.data_sources.schwab.vendor import LIMITS as SCHWAB_LIMITS
from barray.data_sources.schwab.vendor import SchwabAccount
from barray.market.bars import Prices
from barray.market.clock import WallClock
from barray.market.interval import Interval

Absolute = Callable[[str], str]
STORE = "bars"


def _place(store: str) -> str:
    if is_object_uri(store):
        parsed(ObjectStore)(store)
    elif "://" in store:
        raise ValueError("a store of fetched bars is a folder that every node sees, or s3://bucket/path")
    return store


StoreField = Annotated[str, AfterValidator(_place)]


class ColumnsSection(Section):
    """Names of the columns in a source's files; `timezone` of stamps stored without one; `stamp`: which edge.

    `unit`: of stamps stored as whole numbers since 1970; without it their size tells. `max_rows`: how many may be
    read at once; a small file can hold more than a machine.
    """

    timestamp: str = "timestamp"
    open: str = "open"
    high: str = "high"
    low: str = "low"
    close: str = "close"
    volume: str = "volume"
    symbol: str = "symbol"
    timezone: Annotated[str, AfterValidator(zone_name)] | None = None
    stamp: Literal["start", "end"] = "start"
    unit: Literal["s", "ms", "us", "ns"] | None = None
    max_rows: int = Field(25_000_000, ge=1)


class ParquetSection(Section):
    """A tree of Parquet files; see barray.data_sources.parquet.source.ParquetSource and docs/data.md.

    `prices: any` lets prices be zero and negative, as those of spreads and some futures are.
    """

    type: Literal["parquet"] = "parquet"
    name: str = "parquet"
    root: str
    layout: Annotated[Layout, PlainValidator(parsed(lambda text: Layout(str(text)))), PlainSerializer(str)] = Field(
        default_factory=lambda: Layout("{symbol}/{interval}/{date}.parquet")
    )
    columns: ColumnsSection = ColumnsSection()
    interval: IntervalField | None = None
    interval_names: dict[str, Annotated[str, AfterValidator(lambda text: str(parsed(Interval.parse)(text)))]] = Field(
        default_factory=dict
    )
    prices: Prices = "positive"

    @model_validator(mode="after")
    def _complete(self) -> ParquetSection:
        parsed(lambda _: self.open())(None)
        return self

    def open(self) -> ParquetSource:
        """The source; nothing is read yet."""
        columns = Columns(**self.columns.model_dump())
        names = self.interval_names
        return ParquetSource(self.root, self.name, self.layout, columns, self.interval, names, self.prices)

    def resolved(self, absolute: Absolute) -> ParquetSection:
        """The same with its paths made absolute."""
        return self.model_copy(update={"root": absolute(self.root)})


class AlpacaSection(Section):
    """Alpaca's historical bars; see barray.data_sources.alpaca.vendor.AlpacaAccount.

    `store`: where fetched bars are kept, for every later run: a folder, on a cluster one that all nodes see, or
    `s3://bucket/path`.
    `credentials`: a file of mode 0600 with `APCA_API_KEY_ID=…` and `APCA_API_SECRET_KEY=…`, for where the environment
    does not hold them. `requests_per_minute`: of your plan. `give_up_s`: how long nothing but failures may come before
    Alpaca counts as unreachable. `url`, `trading_url`, `stream_url`: other addresses than
    Alpaca's.
    """

    type: Literal["alpaca"]
    name: str = "alpaca"
    feed: Literal["iex", "sip", "otc", "boats"] = "iex"
    adjustment: Literal["raw", "split", "dividend", "all"] = "raw"
    store: StoreField = STORE
    credentials: str | None = None
    requests_per_minute: int = Field(ALPACA_LIMITS.per_minute, ge=1, le=100_000)
    give_up_s: float = Field(60.0, gt=0, le=86_400)
    url: str | None = None
    trading_url: str | None = None
    stream_url: str | None = None

    def open(self) -> VendorSource:
        """The source; nothing is read yet, nobody asked."""
        file = Path(self.credentials) if self.credentials else None
        account = AlpacaAccount(
            self.feed, self.adjustment, self.requests_per_minute, file, self.url, self.trading_url, self.stream_url
        )
        return VendorSource(self.name, account, self.store, WallClock().now_ns(), self.give_up_s)

    def resolved(self, absolute: Absolute) -> AlpacaSection:
        """The same with its paths made absolute."""
        credentials = absolute(self.credentials) if self.credentials else None
        return self.model_copy(update={"store": absolute(self.store), "credentials": credentials})


class SchwabSection(Section):
    """Schwab's price history; see barray.data_sources.schwab.vendor.SchwabAccount. Its keys are as AlpacaSection's.

    `token`: the file that schwab-py's login wrote, of mode 0600. The environment, or `credentials`, holds
    `SCHWAB_API_KEY` and `SCHWAB_APP_SECRET`.
    """

    type: Literal["schwab"]
    name: str = "schwab"
    token: str
    store: StoreField = STORE
    credentials: str | None = None
    requests_per_minute: int = Field(SCHWAB_LIMITS.per_minute, ge=1, le=100_000)
    give_up_s: float = Field(60.0, gt=0, le=86_400)
    url: str | None = None

    def open(self) -> VendorSource:
        """The source; nothing is read yet, nobody asked."""
        file = Path(self.credentials) if self.credentials else None
        account = SchwabAccount(Path(self.token), self.requests_per_minute, file, self.url)
        return VendorSource(self.name, account, self.store, WallClock().now_ns(), self.give_up_s)

    def resolved(self, absolute: Absolute) -> SchwabSection:
        """The same with its paths made absolute."""
        credentials = absolute(self.credentials) if self.credentials else None
        paths = {"store": absolute(self.store), "token": absolute(self.token), "credentials": credentials}
        return self.model_copy(update=paths)


VENDORS: dict[str, type[AlpacaSection | SchwabSection]] = {"alpaca": AlpacaSection, "schwab": SchwabSection}
SOURCES: dict[str, type[Section]] = {"parquet": ParquetSection, **VENDORS}
"""By what stands under `type`."""


def _type_of(value: Any) -> str:
    found = value.get("type", "parquet") if isinstance(value, dict) else getattr(value, "type", "parquet")
    return str(found)


SourceSection = Annotated[
    Annotated[ParquetSection, Tag("parquet")]
    | Annotated[AlpacaSection, Tag("alpaca")]
    | Annotated[SchwabSection, Tag("schwab")],
    Discriminator(_type_of),
]
