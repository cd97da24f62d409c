"""Sessions' bars of some symbols: read when they are first needed, each once, and let go of when they no longer are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, FloatArray, IntArray, Prices
from barray.market.calendar import local_ns
from barray.market.errors import BarrayError
from barray.market.interval import DAY, Interval
from barray.market.universe.bars import UniverseBars
from barray.market.universe.growing import GrowingUniverse, Tape
from barray.market.universe.lay import lay_universe
from barray.market.universe.rows import aligned, appended, gathered, kept, merged
from barray.market.universe.stack import Stack
from barray.market.validation import Reason
from barray.trading.scans.commands import Faults, ScanJob, StackReader
from barray.trading.scans.needs import ScanNeeds
from barray.trading.scans.session_values import volumes_of

_DAYS_AT_ONCE = 64
"""Sessions whose daily bars are read together."""


class NotReadable(Exception):
    """Bars can't be had: of a session, of all symbols. `error`: why."""

    def __init__(self, error: BarrayError) -> None:
        super().__init__(str(error))
        self.error = error


class DayStore:
    """A job's bars, session by session; NotReadable where they can't be had. They are held by the names of their days:
    a symbol of a session (`of`, its row) is who is called so that day, also before.

    What is wrong with the bars of a day stands in `faults`, by its row and name; there are none of these. What is wrong
    with anything that was looked at for a session, in `wrong`, by its row and symbol.
    """

    def __init__(self, job: ScanJob, needs: ScanNeeds) -> None:
        self._job, self._needs = job, needs
        self._sessions = job.session_range.sessions
        self._wanted_ns = _latest_ns(job, needs)
        days = needs.day_columns if job.daily is None else ()  # which base bars make then
        self._columns = tuple(name for name in COLUMNS if name in (*needs.columns, *days))
        self._held: dict[int, tuple[set[str], UniverseBars | None]] = {}
        self._volumes: dict[tuple[int, bytes], tuple[FloatArray, NDArray[np.bool_]]] = {}
        self._days: tuple[range, UniverseBars | None, Faults] = (range(0), None, {})
        self._everyone = job.renames.every_name(job.symbols)
        self._position = {name: i for i, name in enumerate(self._everyone)}
        self._live: tuple[int, GrowingUniverse] | None = None
        self.faults: dict[int, dict[str, Reason]] = {}
        self.wrong: dict[int, dict[str, Reason]] = {}

    def base(self, row: int, symbols: Sequence[str], of: int | None = None) -> UniverseBars:
        """Base bars of a session, of just these symbols (sorted), some maybe without any. `of`: the session that they
        are symbols of; the same where None.
        """
        spans = {symbol: [(name, row, row + 1)] for symbol, name in self._renamed(row, symbols, of)}
        if not spans:
            return self._named(row, symbols)
        names = {symbol for symbol in symbols if symbol not in spans} | {name for [(name, _, _)] in spans.values()}
        stack = self._named(row, sorted(names - {""}))
        return gathered(stack, symbols, spans)

    def _named(self, row: int, names: Sequence[str]) -> UniverseBars:
        """Base bars of a session by its own names, sorted."""
        if self._live is not None and self._live[0] == row:
            grown, own = self._live[1], self._job.symbols
            return grown.stack(None if len(names) == len(own) else np.searchsorted(own, names))
        asked, held = self._held.get(row, (set(), None))
        if new := tuple(name for name in names if name not in asked):
            read = self._read(row, new)
            held = read if held is None else merged(held, read)
            self._held[row] = asked.union(new), held
        return aligned(held if held is not None else self._nothing(row), names)

    def _renamed(self, row: int, symbols: Sequence[str], of: int | None) -> Iterator[tuple[str, str]]:
        """Those of the symbols of a session that had another name in an earlier one, and which; "" for none."""
        of = row if of is None else of
        if not self._job.renames:
            return
        for symbol in self._job.renames.of.keys() & symbols:
            if (name := self.name_on(row, symbol, of)) != symbol:
                yield symbol, name

    def name_on(self, row: int, symbol: str, of: int) -> str:
        """What a symbol of a session (`of`, its row) was called in another; "" where it was nothing, or is no name of
        its session.
        """
        today, renames = self._day(of), self._job.renames
        if symbol != renames.name_on(today, symbol, today):
            return ""
        return renames.name_on(self._day(row), symbol, today) or ""

    def _day(self, row: int) -> date:
        label: date = self._sessions.dates[row].item()
        return label

    def open(self, row: int) -> None:
        """A session's bars come from now on, and are not read."""
        prices: Prices = getattr(self._job.reader, "prices", "positive")
        told = self._job.symbols, self._job.interval, self._sessions, row
        self._live = row, GrowingUniverse(*told, prices=prices, columns=self._columns)

    def take_in(self, tape: Tape) -> dict[str, Reason]:
        """Bars of the open session have come; see GrowingUniverse. ValueError where none is open."""
        if self._live is None:
            raise ValueError("no session is open")
        return self._live[1].take_in(tape)

    def closes(self, row: int, symbols: tuple[str, ...]) -> UniverseBars:
        """All of a session's bars of some symbols, sorted, with their closes alone; of those that have right ones. One
        that is no longer called so has those of its new name.
        """
        day, renames = self._day(row), self._job.renames
        now = {symbol: renames.name_on(day, symbol, day) or "" for symbol in renames.of.keys() & symbols}
        names = tuple(sorted({now.get(symbol, symbol) for symbol in symbols} - {""}))
        stack = self._laid(self._job.reader, self._job.interval, range(row, row + 1), names, ("close",), None)[0]
        there = tuple(symbol for symbol in symbols if now.get(symbol, symbol) in stack.position)
        return gathered(stack, there, {symbol: [(name, row, row + 1)] for symbol, name in now.items()})

    def volumes(self, row: int, elapsed_ns: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What all that there are had traded in a session so long after its open, by the places of their names then;
        see `volumes_of`.
        """
        key = row, elapsed_ns.tobytes()
        if key not in self._volumes:
            base = self._named(row, self._everyone)
            everyone = np.arange(len(base.symbols))
            self._volumes[key] = volumes_of(base, everyone, self._sessions, row, elapsed_ns)
        return self._volumes[key]

    def places(self, row: int, symbols: Sequence[str], of: int) -> list[int]:
        """Where symbols of a session stand among the names of another, in `volumes`; -1 for none."""
        other = dict(self._renamed(row, symbols, of))
        return [self._position.get(other.get(symbol, symbol), -1) for symbol in symbols]

    def daily(self, row: int) -> UniverseBars | None:
        """Daily bars of all of the job's symbols before a session; None where base bars' own days are meant."""
        if self._job.daily is None:
            return None
        first = self._job.session_range.daily.get(row, row)
        block = self._block(self._job.daily, DAY, range(first, row), row, self._needs.day_columns)
        return _between(block, int(self._sessions.open_ns[first]), int(self._sessions.open_ns[row]))

    def days(self, row: int) -> UniverseBars:
        """Where the base bars are of days or weeks: a session's and its history's, of all of the job's symbols."""
        first = self._job.session_range.history[row]
        block = self._block(self._job.reader, self._job.interval, range(first, row + 1), row, self._columns)
        return _between(block, int(self._sessions.open_ns[first]), int(self._sessions.close_ns[row]))

    def _block(
        self, reader: StackReader, interval: Interval, rows: range, of: int, columns: tuple[str, ...]
    ) -> UniverseBars:
        """Bars of days for a session (`of`), of many sessions at once: they are few."""
        span, held, faults = self._days
        if rows.start < span.start or rows.stop > span.stop or held is None:
            span = range(rows.start, max(self._rows_from(rows.stop - 1)[:_DAYS_AT_ONCE], default=rows.stop - 1) + 1)
            laid, faults = self._laid(reader, interval, span, self._everyone, columns)
            held = aligned(laid, self._everyone)
            self._days = span, held, faults
        if faults:  # maybe only later: what is wrong by then counts
            own, faults = self._laid(reader, interval, rows, tuple(sorted(faults)), columns)
            held = appended(held, aligned(own, self._everyone))
        spans = {symbol: self._spans(symbol, rows, of) for symbol in self._job.renames.of.keys() & self._job.symbols}
        told = {symbol: faults[name] for symbol, own in spans.items() for name, _, _ in own if name in faults}
        told |= {name: reason for name, reason in faults.items() if name not in spans}
        self.wrong.setdefault(of, {}).update(told)
        return gathered(held, self._job.symbols, spans) if spans else held

    def _spans(self, symbol: str, rows: range, of: int) -> list[tuple[str, int, int]]:
        """What a symbol of a session was called in sessions, from which to before which."""
        named = groupby(rows, lambda row: self.name_on(row, symbol, of))
        runs = [(name, list(own)) for name, own in named if name]
        return [(name, own[0], own[-1] + 1) for name, own in runs]

    def leave(self, before: int) -> None:
        """Let go of what no session from the row `before` on needs."""
        history = min((self._job.session_range.history[row] for row in self._rows_from(before)), default=before)
        back = before - self._needs.sessions_back
        self._held = {row: held for row, held in self._held.items() if row >= history}
        self._volumes = {key: made for key, made in self._volumes.items() if key[0] >= back}
        self.faults = {row: found for row, found in self.faults.items() if row >= min(history, back)}
        self.wrong = {row: found for row, found in self.wrong.items() if row >= before}

    def faults_of(self, row: int, symbols: Sequence[str], of: int) -> Iterator[tuple[str, Reason]]:
        """What is wrong with the bars of a day, by symbols of a session."""
        if faults := self.faults.get(row):
            other = dict(self._renamed(row, symbols, of))
            for symbol in symbols:
                if (name := other.get(symbol, symbol)) in faults:
                    yield symbol, faults[name]

    def _rows_from(self, row: int) -> list[int]:
        return [one for one in self._job.session_range.rows.tolist() if one >= row]

    def _read(self, row: int, symbols: tuple[str, ...]) -> UniverseBars:
        rows, until = range(row, row + 1), self._wanted_ns
        laid, reasons = self._laid(self._job.reader, self._job.interval, rows, symbols, self._columns, until)
        self.faults.setdefault(row, {}).update(reasons)
        self.wrong.setdefault(row, {}).update(reasons)
        return laid

    def _nothing(self, row: int) -> UniverseBars:
        return self._lay(self._job.reader, self._job.interval, row, Stack.of({}, self._columns))[0]

    def _laid(
        self,
        reader: StackReader,
        interval: Interval,
        rows: range,
        symbols: tuple[str, ...],
        columns: tuple[str, ...],
        first_ns: int | None = None,
    ) -> tuple[UniverseBars, Faults]:
        sessions = self._sessions.take(slice(rows.start, rows.stop))
        try:
            stack, faults = reader.read_stack(interval, sessions, symbols=symbols, columns=columns, first_ns=first_ns)
        except BarrayError as error:
            raise NotReadable(error) from error
        laid, wrong = self._lay(reader, interval, rows.start, stack)
        return laid, {**faults, **wrong}

    def _lay(self, reader: StackReader, interval: Interval, row: int, stack: Stack) -> tuple[UniverseBars, Faults]:
        return lay_universe(
            stack.bars,
            stack.offsets,
            stack.symbols,
            interval,
            self._sessions,
            row,
            source=reader.name,
            prices=getattr(reader, "prices", "positive"),
            columns=stack.columns,
        )


def _latest_ns(job: ScanJob, needs: ScanNeeds) -> int | None:
    """How long after its open a session is looked at; None where that is all of it, by its own scans or later ones."""
    if needs.until is None or any(first < row for row, first in job.session_range.history.items()):
        return None
    sessions, zone = job.session_range.sessions, ZoneInfo(job.session_range.timezone)
    rows = job.session_range.rows.tolist()
    return max(local_ns(sessions.dates[row].item(), needs.until, zone) - int(sessions.open_ns[row]) for row in rows)


class SessionPast:
    """What a session's scans look at of the sessions before; see barray.trading.scans.bars.Past."""

    def __init__(self, store: DayStore, job: ScanJob, row: int) -> None:
        self._store, self._job, self._row = store, job, row

    @property
    def first_row(self) -> int:
        """The first session of history."""
        return min(self._job.session_range.history[self._row], self._row)

    def bars(self, symbols: Sequence[str]) -> UniverseBars:
        """Base bars of the session's history. What is wrong with a symbol's is a fault of the session, too."""
        store, of = self._store, self._row
        first = self._job.session_range.history[of]
        if first >= of:
            return aligned(store.base(of, ()), symbols)
        found = store.base(first, symbols, of)
        for row in range(first + 1, of):
            found = appended(found, store.base(row, symbols, of))
        wrong = store.wrong.setdefault(of, {})
        for row in range(first, of):
            for symbol, reason in store.faults_of(row, symbols, of):
                wrong.setdefault(symbol, reason)
        return found

    def volumes(self, symbols: Sequence[str], row: int, elapsed_ns: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What they had traded in an earlier session."""
        volumes, traded = self._store.volumes(row, elapsed_ns)
        places = np.array(self._store.places(row, symbols, self._row), np.intp)
        if np.array_equal(places, np.arange(volumes.shape[1])):
            return volumes, traded
        there = places >= 0
        return np.where(there, volumes[:, places], 0.0), traded[:, places] & there


def _between(stack: UniverseBars, first_ns: int, stop_ns: int) -> UniverseBars:
    """Bars that start from `first_ns` on and have closed by `stop_ns`."""
    return kept(stack, (stack.bars.start_ns >= first_ns) & (stack.end_ns <= stop_ns))
