"""Bar intervals: parsing, what derives from what, and the best interval to load for a set of required ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from barray.market.errors import ConfigError

NS_PER_SECOND = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_SECOND
_UNIT_NS = {
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
    "d": NS_PER_DAY,
    "w": 7 * NS_PER_DAY,
}
_PATTERN = re.compile(r"([1-9][0-9]{0,5})([smhdw])")


@dataclass(frozen=True)
class Interval:
    """The length of a bar: `count` units, in canonical form (60s is 1m, 60m is 1h).

    Seconds, minutes and hours are *intraday*: buckets of fixed length, anchored to the session open, the last one cut
    at the close. `1d` is one session, whatever its length, and `1w` the sessions of one ISO week. Several days or weeks
    have no natural anchor and are refused.
    """

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str | Interval) -> Interval:
        """Read `"5m"`, `"1h"`, `"1d"` …; raises ConfigError for anything else."""
        if isinstance(text, Interval):
            return text
        match = _PATTERN.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ConfigError(
                f"{text!r} is not an interval",
                remedy="write a whole number above 0 and a unit of s, m, h, d, w, such as 1m, 15m, 1h, 1d",
                code="bad_interval",
            )
        count, unit = int(match[1]), match[2]
        for finer, coarser in (("s", "m"), ("m", "h")):
            if unit == finer and count % 60 == 0:
                count, unit = count // 60, coarser
        if unit in "dw" and count != 1:
            raise ConfigError(
                f"{text!r}: buckets of several days or weeks have no fixed anchor",
                remedy="use 1d or 1w",
                code="bad_interval",
            )
        if unit in "smh" and count * _UNIT_NS[unit] >= NS_PER_DAY:
            raise ConfigError(
                f"{text!r}: an intraday interval is shorter than 24 hours",
                remedy="use 1d for a bar a session",
                code="bad_interval",
            )
        return cls(count, unit)

    @property
    def ns(self) -> int:
        """Nominal length in nanoseconds; exact for intraday intervals, for sorting only otherwise."""
        return self.count * _UNIT_NS[self.unit]

    @property
    def is_intraday(self) -> bool:
        """Whether a bar is shorter than a session by definition."""
        return self.unit in "smh"

    def derives(self, target: Interval) -> bool:
        """Whether bars of `target` can be built from bars of this interval, exactly and without inventing anything."""
        if self == target:
            return True
        if self.is_intraday and target.is_intraday:
            return target.ns % self.ns == 0
        return self.ns < target.ns

    def __lt__(self, other: Interval) -> bool:
        return self.ns < other.ns

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


DAY = Interval(1, "d")
"""A bar a session."""


def best_base(required: Iterable[Interval], available: Iterable[Interval]) -> Interval | None:
    """The coarsest available interval that every required one derives from (the least data to load), or None."""
    wanted = list(required)
    serving = [base for base in available if all(base.derives(target) for target in wanted)]
    return max(serving, key=lambda base: base.ns, default=None)


def unserved(required: Iterable[Interval], available: Iterable[Interval]) -> tuple[Interval, ...]:
    """Required intervals that no single available one serves, sorted; empty where each has a base of its own."""
    bases = list(available)
    return tuple(sorted(target for target in set(required) if not any(base.derives(target) for base in bases)))
