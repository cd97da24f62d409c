"""The life of a session, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from barray.market.errors import IllegalTransition


class Phase(Enum):
    """Where the coordinator stands. CLEAN: nothing of any session is left; the next one may begin."""

    CLEAN = "clean"
    VALIDATING = "validating"
    PLANNING = "planning"
    PROVISIONING = "provisioning"
    LOADING = "loading"
    RUNNING = "running"
    ENDED = "ended"
    TEARING_DOWN = "tearing down"


MOVES: Mapping[Phase, tuple[Phase, ...]] = {
    Phase.CLEAN: (Phase.VALIDATING, Phase.TEARING_DOWN),
    Phase.VALIDATING: (Phase.PLANNING, Phase.TEARING_DOWN),
    Phase.PLANNING: (Phase.PROVISIONING, Phase.TEARING_DOWN),
    Phase.PROVISIONING: (Phase.LOADING, Phase.TEARING_DOWN),
    Phase.LOADING: (Phase.RUNNING, Phase.TEARING_DOWN),
    Phase.RUNNING: (Phase.ENDED, Phase.TEARING_DOWN),
    Phase.ENDED: (Phase.TEARING_DOWN,),
    Phase.TEARING_DOWN: (Phase.CLEAN,),
}


def move(current: Phase, to: Phase) -> Phase:
    """`to`, where the table allows it; IllegalTransition otherwise."""
    if to not in MOVES[current]:
        allowed = " or ".join(phase.value for phase in MOVES[current])
        raise IllegalTransition(f"a session that is {current.value} cannot be {to.value}; next is {allowed}")
    return to
