"""Sessions' bars of some symbols: read when they are first needed, each once, and let go of when they no longer are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import COLUMNS, FloatArray, IntArray
from barray.market.calendar import local_ns
from barray.market.errors import BarrayError
from barray.market.interval import DAY, Interval
from barray.market.universe.bars import UniverseBars
from barray.market.universe.lay import lay_universe
from barray.market.universe.rows import aligned, appended, kept, merged
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
    """A job's bars, session by session; NotReadable where they can't be had. What is wrong with symbols' bars of a
    session stands in `faults`, by its row; there they have none.
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
        self.faults: dict[int, dict[str, Reason]] = {}

    def base(self, row: int, symbols: Sequence[str]) -> UniverseBars:
        """Base bars of a session, of just these symbols (sorted), some maybe without any."""
        asked, held = self._held.get(row, (set(), None))
        if new := tuple(symbol for symbol in symbols if symbol not in asked):
            read = self._read(row, new)
            held = read if held is None else merged(held, read)
            self._held[row] = asked.union(new), held
        return aligned(held if held is not None else self._nothing(row), symbols)

    def closes(self, row: int, symbols: tuple[str, ...]) -> UniverseBars:
        """All of a session's bars of some symbols, sorted, with their closes alone; of those that have right ones."""
        return self._laid(self._job.reader, self._job.interval, range(row, row + 1), symbols, ("close",), None)[0]

    def volumes(self, row: int, elapsed_ns: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What all of the job's symbols had traded in a session so long after its open; see `volumes_of`."""
        key = row, elapsed_ns.tobytes()
        if key not in self._volumes:
            base = self.base(row, self._job.symbols)
            everyone = np.arange(len(base.symbols))
            self._volumes[key] = volumes_of(base, everyone, self._sessions, row, elapsed_ns)
        return self._volumes[key]

    def daily(self, row: int) -> UniverseBars | None:
        """Daily bars of all of the job's symbols before a session; None where base bars' own days are meant."""
        if self._job.daily is None:
            return None
        first = self._job.session_range.daily.get(row, row)
        block = self._block(self._job.daily, DAY, first, row, self._needs.day_columns)
        return _between(block, int(self._sessions.open_ns[first]), int(self._sessions.open_ns[row]))

    def days(self, row: int) -> UniverseBars:
        """Where the base bars are of days or weeks: a session's and its history's, of all of the job's symbols."""
        first = self._job.session_range.history[row]
        block = self._block(self._job.reader, self._job.interval, first, row + 1, self._columns)
        return _between(block, int(self._sessions.open_ns[first]), int(self._sessions.close_ns[row]))

    def _block(
        self, reader: StackReader, interval: Interval, first: int, stop: int, columns: tuple[str, ...]
    ) -> UniverseBars:
        """Bars of days, of many sessions at once: they are few."""
        span, held, faults = self._days
        if first < span.start or stop > span.stop or held is None:
            span = range(first, max(self._rows_from(stop - 1)[:_DAYS_AT_ONCE], default=stop - 1) + 1)
            laid, faults = self._laid(reader, interval, span, self._job.symbols, columns)
            held = aligned(laid, self._job.symbols)
            self._days = span, held, faults
        if faults:  # maybe only later: what is wrong by then counts
            own, faults = self._laid(reader, interval, range(first, stop), tuple(sorted(faults)), columns)
            held = appended(held, aligned(own, self._job.symbols))
        self.faults.setdefault(stop - 1 if interval == self._job.interval else stop, {}).update(faults)
        return held

    def leave(self, before: int) -> None:
        """Let go of what no session from the row `before` on needs."""
        history = min((self._job.session_range.history[row] for row in self._rows_from(before)), default=before)
        back = before - self._needs.sessions_back
        self._held = {row: held for row, held in self._held.items() if row >= history}
        self._volumes = {key: made for key, made in self._volumes.items() if key[0] >= back}
        self.faults = {row: found for row, found in self.faults.items() if row >= min(history, back)}

    def _rows_from(self, row: int) -> list[int]:
        return [one for one in self._job.session_range.rows.tolist() if one >= row]

    def _read(self, row: int, symbols: tuple[str, ...]) -> UniverseBars:
        rows, until = range(row, row + 1), self._wanted_ns
        laid, reasons = self._laid(self._job.reader, self._job.interval, rows, symbols, self._columns, until)
        self.faults.setdefault(row, {}).update(reasons)
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
        self._symbols = job.symbols

    @property
    def first_row(self) -> int:
        """The first session of history."""
        return min(self._job.session_range.history[self._row], self._row)

    def bars(self, symbols: Sequence[str]) -> UniverseBars:
        """Base bars of the session's history. What is wrong with a symbol's is a fault of the session, too."""
        found = self._bars(symbols)
        own = self._store.faults.setdefault(self._row, {})
        for row in range(self._job.session_range.history[self._row], self._row):
            for symbol, reason in self._store.faults.get(row, {}).items():
                own.setdefault(symbol, reason)
        return found

    def _bars(self, symbols: Sequence[str]) -> UniverseBars:
        first = self._job.session_range.history[self._row]
        found = self._store.base(min(first, self._row), symbols) if first < self._row else None
        if found is None:
            return aligned(self._store.base(self._row, ()), symbols)
        for row in range(first + 1, self._row):
            found = appended(found, self._store.base(row, symbols))
        return found

    def volumes(self, symbols: Sequence[str], row: int, elapsed_ns: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """What they had traded in an earlier session."""
        volumes, traded = self._store.volumes(row, elapsed_ns)
        if len(symbols) == len(self._symbols):
            return volumes, traded
        who = [bisect_left(self._symbols, symbol) for symbol in symbols]
        return volumes[:, who], traded[:, who]


def _between(stack: UniverseBars, first_ns: int, stop_ns: int) -> UniverseBars:
    """Bars that start from `first_ns` on and have closed by `stop_ns`."""
    return kept(stack, (stack.bars.start_ns >= first_ns) & (stack.end_ns <= stop_ns))
