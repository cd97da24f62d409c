"""The days of a run that a checkpoint has, and those that it is yet to have."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from typing import Any, Protocol

from barray.checkpoint.checkpoint import Checkpoint
from barray.checkpoint.kinds import DayDone, Done

logger = logging.getLogger(__name__)


class Carrying(Protocol):
    """A session, as far as something goes from one day to the next; see barray.session.Session."""

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
        found = [one for one in (kept.done if kept else ()) if isinstance(one, Done | DayDone)]
        days: list[DayDone] = [one.what if isinstance(one, Done) else one for one in found]
        self.done: dict[str, Mapping[str, Any]] = {one.day: one.told for one in days}
        self._state = next((one.state for one in reversed(found) if isinstance(one, Done)), None)

    def take_up(self, session: Carrying) -> None:
        """Have the session go on from where it stood after the last of them; errors as of Checkpoint.state."""
        if self._kept is not None and self._state is not None:
            session.carry(self._kept.state(self._state))

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
