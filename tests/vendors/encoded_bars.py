"""Bars as the bytes that Alpaca's servers send, encoded once: a page is a slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import orjson

from barray.market.bars import Bars, IntArray


@dataclass(frozen=True, eq=False)
class EncodedBars:
    """One symbol's. `offsets` int64 (n + 1,): where each row begins in `body`, commas included."""

    start_ns: IntArray
    body: bytes
    offsets: IntArray

    @classmethod
    def of(cls, bars: Bars) -> EncodedBars:
        """With a trade count and an average price, which our bars don't have."""
        stamps = np.datetime_as_string(bars.start_ns.view("datetime64[ns]").astype("datetime64[s]")).tolist()
        columns = (getattr(bars, name).tolist() for name in ("open", "high", "low", "close", "volume"))
        rows = [
            orjson.dumps({"c": c, "h": h, "l": l, "n": 1, "o": o, "t": f"{t}Z", "v": int(v), "vw": c}) + b","
            for t, o, h, l, c, v in zip(stamps, *columns, strict=True)  # noqa: E741
        ]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(bars.start_ns, b"".join(rows), offsets)

    def rows(self, first: int, last: int) -> bytes:
        """These rows, in JSON, commas between."""
        return self.body[self.offsets[first] : max(self.offsets[last] - 1, self.offsets[first])]


@dataclass(frozen=True)
class PageOfBars:
    """`rows`: each symbol's, in JSON without brackets. `following`: symbol and stamp that the next page begins with."""

    rows: Mapping[str, bytes]
    following: tuple[str, int] | None


def page_of(
    bars: Mapping[str, EncodedBars],
    symbols: list[str],
    start_ns: int,
    end_ns: int,
    limit: int,
    begin: tuple[str, int] | None,
) -> PageOfBars:
    """At most `limit` rows that start in `[start_ns, end_ns]`, symbol by symbol, from `begin` on."""
    found: dict[str, bytes] = {}
    for symbol in sorted(set(symbols)):
        if symbol not in bars or (begin is not None and symbol < begin[0]):
            continue
        held = bars[symbol]
        from_ns = begin[1] if begin is not None and symbol == begin[0] else start_ns
        first = int(np.searchsorted(held.start_ns, max(from_ns, start_ns)))
        last = int(np.searchsorted(held.start_ns, end_ns, side="right"))
        if first >= last:
            continue
        if limit == 0:
            return PageOfBars(found, (symbol, int(held.start_ns[first])))
        if last - first > limit:
            found[symbol] = held.rows(first, first + limit)
            return PageOfBars(found, (symbol, int(held.start_ns[first + limit])))
        found[symbol] = held.rows(first, last)
        limit -= last - first
    return PageOfBars(found, None)
