"""Whether a strategy has enough history: it decides again with more and with less of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from barray.market.bars import FloatArray, format_ns
from barray.market.interval import Interval
from barray.trading.checks.decisions import Decisions, changed_ns, told_apart
from barray.trading.checks.history import first_session, known_at, median_size, run_with, times
from barray.trading.checks.subject import Subject
from barray.trading.checks.ties import Ties
from barray.trading.engine.commands import Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData

Verdict = Literal["ok", "too little history", "can't tell"]
TOLERANCE = 1e-3
"""Relative difference of an indicator's values from which on it counts as not converged."""


@dataclass(frozen=True)
class HistoryEffect:
    """What `sessions` sessions of history (the most that any session has) change: `changed` times of decisions, the
    first at `first_ns` (UTC ns, -1 for none) from `decided` to `instead`. `error`: the strategy raised.

    At `ties` more times, the first at `tie_ns`, rounding decides: the indicators are the same but for it, and changing
    every price by a ten-billionth changes the decision too, as where two averages are exactly equal.
    """

    sessions: int
    changed: int
    first_ns: int = -1
    decided: str = ""
    instead: str = ""
    error: str | None = None
    ties: int = 0
    tie_ns: int = -1


@dataclass(frozen=True)
class Convergence:
    """How far an indicator is from its values with the most history, at the first bar of each traded session.

    `difference`: the largest, relative to its median size; infinite where it has no value yet.
    """

    name: str
    key: str
    difference: float

    @property
    def ok(self) -> bool:
        """Whether it has converged."""
        return self.difference <= TOLERANCE


@dataclass(frozen=True)
class WarmupReport:
    """What more and less history than `sessions` sessions do to `decisions` decisions; `error`: why none was tried."""

    symbol: str
    sessions: int
    decisions: int
    more: tuple[HistoryEffect, ...] = ()
    less: tuple[HistoryEffect, ...] = ()
    indicators: tuple[Convergence, ...] = ()
    error: str | None = None

    @property
    def verdict(self) -> Verdict:
        """`can't tell` where no longer history was tried, or nothing decided with any."""
        if self.error is not None:
            return "can't tell"
        if any(effect.changed or effect.error for effect in self.more) or not all(one.ok for one in self.indicators):
            return "too little history"
        return "ok" if self.decisions else "can't tell"

    @property
    def ok(self) -> bool:
        """Whether more history was tried, changes no decision (but ties), and leaves the indicators as they are."""
        return self.verdict == "ok"

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report for people."""
        if self.error is not None:
            return (f"{self.symbol}: {self.error}",)
        lines = [line for effect in (*self.more, *self.less) for line in self._told(effect)]
        for one in self.indicators:
            if np.isinf(one.difference):
                lines.append(f"{one.name} ({one.key}) has no value yet when a session begins")
            elif not one.ok:
                lines.append(f"{one.name} ({one.key}) is off by {one.difference:.2%} when a session begins")
        if self.verdict == "too little history":
            lines.append("raise trailing_days until more history changes nothing")
        return tuple(f"{self.symbol}: {line}" for line in lines)

    def _told(self, effect: HistoryEffect) -> list[str]:
        compared = f"with {effect.sessions} sessions of history instead of {self.sessions}"
        if effect.error is not None:
            return [f"{compared} the strategy raises an error:\n{effect.error}"]
        if not effect.changed and not effect.ties:
            if not self.decisions:
                return [f"{compared} the strategy decides nothing either: nothing was compared"]
            return [f"{compared} all {self.decisions} decisions are the same"]
        lines = []
        if effect.changed:
            lines.append(
                f"{compared} decisions change at {effect.changed} times, first at {format_ns(effect.first_ns)}:"
                f" {effect.decided} becomes {effect.instead}"
            )
        if effect.ties:
            lines.append(
                f"{compared} decisions change at {effect.ties} times where rounding decides, first at"
                f" {format_ns(effect.tie_ns)}: a tie, two values that are compared are equal there; that is no lack of"
                " history, and a margin between them makes it certain"
            )
        return lines


def warmup(
    loaded: LoadedRange | Sequence[LoadedRange],
    plan: Plan,
    *,
    window: Interval | None = None,
    more: Sequence[float] = (2, 4),
    less: Sequence[float] = (0.5,),
) -> WarmupReport:
    """Compare decisions over the history that the range asks for with those over `more` and `less` times as much.

    `loaded`: a symbol's bars, or those of all symbols that the plan sees or pays for together; `window`: see
    barray.trading.checks.portfolio. They must reach back far enough: as many sessions before the first as `more` asks
    for; what lacks is left out.
    """
    subject = Subject.of(loaded, plan, window)
    history = subject.session_range.history
    given = max(row - start for row, start in history.items())
    data, decided = run_with(subject)
    report = WarmupReport(subject.name, given, len(decided))
    if decided.error is not None:
        return replace(report, error=f"the strategy raised an error:\n{decided.error}")
    reach = min(history) - first_session(subject)
    possible = sorted({min(times(given, factor), reach) for factor in more} - set(range(given + 1)))
    if not possible:
        why = f"no session is loaded before the {given} of its history; load more to compare with"
        return replace(report, error=why)
    longer = [run_with(subject, length / max(given, 1)) for length in possible]
    fewer = sorted({times(given, factor) for factor in less} - {given}, reverse=True)
    shorter = [run_with(subject, length / max(given, 1)) for length in fewer]
    ties = Ties(subject, data, decided)
    return replace(
        report,
        more=tuple(_effect(length, ties, *other) for length, other in zip(possible, longer, strict=True)),
        less=tuple(_effect(length, ties, *other) for length, other in zip(fewer, shorter, strict=True)),
        indicators=tuple(_convergence(name, data, longer[-1][0]) for name in data[0].indicators),
    )


def _effect(sessions: int, ties: Ties, data: Sequence[SymbolData], other: Decisions) -> HistoryEffect:
    decided = ties.decided
    changed = changed_ns(decided, other)
    tied = ties.among(changed, data)
    real = np.setdiff1d(changed, tied)
    effect = HistoryEffect(sessions, len(real), error=other.error, ties=len(tied))
    if len(tied):
        effect = replace(effect, tie_ns=int(tied[0]))
    if len(real):
        first_ns = int(real[0])
        symbol, now, instead = told_apart(decided, other, first_ns)
        effect = replace(effect, first_ns=first_ns, decided=f"{symbol}: {now}" if symbol else now, instead=instead)
    return effect


def _convergence(name: str, data: Sequence[SymbolData], longest: Sequence[SymbolData]) -> Convergence:
    """Of the symbol that is furthest off."""
    apart = max(_apart(name, own, other) for own, other in zip(data, longest, strict=True))
    return Convergence(name, data[0].specs[name].key, apart)


def _apart(name: str, data: SymbolData, longest: SymbolData) -> float:
    ours, theirs = _at_session_starts(name, data), _at_session_starts(name, longest)
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - theirs) / (median_size(theirs) or 1.0)
    unlike = np.where(np.isnan(ours) & np.isnan(theirs), 0.0, np.where(np.isnan(apart), np.inf, apart))
    return float(unlike.max(initial=0.0))


def _at_session_starts(name: str, data: SymbolData) -> FloatArray:
    """The values known at the close of the first main bar of each traded session; NaN where none is."""
    first = np.searchsorted(data.session, data.traded)
    return known_at(name, data, data.bars.end_ns[first[first < len(data.session)]])
