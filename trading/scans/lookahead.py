"""Whether a scan looks ahead: it is evaluated again without the bars after a time, and with others, and what it found
at that time must stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

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
_MOST_TOLD = 5
_HINT = (
    "hint: look in own indicators and scan(panel) for [i + 1], shift(-1), a maximum or mean of the whole array, a value"
    " carried back"
)


@dataclass(frozen=True)
class ScanDifference:
    """What another future changed at a time (UTC ns): `true` and `other` tell what was found with either. `symbol`: the
    first that is found with one of them alone, or with another score; None where the scan raised.
    """

    at_ns: int
    future: Future
    symbol: str | None
    true: str
    other: str

    def told(self, timezone: str) -> str:
        """In a sentence."""
        when = datetime.fromtimestamp(self.at_ns / 1_000_000_000, ZoneInfo(timezone))
        whose = "" if self.symbol is None else f"{self.symbol}: "
        return f"{when:%Y-%m-%d %H:%M}: {whose}found {self.true}, and with what comes later {self.future}, {self.other}"


@dataclass(frozen=True)
class ScanLookahead:
    """What came of it. `tried`: times at which it was evaluated again, `hits`: how many it found at these; `error`: why
    it could not be told at all.
    """

    scan: str
    tried: int
    hits: int = 0
    differences: tuple[ScanDifference, ...] = ()
    error: str | None = None
    timezone: str = "UTC"

    @property
    def honest(self) -> bool:
        """Whether it was told, and nothing differs."""
        return self.error is None and not self.differences

    @property
    def verdict(self) -> str:
        """`ok`, `looks ahead`, or `can't tell`, also where nobody was found."""
        if self.differences:
            return "looks ahead"
        return "ok" if self.error is None and self.hits else "can't tell"

    @property
    def ok(self) -> bool:
        """Whether it finds nobody by what comes later."""
        return self.verdict == "ok"

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report for people."""
        if self.error is not None:
            return (f"{self.scan}: can't tell: {self.error}",)
        checked = f"{self.hits} hits at {self.tried} times, each with four other futures"
        if self.differences:
            told = [one.told(self.timezone) for one in self.differences[:_MOST_TOLD]]
            more = len(self.differences) - len(told)
            return (
                f"{self.scan}: the scan looks ahead ({checked})",
                *told,
                *([f"and {more} more"] if more else []),
                _HINT,
            )
        if not self.hits:
            return (f"{self.scan}: can't tell: it found nobody at {self.tried} times: nothing was checked",)
        return (f"{self.scan}: no hit depends on the future ({checked})",)

    def joined(self, other: ScanLookahead) -> ScanLookahead:
        """With what came of another session."""
        return replace(
            self,
            tried=self.tried + other.tried,
            hits=self.hits + other.hits,
            differences=self.differences + other.differences,
            error=self.error or other.error,
        )


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
        return ScanLookahead(plan.name, 0, error=whole.failure.reason.strip())
    if (again := _change(whole.hits, evaluate(plan, bars, None, members))) is not None:
        reason = f"it finds {again[2]} after {again[1]} on the same bars: give what is random a fixed seed"
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
    found = sum(len(whole.hits[k]) for k in chosen.tolist())
    return ScanLookahead(plan.name, len(chosen), found, tuple(differences), timezone=bars.timezone)


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


def _change(true: tuple[Hits, ...], other: SessionHits) -> tuple[str | None, str, str] | None:
    """What is found in either, where it is not the same, and the first symbol of which that holds."""
    for number, hits in enumerate(true):
        if number >= len(other.hits):
            reason = other.failure.reason.strip().splitlines()[-1] if other.failure else "nothing"
            return None, _told(hits), f"an error: {reason}"
        found = other.hits[number]
        if hits.symbols != found.symbols:
            lone = sorted(set(hits.symbols).symmetric_difference(found.symbols))
            moved = [one for one, now in zip(hits.symbols, found.symbols, strict=False) if one != now]
            return [*lone, *moved][0], _told(hits), _told(found)
        same = (hits.scores == found.scores) | (np.isnan(hits.scores) & np.isnan(found.scores))
        if not same.all():
            at = int(np.argmin(same))
            return hits.symbols[at], f"score {hits.scores[at]:g}", f"score {found.scores[at]:g}"
    return None


def _told(hits: Hits) -> str:
    more = f" and {len(hits) - 5} more" if len(hits) > 5 else ""
    return ", ".join(hits.symbols[:5]) + more if len(hits) else "none"
