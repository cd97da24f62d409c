"""Who is kept and promoted from time to time of a session: hits in, instructions out. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from barray.market.errors import IllegalTransition
from barray.market.indicators import IndicatorSpec
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, Instruction, LetGo, PromoteSymbol
from barray.trading.scans.keeping import Keep, Promote, Rules
from barray.trading.scans.plan import Plan

_LAST = 1 << 60


@dataclass(frozen=True)
class Visit:
    """A symbol that a scan kept. Times are UTC ns; `place` and `values`: its rank, from 1, and the numbers compared,
    when it came in; `best`: its best place since. `until_ns` and `why`: when it left, and why; None while it is kept.
    """

    scan: str
    symbol: str
    since_ns: int
    place: int
    values: Mapping[str, float]
    best: int
    until_ns: int | None = None
    why: str | None = None

    @property
    def told(self) -> str:
        """Why it came in, and why it left."""
        came = f"place {self.place}: {told_of(self.values)}"
        return came if self.why is None else f"{came}; left: {self.why}"


def told_of(values: Mapping[str, float | str | None]) -> str:
    """Numbers compared, by terms' texts, for people."""
    return ", ".join(f"{name} is {_value(one)}" for name, one in values.items())


def _value(value: float | str | None) -> str:
    if value is None or value != value:  # noqa: PLR0124  # NaN
        return "not known"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Following:
    """One scan's symbols. `kept`: place by symbol, those that are in now. `promoted`: place by symbol, as it was last
    found; also of those that left, until their place is needed. `light`: others that are adhoc symbols.
    """

    def __init__(self, plan: Plan | Rules) -> None:
        self.plan = plan
        self.kept: dict[str, int] = {}
        self.promoted: dict[str, int] = {}
        self.light: tuple[str, ...] = ()
        self.visits: list[Visit] = []
        self._open: dict[str, int] = {}

    def follow(self, hits: Hits, pinned: Collection[str], refused: Collection[str]) -> None:
        """Take in what was found at a time, let go of what is no longer good enough, and choose whom to promote."""
        places = {symbol: place for place, symbol in enumerate(hits.symbols, 1)}
        kept = _kept(places, self.kept, self.plan.keep)
        for symbol in self.kept.keys() - kept.keys():
            self._leaves(symbol, hits.at_ns, places.get(symbol))
        for symbol, place in kept.items():
            self._stays_or_comes(symbol, place, hits)
        self.kept = kept
        if self.plan.promote is not None:
            chosen = _promoted(kept, self.promoted, self.plan.promote, pinned, refused)
            self.promoted = {symbol: kept.get(symbol, _LAST) for symbol in chosen}
            others = [symbol for symbol in kept if symbol not in self.promoted]
            self.light = tuple(others[: self.plan.promote.light])

    def _stays_or_comes(self, symbol: str, place: int, hits: Hits) -> None:
        if symbol not in self._open:
            self._open[symbol] = len(self.visits)
            row = place - 1
            values = {name: float(column[row]) for name, column in hits.values.items()}
            self.visits.append(Visit(self.plan.name, symbol, hits.at_ns, place, values, place))
        elif place < (visit := self.visits[self._open[symbol]]).best:
            self.visits[self._open[symbol]] = replace(visit, best=place)

    def _leaves(self, symbol: str, at_ns: int, place: int | None) -> None:
        at = self._open.pop(symbol)
        keep = self.plan.keep
        why = "no longer found" if place is None or keep is None else f"place {place}, beyond {keep.leave}"
        self.visits[at] = replace(self.visits[at], until_ns=at_ns, why=why)


