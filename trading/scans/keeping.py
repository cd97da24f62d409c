"""Who is kept of those found, and who of these becomes a full symbol: what `top` and `full` say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from barray.market.errors import ConfigError
from barray.market.indicators import IndicatorSpec

Evict = Literal["rank", "never"]


@dataclass(frozen=True)
class Keep:
    """The `n` best by rank are taken in, and one that is in stays while its place is at most `leave`."""

    n: int
    leave: int

    def leave_below(self, place: int) -> Keep:
        """Stay down to this place, so that small moves around `n` change nothing; ConfigError for one above `n`."""
        if not _is_count(place) or place < self.n:
            raise ConfigError(
                f"top({self.n}).leave_below({place!r}) lets go of what it takes in",
                remedy=f"give a whole number from {self.n} on",
            )
        return replace(self, leave=place)


@dataclass(frozen=True)
class Promote:
    """At most `n` of those kept become full symbols, and at most `light` others adhoc ones, the best by rank first.

    `evict`: `rank` where the worst of those promoted leaves for a better one, `never` where the first `n` stay.
    """

    n: int
    evict: Evict = "never"
    light: int = 200


@dataclass(frozen=True)
class Rules:
    """All that follows a scan's findings. `universe`, `times`: as the scan writes them; `digest`: of its code and
    parameters. In these three nothing is decided: they say which scan it was.
    """

    name: str
    keep: Keep | None = None
    promote: Promote | None = None
    carry: tuple[IndicatorSpec, ...] = ()
    universe: str = ""
    times: str = ""
    digest: str = ""


def top(n: int) -> Keep:
    """Keep the `n` best by the scan's `rank`: `top(50).leave_below(80)`; ConfigError for no whole number above 0."""
    if not _is_count(n):
        raise ConfigError(f"top takes a whole number above 0, not {n!r}", remedy="write top(50)")
    return Keep(n, n)


def full(n: int, evict: Evict = "never", *, light: int = 200) -> Promote:
    """Promote the `n` best of those kept to full symbols, the next `light` to adhoc ones; see Promote. ConfigError for
    what are no whole numbers, or no way to evict.
    """
    if not _is_count(n) or not (light == 0 or _is_count(light)):
        raise ConfigError(f"full({n!r}, light={light!r}): both are whole numbers", remedy="write full(20)")
    if evict not in ("rank", "never"):
        raise ConfigError(f"evict is {evict!r}", remedy="choose rank or never")
    return Promote(n, evict, light)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
