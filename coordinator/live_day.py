"""A live day as a state machine: what happened in, instructions out. No Ray, no network, no clock, nothing awaited.

A minute is over → its bars are waited for, `grace_s` at most → symbols get theirs and time goes on → are the bars up to
here whole? They are while one connection flows; after a cut, a silence or a symbol's joining they are fetched from
history, side by side, and whole again once that is done. After the close corrections are heard for `close_s`, then the
whole day is compared with history.

Owned here: which minutes are still to come, the bars heard and not yet handed on, up to when bars are whole, how the
stream fares, and the counts. Times are session time (UTC ns), but for what is waited for in real seconds.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from barray.coordinator.config.model import LiveSection
from barray.data_sources.fetching.stream import Heard
from barray.data_sources.fetching.vendor_source import Wanted
from barray.market.bars import Bars, IntArray
from barray.market.commands import Appended, Rejected, Report
from barray.market.interval import Interval
from barray.market.validation import Reason

logger = logging.getLogger(__name__)
MINUTE = Interval(1, "m")
LOOK_S = 0.05
"""Real seconds between two looks at a stream that something is due from."""
REST_S = 0.5
"""The same where nothing is due: a lost connection or gateway is still noticed."""


@dataclass(frozen=True, eq=False)
class Looked:
    """What the stream has said since the last look (None: nobody listens any more), when, and who is full then.

    `at_s`: real seconds from any origin. `universe`: symbols that scans look at, full or not.
    """

    heard: Heard | None
    now_ns: int
    at_s: float
    full: frozenset[str]
    universe: frozenset[str] = frozenset()

    @property
    def watched(self) -> frozenset[str]:
        """All whose bars are wanted."""
        return self.full | self.universe


@dataclass(frozen=True)
class Subscribe:
    """Have bars of these symbols collected from now on."""

    symbols: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AdvanceTo:
    """Give symbols their bars, and let time go on to `to_ns`. `received_ns`: when each bar came, by symbol."""

    to_ns: int
    bars: Mapping[str, Bars]
    received_ns: Mapping[str, IntArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Fill:
    """Fetch what the vendor's history has of these symbols. `connections`: under which of them it was asked for;
    `universe`: it is for symbols that are looked at, and not full.
    """

    symbols: tuple[str, ...]
    wanted: Wanted
    connections: int
    universe: bool = False


@dataclass(frozen=True)
class NoteStream:
    """Put it down as an event of the session: bars have stopped coming, or come again (`flows`)."""

    reason: str
    flows: bool


@dataclass(frozen=True)
class WaitUntil:
    """Nothing is due before then."""

    to_ns: int


@dataclass(frozen=True)
class Wait:
    """Look again after so many real seconds."""

    seconds: float


Instruction = Subscribe | AdvanceTo | Fill | NoteStream | WaitUntil | Wait


@dataclass
class LiveCounts:
    """What the stream brought so far. `late`: after their minute; `replaced`: corrections; `filled`: from history."""

    bars: int = 0
    late: int = 0
    replaced: int = 0
    refused: int = 0
    filled: int = 0
    gaps: int = 0


@dataclass(eq=False)
class _Whole:
    """Up to when some symbols' bars are whole. `connections`: how many there had been then; `seen`, `seen_ns`: how many
    there have been, and when the last was first seen; `filling`: what is being fetched; `undisturbed`: nothing has gone
    wrong since the day began.
    """

    complete_ns: int
    connections: int = 0
    seen: int = 0
    seen_ns: int = 0
    filling: Fill | None = None
    undisturbed: bool = True

    def see(self, connections: int, now_ns: int) -> None:
        """So many connections there have been."""
        if connections != self.seen:
            self.seen, self.seen_ns = connections, now_ns

    def forget(self) -> None:
        """Whatever flows now, what closed before it did has to be fetched, by a fill that is still to be asked for."""
        self.connections = self.seen = 0
        self.undisturbed = False
        if self.filling is not None:
            self.filling = replace(self.filling, connections=-1)

    def flow(self, connections: int) -> bool:
        """Whether all has come that closed since they were whole: by the connection of then, or by one that was there a
        minute before.
        """
        if self.undisturbed and connections == self.seen and self.seen_ns + MINUTE.ns <= self.complete_ns:
            self.connections = connections
        return connections == self.connections

    def is_filled(self, fill: Fill) -> bool:
        """Whether they are whole now: if the stream has been there for a minute. What closed while it connected may
        have come to history a little later.
        """
        if fill.connections != self.seen or fill.wanted.end_ns < self.seen_ns + MINUTE.ns:
            return False
        self.complete_ns, self.connections = fill.wanted.end_ns, fill.connections
        return True


class LiveDay:
    """From `now_ns` to `close_ns`. `scans_ns`: when scans run; the universe's bars, too, are waited for then."""

    def __init__(
        self,
        settings: LiveSection,
        open_ns: int,
        close_ns: int,
        now_ns: int,
        scans_ns: frozenset[int] = frozenset(),
    ) -> None:
        self._settings = settings
        self._scans_ns = scans_ns
        self._open_ns, self._close_ns = open_ns, close_ns
        self._counts = LiveCounts()
        self._heard = Heard()
        self._stale = False
        self._begun_ns = now_ns
        self._full, self._universe = _Whole(now_ns), _Whole(now_ns)
        self._pending: dict[str, list[tuple[int, Bars]]] = {}
        self._looked_ns = now_ns
        self._newest: dict[str, int] = {}
        self._filled: set[int] = set()
        self._ends: deque[int] = deque()
        self._over_s: float | None = None  # since when the minute is over, or the session
        self._closing = self._compared = False

    def run_through(self, ends: Sequence[int], *, to_close: bool) -> None:
        """The session is to go on through these moments; `to_close`: the last is the close, or it stands there."""
        self._ends = deque(ends)
        self._closing = to_close and not self._compared
        self._over_s = None

    def look(self, event: Looked) -> list[Instruction]:
        """What is to be done now, in order; nothing where the session is where it was to go."""
        return [*self._hear(event), *self._go_on(event)]

    def join(self, now_ns: int) -> None:
        """A symbol has been loaded at session time `now_ns`: what closed since is its history's to give."""
        self._full.complete_ns = min(self._full.complete_ns, now_ns)
        self._full.forget()

    def _hear(self, event: Looked) -> list[Instruction]:
        heard = event.heard
        if heard is None:  # the gateway was another session's, and went with it
            self._heard = replace(self._heard, connected=False)
            for whole in (self._full, self._universe):
                whole.forget()
            return [Subscribe(tuple(sorted(event.watched)))]
        self._heard = heard
        self._looked_ns = event.now_ns
        for whole in (self._full, self._universe):
            whole.see(heard.connections, event.now_ns)
        for symbol, bars in heard.bars.items():
            self._pending.setdefault(symbol, []).append((event.now_ns, bars))
            self._newest[symbol] = max(self._newest.get(symbol, 0), int(bars.start_ns.max()))
            self._counts.bars += len(bars)
        self._counts.refused += len(heard.refused)
        for text in heard.refused:
            logger.warning("a bar of the stream was refused: %s", text)
        return []

    def _go_on(self, event: Looked) -> list[Instruction]:
        if not self._ends:
            return self._close(event) if self._closing else []
        end_ns = self._ends[0]
        if event.now_ns < end_ns:
            return [WaitUntil(end_ns)]
        if not self._is_ready(end_ns, event):
            return [Wait(LOOK_S)]
        self._ends.popleft()
        self._over_s = None
        return [AdvanceTo(end_ns, *self._take(event.watched)), *self._judge(end_ns, event)]

    def _is_ready(self, end_ns: int, event: Looked) -> bool:
        """Whether the minute's bars are here, or nobody should wait for them any more."""
        self._over_s = event.at_s if self._over_s is None else self._over_s
        due_ns = (end_ns - self._open_ns) // MINUTE.ns * MINUTE.ns + self._open_ns - MINUTE.ns
        awaited = event.watched if end_ns in self._scans_ns else event.full
        whole = all(self._newest.get(symbol, 0) >= due_ns for symbol in awaited)
        behind = event.now_ns >= end_ns + MINUTE.ns
        return whole or behind or event.at_s - self._over_s >= self._settings.grace_s

    def _take(self, watched: frozenset[str]) -> tuple[dict[str, Bars], dict[str, IntArray]]:
        """What has come of symbols, and when each bar did."""
        pending, self._pending = self._pending, {}
        own = {symbol: parts for symbol, parts in sorted(pending.items()) if symbol in watched}
        bars = {symbol: Bars.concat([one for _, one in parts]) for symbol, parts in own.items()}
        return bars, {s: np.repeat([at for at, _ in p], [len(one) for _, one in p]) for s, p in own.items()}

    def count(self, reports: Mapping[str, Report]) -> None:
        """What symbols made of the bars they were given."""
        for symbol, report in reports.items():
            if isinstance(report, Appended):
                self._counts.late += report.late
                self._counts.replaced += report.replaced
            elif isinstance(report, Rejected):
                self._counts.refused += 1
                logger.warning("%s: bars of the stream were refused: %s", symbol, report.reason)

    def _judge(self, end_ns: int, event: Looked) -> list[Instruction]:
        """Are the bars up to here whole? If not, have them fetched."""
        heard, was_stale, notes = self._heard, self._stale, list[Instruction]()
        self._stale = heard.silent_s > self._settings.stale_s
        if self._stale and not was_stale:
            notes.append(NoteStream(f"no bars for {heard.silent_s:.0f} s {heard.problem}".rstrip(), flows=False))
        elif was_stale and not self._stale:
            notes.append(NoteStream("bars come again", flows=True))
        flows = heard.connected and not self._stale
        for whole, symbols in self._groups(event):
            if self._stale:  # since the last bar nothing is sure, and when bars come again, that has to be had first
                newest_ns = max(self._newest.values(), default=self._begun_ns)
                whole.complete_ns, whole.connections = min(whole.complete_ns, newest_ns), 0
                whole.undisturbed = False
            if flows and (whole.flow(heard.connections) or not symbols):
                whole.complete_ns = max(whole.complete_ns, end_ns)
            else:
                notes += self._fill(whole, symbols, event, whole.complete_ns, heard.connections if flows else 0)
        return notes

    def _groups(self, event: Looked) -> list[tuple[_Whole, frozenset[str]]]:
        return [(self._full, event.full), (self._universe, event.universe - event.full)]

    def _fill(
        self, whole: _Whole, symbols: frozenset[str], event: Looked, from_ns: int, connections: int
    ) -> list[Instruction]:
        end_ns = min(event.now_ns // MINUTE.ns * MINUTE.ns, self._close_ns)
        if whole.filling is not None or end_ns <= from_ns or not symbols:
            return []
        wanted = Wanted(MINUTE, from_ns - MINUTE.ns, end_ns)
        whole.filling = Fill(tuple(sorted(symbols)), wanted, connections, whole is self._universe)
        return [whole.filling]

    def fill_in(self, bars: Mapping[str, Bars], failures: Mapping[str, Reason], *, universe: bool = False) -> None:
        """Take what history had, by symbol; `failures`: whose could not be had; `universe`: as it was asked for."""
        whole = self._universe if universe else self._full
        fill, whole.filling = whole.filling, None
        for symbol, own in bars.items():
            self._pending.setdefault(symbol, []).insert(
                0, (self._looked_ns, own)
            )  # what the stream says comes later, and wins
            self._counts.filled += len(own)
        if failures:
            first = next(iter(failures.items()))
            logger.warning("%d symbols: a gap was not filled: %s: %s", len(failures), *first)
        elif fill and whole.is_filled(fill) and fill.connections > 1:
            self._filled.add(fill.connections)
            self._counts.gaps = len(self._filled)

    def _close(self, event: Looked) -> list[Instruction]:
        """Corrections still come, and what the stream has lost unnoticed is in history."""
        self._over_s = event.at_s if self._over_s is None else self._over_s
        left_s = self._over_s + self._settings.close_s - event.at_s
        if left_s > 0:
            return [Wait(min(left_s, REST_S))]
        groups = self._groups(event)
        if any(whole.filling is not None for whole, _ in groups):
            return [Wait(LOOK_S)]
        if not self._compared:
            self._compared = True
            since_ns = self._open_ns + MINUTE.ns
            return [*(fill for one in groups for fill in self._fill(*one, event, since_ns, 0)), Wait(LOOK_S)]
        self._closing, self._over_s = False, None
        return [AdvanceTo(self._close_ns, *self._take(event.watched))]

    def status(self) -> dict[str, Any]:
        """How the stream fares, in JSON types."""
        heard = self._heard
        state = {"connected": heard.connected, "connections": heard.connections, "stale": self._stale}
        return {**state, "silent_s": round(heard.silent_s, 1), "problem": heard.problem, **asdict(self._counts)}
