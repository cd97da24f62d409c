"""Whether a strategy has enough history: it decides again with more and with less of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from barray.market.bars import FloatArray, format_ns
from barray.trading.checks.decisions import Decisions, changed_ns, decisions_of
from barray.trading.engine.commands import Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData

TOLERANCE = 1e-3
"""Relative difference of an indicator's values from which on it counts as not converged."""


@dataclass(frozen=True)
class HistoryEffect:
    """What `sessions` sessions of history (the most that any session has) change: `changed` times of decisions, the
    first at `first_ns` (UTC ns, -1 for none) from `decided` to `instead`. `error`: the strategy raised.
    """

    sessions: int
    changed: int
    first_ns: int = -1
    decided: str = ""
    instead: str = ""
    error: str | None = None


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
    def ok(self) -> bool:
        """Whether more history was tried, changes no decision, and leaves the indicators as they are."""
        unchanged = all(not effect.changed and effect.error is None for effect in self.more)
        return self.error is None and unchanged and all(one.ok for one in self.indicators)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report for people."""
        if self.error is not None:
            return (f"{self.symbol}: {self.error}",)
        lines = []
        for effect in (*self.more, *self.less):
            compared = f"with {effect.sessions} sessions of history instead of {self.sessions}"
            if effect.error is not None:
                lines.append(f"{compared} the strategy raises an error:\n{effect.error}")
            elif not effect.changed:
                lines.append(f"{compared} all {self.decisions} decisions are the same")
            else:
                lines.append(
                    f"{compared} decisions change at {effect.changed} times, first at {format_ns(effect.first_ns)}:"
                    f" {effect.decided} becomes {effect.instead}"
                )
        for one in self.indicators:
            if np.isinf(one.difference):
                lines.append(f"{one.name} ({one.key}) has no value yet when a session begins")
            elif not one.ok:
                lines.append(f"{one.name} ({one.key}) is off by {one.difference:.2%} when a session begins")
        if not self.ok:
            lines.append("raise trailing_days until more history changes nothing")
        return tuple(f"{self.symbol}: {line}" for line in lines)


def warmup(
    loaded: LoadedRange, plan: Plan, *, more: Sequence[float] = (2, 4), less: Sequence[float] = (0.5,)
) -> WarmupReport:
    """Compare decisions over the history that the range asks for with those over `more` and `less` times as much.

    `loaded.base` must reach back far enough: as many sessions before the first as `more` asks for; what lacks is left
    out. ConfigError for a form that sees all symbols.
    """
    history = loaded.session_range.history
    given = max(row - start for row, start in history.items())
    data, decided = _run(loaded, plan)
    report = WarmupReport(loaded.symbol, given, len(decided))
    if decided.error is not None:
        return replace(report, error=f"the strategy raised an error:\n{decided.error}")
    reach = min(history) - _first_session(loaded)
    possible = sorted({min(_times(given, factor), reach) for factor in more} - set(range(given + 1)))
    if not possible:
        why = f"no session is loaded before the {given} of its history; load more to compare with"
        return replace(report, error=why)
    longer = [_run(loaded, plan, length / max(given, 1)) for length in possible]
    fewer = sorted({_times(given, factor) for factor in less} - {given}, reverse=True)
    shorter = [_run(loaded, plan, length / max(given, 1)) for length in fewer]
    return replace(
        report,
        more=tuple(_effect(length, decided, other) for length, (_, other) in zip(possible, longer, strict=True)),
        less=tuple(_effect(length, decided, other) for length, (_, other) in zip(fewer, shorter, strict=True)),
        indicators=tuple(_convergence(name, data, longer[-1][0]) for name in data.indicators),
    )


def _run(loaded: LoadedRange, plan: Plan, factor: float = 1) -> tuple[SymbolData, Decisions]:
    """The data and decisions with so many times the history, as far as it is loaded."""
    session_range, first = loaded.session_range, _first_session(loaded)
    history = {row: max(row - _times(row - start, factor), first) for row, start in session_range.history.items()}
    begin = int(np.searchsorted(loaded.base.session, min(history.values())))
    changed = replace(
        loaded,
        base=loaded.base.take(slice(begin, len(loaded.base))),
        session_range=replace(session_range, history=history),
    )
    data = changed.prepare(plan.strategy())
    return data, decisions_of(plan, data, session_range.timezone)


def _first_session(loaded: LoadedRange) -> int:
    return int(loaded.base.session[0])


def _times(sessions: int, factor: float) -> int:
    return round(max(sessions, 1) * factor) if factor != 1 else sessions


def _effect(sessions: int, decided: Decisions, other: Decisions) -> HistoryEffect:
    changed = changed_ns(decided, other)
    if not len(changed):
        return HistoryEffect(sessions, 0, error=other.error)
    first_ns = int(changed[0])
    return HistoryEffect(sessions, len(changed), first_ns, decided.at(first_ns), other.at(first_ns), other.error)


def _convergence(name: str, data: SymbolData, longest: SymbolData) -> Convergence:
    spec = data.specs[name]
    ours, theirs = _at_session_starts(name, data), _at_session_starts(name, longest)
    with np.errstate(invalid="ignore"):
        size = float(np.nanmedian(np.abs(theirs))) if not np.isnan(theirs).all() else 0.0
        apart = np.abs(ours - theirs) / (size or 1.0)
    unlike = np.where(np.isnan(ours) & np.isnan(theirs), 0.0, np.where(np.isnan(apart), np.inf, apart))
    return Convergence(name, spec.key, float(unlike.max(initial=0.0)))


def _at_session_starts(name: str, data: SymbolData) -> FloatArray:
    """The values known at the close of the first main bar of each traded session; NaN where none is."""
    first = np.searchsorted(data.session, data.traded)
    first = first[first < len(data.session)]
    rows = data.visible(data.specs[name].interval)[first] - 1
    values = data.indicators[name]
    known: FloatArray = (
        np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan) if len(values) else np.full(len(rows), np.nan)
    )
    return known
