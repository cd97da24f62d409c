"""What is known of one symbol's bars of an interval, and which files hold them: a store's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, replace

import orjson

from barray.data_sources.fetching.months import span_of
from barray.data_sources.fetching.ranges import Range, subtracted
from barray.data_sources.fetching.vendor import Dataset
from barray.market.bars import format_ns, parse_ns
from barray.market.errors import DataError
from barray.market.interval import NS_PER_DAY, Interval

MANIFEST = "manifest.json"
_VERSION = 1
_STAMPS = ("start", "end", "fetched_at")
_MONTH = len("2024-07")


@dataclass(frozen=True)
class Fetched:
    """A range `[start_ns, end_ns)` that is known, and when it was fetched; UTC nanoseconds."""

    start_ns: int
    end_ns: int
    fetched_ns: int


@dataclass(frozen=True)
class Manifest:
    """`sizes`: bytes of each month's file as it was written, by its name without `.parquet`, which begins with the
    month. `replaced`: names of files that are no longer counted and still lie there, with when that came to be, UTC ns.
    """

    symbol: str
    interval: Interval
    fetched: tuple[Fetched, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def decoded(cls, content: bytes, place: str, symbol: str, interval: Interval) -> Manifest:
        """The manifest of a folder, `place`, as `encoded` wrote it; DataError for what is none."""
        try:
            held = orjson.loads(content)
            fetched = tuple(Fetched(*(parse_ns(entry[name]) for name in _STAMPS)) for entry in held["fetched"])
            sizes = {str(name): int(size) for name, size in held["files"].items()}
            replaced = {str(name): parse_ns(stamp) for name, stamp in held.get("replaced", {}).items()}
            if held["version"] != _VERSION:
                raise ValueError(f"its version is {held['version']!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{place}/{MANIFEST} is no manifest: {error}",
                symbol=symbol,
                interval=str(interval),
                remedy=f"remove {place}: its bars will be fetched again",
                code="bad_manifest",
            ) from error
        return cls(symbol, interval, fetched, sizes, replaced)

    def encoded(self, dataset: Dataset) -> bytes:
        """As it stands in a store."""
        held = {
            "version": _VERSION,
            "symbol": self.symbol,
            "interval": str(self.interval),
            **asdict(dataset),
            "fetched": [
                {name: format_ns(stamp) for name, stamp in zip(_STAMPS, astuple(entry), strict=True)}
                for entry in self.fetched
            ],
            "files": dict(sorted(self.sizes.items())),
        }
        if self.replaced:
            held["replaced"] = {name: format_ns(stamp) for name, stamp in sorted(self.replaced.items())}
        return orjson.dumps(held, option=orjson.OPT_INDENT_2)

    def file_of(self, month: str) -> str | None:
        """The name of a month's file, without `.parquet`."""
        return next((name for name in self.sizes if name[:_MONTH] == month), None)

    def where(self, found: Mapping[str, int | None]) -> Manifest:
        """The manifest without the files whose size isn't the one that was written: nothing of them is known now.

        `found`: sizes as they are, by name.
        """
        whole = {name: size for name, size in self.sizes.items() if found.get(name) == size}
        lost = [span_of(name[:_MONTH]) for name in self.sizes.keys() - whole.keys()]
        return replace(self.without(*lost), sizes=whole)

    def without(self, *lost: Range) -> Manifest:
        """The manifest with nothing known of these ranges."""
        fetched = tuple(
            Fetched(start, end, entry.fetched_ns)
            for entry in self.fetched
            for start, end in subtracted((entry.start_ns, entry.end_ns), lost)
        )
        return replace(self, fetched=fetched)

    def adding(self, new: Fetched, sizes: Mapping[str, int]) -> Manifest:
        """The manifest with one more range, which wins over older ones.

        Ranges of one day's fetching that touch become one.
        """
        entries = list(self.without((new.start_ns, new.end_ns)).fetched)
        if new.end_ns > new.start_ns:
            entries.append(new)
        joined: list[Fetched] = []
        for one in sorted(entries, key=lambda one: one.start_ns):
            last = joined[-1] if joined else None
            if last and last.end_ns == one.start_ns and last.fetched_ns // NS_PER_DAY == one.fetched_ns // NS_PER_DAY:
                joined[-1] = Fetched(last.start_ns, one.end_ns, max(last.fetched_ns, one.fetched_ns))
            else:
                joined.append(one)
        return replace(self, fetched=tuple(joined), sizes=sizes)
