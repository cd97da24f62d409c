"""The days of a run that a checkpoint has, and those that it is yet to have."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from barray.checkpoint.checkpoint import Checkpoint
from barray.checkpoint.kinds import DayBegun, DayDone, Done, StopOver
from barray.coordinator.gate import Asked, Pacing

logger = logging.getLogger(__name__)


class Keeper(Protocol):
    """Who writes down what a day that is not finished has to be gone on with."""

    def again(self, day: date) -> Sequence[Asked]:
        """What was asked on a day that was not finished."""
        ...

    def recording(self, day: date) -> str | None:
        """Where a live day that was not finished is recorded."""
        ...

    def begun(self, day: date, recording: str) -> None:
        """A live day has begun, and is recorded there."""
        ...

    def write(self, asked: Sequence[Asked]) -> None:
        """Write it down; it takes effect after that."""
        ...


class Carrying(Protocol):
    """A session, as far as something goes from one day to the next, or is asked of it; see barray.session.Session."""

    keeper: Keeper | None

    def carried(self) -> bytes | str | None:
        """Where account and strategy stand, or why that can't be told; None where nothing is carried."""
        ...

    def carry(self, state: bytes) -> None:
        """Go on from there."""
        ...


class KeptDays:
    """`done`: what each day came to that is done, by ISO date. Without a checkpoint none is, nor will be."""

    def __init__(self, kept: Checkpoint | None) -> None:
        self._kept = kept
        found = kept.done if kept else ()
        finished = [one for one in found if isinstance(one, Done | DayDone)]
        days: list[DayDone] = [one.what if isinstance(one, Done) else one for one in finished]
        self.done: dict[str, Mapping[str, Any]] = {one.day: one.told for one in days}
        self._state = next((one.state for one in reversed(finished) if isinstance(one, Done)), None)
        self._asked: list[Asked] = []
        self._recordings = {one.day: one.recording for one in found if isinstance(one, DayBegun)}
        for one in found:
            if isinstance(one, Asked):
                self._asked.append(one)
            elif isinstance(one, StopOver):
                self._asked = [asked for asked in self._asked if asked.day != one.day or not _is_stop(asked)]

    def take_up(self, session: Carrying) -> None:
        """Have the session go on from where it stood after the last of them; errors as of Checkpoint.state."""
        session.keeper = self if self._kept is not None else None
        if self._kept is not None and self._state is not None:
            session.carry(self._kept.state(self._state))

    def again(self, day: date) -> Sequence[Asked]:
        """See Keeper."""
        return [asked for asked in self._asked if asked.day == day.isoformat()]

    def recording(self, day: date) -> str | None:
        """See Keeper."""
        return self._recordings.get(day.isoformat())

    def begun(self, day: date, recording: str) -> None:
        """See Keeper; errors as of Checkpoint."""
        if self._kept is not None:
            self._kept.add([DayBegun(day.isoformat(), recording)])

    def write(self, asked: Sequence[Asked]) -> None:
        """See Keeper; errors as of Checkpoint."""
        if self._kept is not None:
            self._kept.add(asked)

    def stopped(self, day: str) -> None:
        """A day that somebody stopped has ended as it was to; errors as of Checkpoint."""
        if self._kept is not None:
            self._kept.add([StopOver(day)])

    def keep(self, session: Carrying, day: date, told: Mapping[str, Any]) -> None:
        """Write down what a day came to, in JSON types, and where the session stands; errors as of Checkpoint."""
        if self._kept is None:
            return
        state, done = session.carried(), DayDone(day.isoformat(), told)
        if isinstance(state, str):
            logger.warning("the checkpoint goes no further: %s", state)
            self._kept = None
        elif state is None:
            self._kept.add([done])
        else:
            self._kept.add_with_state(done, state)

    def finish(self) -> None:
        """All days are done; errors as of Checkpoint."""
        if self._kept is not None:
            self._kept.finish()


def _is_stop(asked: Asked) -> bool:
    return isinstance(asked.what, Pacing) and asked.what.action == "stop"
