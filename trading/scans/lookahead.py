"""Whether a scan looks ahead: it is evaluated again without the bars after a time, and with others, and what it found
at that time must stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from barray.market.bars import COLUMNS, PRICE_COLUMNS, Bars, IntArray
from barray.market.errors import ConfigError
from barray.market.universe.bars import UniverseBars
from barray.market.universe.rows import kept
from barray.trading.scans.bars import ScanBars
from barray.trading.scans.evaluate import evaluate
from barray.trading.scans.hits import Hits, SessionHits
from barray.trading.scans.plan import Plan

Future = Literal["cut off", "raised", "lowered", "shuffled"]
_FACTORS = {"raised": 1.7, "lowered": 0.6}


@dataclass(frozen=True)
class ScanDifference:
    """What another future changed at a time (UTC ns): `true` and `other` tell what was found with either."""

    at_ns: int
    future: Future
    true: str
    other: str


@dataclass(frozen=True)
class ScanLookahead:
    """What came of it. `tried`: times at which it was evaluated again; `error`: why it could not be told at all."""

    scan: str
    tried: int
    differences: tuple[ScanDifference, ...] = ()
    error: str | None = None

    @property
    def honest(self) -> bool:
        """Whether it was told, and nothing differs."""
        return self.error is None and not self.differences


def lookahead(
    plan: Plan,
    bars: ScanBars,
    *,
    members: Collection[str] | None = None,
    most_times: int | None = None,
    seed: int = 0,
) -> ScanLookahead:
    """Compare a scan's hits of a session, each with what is found where the bars that close later are cut off, raised,
    lowered and shuffled. `most_times`: so many of its times, chosen by `seed`; all by default. ConfigError where that
    is below 1.
    """
    if most_times is not None and most_times < 1:
        raise ConfigError(f"most_times is {most_times}", remedy="give a whole number above 0")
    rng = np.random.default_rng(seed)
    whole = evaluate(plan, bars, None, members)
    if whole.failure is not None:
        return ScanLookahead(plan.name, 0, error=whole.failure.reason)
    if (again := _change(whole.hits, evaluate(plan, bars, None, members))) is not None:
        reason = f"it finds {again[1]} after {again[0]} on the same bars: give what is random a fixed seed"
        return ScanLookahead(plan.name, 0, error=reason)
    chosen = np.arange(len(whole.hits))
    if most_times is not None and most_times < len(chosen):
        chosen = np.sort(rng.choice(chosen, most_times, replace=False))
    differences = []
    for k in chosen.tolist():
        hits = whole.hits[k]
        for future, other in futures(bars, hits.at_ns, rng):
            now = evaluate(plan, other, np.array([hits.at_ns]), members)
            if (change := _change((hits,), now)) is not None:
                differences.append(ScanDifference(hits.at_ns, future, *change))
    return ScanLookahead(plan.name, len(chosen), tuple(differences))


def futures(bars: ScanBars, at_ns: int, rng: np.random.Generator) -> Iterator[tuple[Future, ScanBars]]:
    """The same bars up to a time, with other ones after it: none, and three that are as whole as the true ones."""
    days = bars.days
    yield "cut off", replace(bars, base=_cut(bars.base, at_ns), days=days if days is None else _cut(days, at_ns))
    for future, factor in _FACTORS.items():
        base = _altered(bars.base, at_ns, factor, None)
        yield (
            _named(future),
            replace(bars, base=base, days=days if days is None else _altered(days, at_ns, factor, None)),
        )
    base = _altered(bars.base, at_ns, 1.0, rng)
    yield "shuffled", replace(bars, base=base, days=days if days is None else _altered(days, at_ns, 1.0, rng))


def _named(future: str) -> Future:
    return "raised" if future == "raised" else "lowered"


def _cut(stack: UniverseBars, at_ns: int) -> UniverseBars:
    return kept(stack, stack.end_ns <= at_ns)


def _altered(stack: UniverseBars, at_ns: int, factor: float, rng: np.random.Generator | None) -> UniverseBars:
    later = np.flatnonzero(stack.end_ns > at_ns)
    columns = {name: getattr(stack.bars, name).copy() for name in COLUMNS}
    source: IntArray = later if rng is None else rng.permutation(later)
    for name, column in columns.items():
        column[later] = column[source] * (factor if name in PRICE_COLUMNS else factor * factor)
    return replace(stack, bars=Bars(stack.bars.start_ns, *(columns[name] for name in COLUMNS)))


def _change(true: tuple[Hits, ...], other: SessionHits) -> tuple[str, str] | None:
    """What is found in either, where it is not the same."""
    for number, hits in enumerate(true):
        if number >= len(other.hits):
            reason = other.failure.reason.strip().splitlines()[-1] if other.failure else "nothing"
            return _told(hits), f"an error: {reason}"
        found = other.hits[number]
        if hits.symbols != found.symbols:
            return _told(hits), _told(found)
        if not np.array_equal(hits.scores, found.scores, equal_nan=True):
            return f"scores {hits.scores[:5].tolist()}", f"scores {found.scores[:5].tolist()}"
    return None


def _told(hits: Hits) -> str:
    more = f" and {len(hits) - 5} more" if len(hits) > 5 else ""
    return ", ".join(hits.symbols[:5]) + more if len(hits) else "none"
