"""The process that holds some symbols' bars for scans: a share of a universe."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from barray.actors.answers_once import AnswersOnce
from barray.market.commands import Failed
from barray.market.errors import ActorFailed, BarrayError
from barray.trading.scans.commands import NotRead, ScanCloses, ScanDaily, ScanJob, ScanSessions
from barray.trading.scans.past import NotReadable
from barray.trading.scans.shard import ScanShard


class ScanActor(AnswersOnce):
    """Evaluates scans on a share of the symbols. All that it knows can be read again: another goes on where it is lost.

    A plain class; `barray.actors.options` makes a Ray actor of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shard: tuple[ScanJob, ScanShard] | None = None

    def execute(self, batch: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
        """Carry out commands in order, one report each: for each session SessionParts, or NotRead."""
        return tuple(self._execute(command) for _, command in batch)

    def pulse(self) -> None:
        """Answer, whatever else is going on here."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop all that is held."""
        self._shard = None

    def _execute(self, command: ScanDaily | ScanSessions | ScanCloses) -> Any:
        try:
            shard = self._of(command.job)
            if isinstance(command, ScanDaily):
                return tuple(_or_not_read(shard.daily, row) for row in command.rows)
            if isinstance(command, ScanCloses):
                pairs = zip(command.rows, command.asked, strict=True)
                return tuple(_or_not_read(shard.closes, *one) for one in pairs)
            members = command.members or ({},) * len(command.rows)
            return tuple(_or_not_read(shard.session, *one) for one in zip(command.rows, members, strict=True))
        except BarrayError as error:
            return Failed(error)
        except Exception:
            return Failed(ActorFailed(traceback.format_exc(limit=-3), code="bug"))

    def _of(self, job: ScanJob) -> ScanShard:
        if self._shard is None or self._shard[0].symbols != job.symbols:
            self._shard = job, ScanShard(job)
        return self._shard[1]


def _or_not_read(work: Any, *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except NotReadable as failed:
        return NotRead(failed.error)