class ScanState:
    """All scans of a session. `step` takes what they found at one time; a scan that ended is left out of it, and what
    it wanted stays as it was. A symbol that several want is promoted once, and named by all.
    """

    def __init__(self, plans: Iterable[Plan | Rules]) -> None:
        self.scans = {plan.name: Following(plan) for plan in plans}
        self.full: dict[str, tuple[str, ...]] = {}
        self.adhoc: dict[str, tuple[str, ...]] = {}
        self.refused: dict[str, str] = {}
        self._now_ns = 0

    def step(self, found: Sequence[tuple[str, Hits]], pinned: Collection[str] = ()) -> tuple[Instruction, ...]:
        """What the session is to do after these scans (by name) found these, all at one time, in this order.

        `pinned`: symbols that must not be evicted, such as those with a position. IllegalTransition where time would
        go back, and then nothing is changed.
        """
        times = {hits.at_ns for _, hits in found}
        if not found:
            return ()
        if len(times) > 1 or (now_ns := times.pop()) < self._now_ns:
            raise IllegalTransition("scans are followed one time after another")
        self._now_ns = now_ns
        for name, hits in found:
            self.scans[name].follow(hits, pinned, self.refused)
        return tuple(self._changes(now_ns))

    def refuse(self, symbol: str, reason: str) -> None:
        """The session could not promote a symbol: its place is free at the next time, and it is not asked for again."""
        self.refused[symbol] = reason
        self.full.pop(symbol, None)
        for scan in self.scans.values():
            scan.promoted.pop(symbol, None)

    @property
    def history(self) -> tuple[Visit, ...]:
        """Who was kept when, in order of time, scans, places."""
        order = {name: number for number, name in enumerate(self.scans)}
        every = (visit for scan in self.scans.values() for visit in scan.visits)
        return tuple(sorted(every, key=lambda one: (one.since_ns, order[one.scan], one.place)))

    def _changes(self, now_ns: int) -> list[Instruction]:
        full = self._wanted(lambda scan: scan.promoted)
        light = self._wanted(lambda scan: [one for one in scan.light if one not in full])
        for name, scan in self.scans.items():
            for symbol in scan.light:
                if symbol in full and name not in full[symbol]:
                    full[symbol] = (*full[symbol], name)
        done: list[Instruction] = []
        for symbol, by in self.full.items():
            if symbol not in full:
                done.append(Evict(symbol, now_ns, by, self._why_evicted(symbol, by)))
        for symbol, by in self.adhoc.items():
            if symbol not in light and symbol not in full:
                done.append(LetGo(symbol, now_ns, by, "no longer kept"))
        for symbol, by in full.items():
            asked = now_ns, by, self._why(symbol, by), self._carried(by)
            if symbol not in self.full:
                done.append(PromoteSymbol(symbol, *asked))
            elif more := _more(by, self.full[symbol]):
                done.append(AlsoWanted(symbol, now_ns, more, self._why(symbol, more), self._carried(more)))
        for symbol, by in light.items():
            if symbol not in self.adhoc:
                done.append(AddAdhoc(symbol, now_ns, by, self._why(symbol, by), self._carried(by)))
            elif more := _more(by, self.adhoc[symbol]):
                done.append(AlsoWanted(symbol, now_ns, more, self._why(symbol, more), self._carried(more)))
        self.full, self.adhoc = full, light
        return done

    def _wanted(self, of: Callable[[Following], Iterable[str]]) -> dict[str, tuple[str, ...]]:
        """Symbols, the best placed first within each scan, and the scans that want each."""
        found: dict[str, tuple[str, ...]] = {}
        for name, scan in self.scans.items():
            for symbol in of(scan):
                found[symbol] = (*found.get(symbol, ()), name)
        return found

    def _carried(self, by: Iterable[str]) -> tuple[IndicatorSpec, ...]:
        return tuple({spec.key: spec for name in by for spec in self.scans[name].plan.carry}.values())

    def _why(self, symbol: str, by: Iterable[str]) -> str:
        told = [f"{name}: place {self.scans[name].kept[symbol]}" for name in by if symbol in self.scans[name].kept]
        return "; ".join(told) or "promoted before"

    def _why_evicted(self, symbol: str, by: Iterable[str]) -> str:
        told = []
        for name in by:
            place = self.scans[name].kept.get(symbol)
            told.append(f"{name}: " + ("no longer found" if place is None else f"place {place}, others are better"))
        return "; ".join(told)


def _kept(places: Mapping[str, int], before: Mapping[str, int], keep: Keep | None) -> dict[str, int]:
    """Who is kept, with their places, the best first."""
    if keep is None:
        return dict(places)
    within = list(places.items())[: keep.leave]
    return {symbol: place for symbol, place in within if place <= keep.n or symbol in before}


def _promoted(
    kept: Mapping[str, int],
    before: Mapping[str, int],
    promote: Promote,
    pinned: Collection[str],
    refused: Collection[str],
) -> list[str]:
    """Who is to be promoted. Those that were stay where nobody else needs their place."""
    staying = [one for one in before if promote.evict == "never" or one in pinned][: promote.n]
    able = [one for one in kept if one not in refused and one not in staying]
    left = [one for one in sorted(before, key=lambda one: before[one]) if one not in kept and one not in staying]
    chosen = [*staying, *[*able, *left][: promote.n - len(staying)]]
    return sorted(chosen, key=lambda one: (kept.get(one, _LAST), one))


def _more(by: Sequence[str], before: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in by if name not in before)
