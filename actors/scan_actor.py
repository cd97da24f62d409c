"""The process that holds some symbols' bars for scans: a share of a universe."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from barray.actors.answers_once import AnswersOnce
from barray.market.commands import Failed
from barray.market.errors import ActorFailed, BarrayError
from barray.trading.scans.commands import (
    BarsTaken,
    LookAt,
    NotRead,
    OpenScans,
    ScanCloses,
    ScanDaily,
    ScanJob,
    ScanSessions,
    TakeBars,
)
from barray.trading.scans.past import NotReadable
from barray.trading.scans.shard import ScanShard


class ScanActor(AnswersOnce):
    """Evaluates scans on a share of the symbols. All that it knows can be read again, and
    what came of an open session is in its fleet's log: another goes on where it is lost.

    A plain class; `barray.actors.options` makes a Ray actor of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shard: tuple[ScanJob, ScanShard] | None = None

    def execute(self, batch: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
        """Carry out commands in order, one report each: of sessions and looks SessionParts, or NotRead."""
        return tuple(self._execute(command) for _, command in batch)

    def pulse(self) -> None:
        """Answer, whatever else is going on here."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop all that is held."""
        self._shard = None

    def _execute(self, command: Any) -> Any:
        try:
            return self._carry_out(command)
        except BarrayError as error:
            return Failed(error)
        except Exception:
            return Failed(ActorFailed(traceback.format_exc(limit=-3), code="bug"))

    def _carry_out(self, command: Any) -> Any:
        match command:
            case ScanDaily(job, rows):
                return tuple(_or_not_read(self._of(job).daily, row) for row in rows)
            case ScanSessions(job, rows, members):
                pairs = zip(rows, members or ({},) * len(rows), strict=True)
                return tuple(_or_not_read(self._of(job).session, *one) for one in pairs)
            case ScanCloses(job, rows, asked):
                return tuple(_or_not_read(self._of(job).closes, *one) for one in zip(rows, asked, strict=True))
            case OpenScans(job, row, members):
                return (_or_not_read(self._of(job).open, row, members),)
            case TakeBars(tape):
                return BarsTaken(self._opened.take_in(tape))
            case LookAt(at_ns, scans):
                return (_or_not_read(self._opened.look, at_ns, scans),)
            case _:
                raise TypeError(f"{type(command).__name__} is no command of scans")

    @property
    def _opened(self) -> ScanShard:
        if self._shard is None:
            raise ValueError("there is nothing to scan")
        return self._shard[1]

    def _of(self, job: ScanJob) -> ScanShard:
        if self._shard is None or self._shard[0].symbols != job.symbols:
            self._shard = job, ScanShard(job)
        return self._shard[1]


def _or_not_read(work: Any, *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except NotReadable as failed:
        return NotRead(failed.error)
