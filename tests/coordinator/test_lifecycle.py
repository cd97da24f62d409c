"""The life of a session: which phase may follow which."""

from __future__ import annotations

from itertools import pairwise

import pytest

from barray.coordinator.lifecycle import MOVES, Phase, move
from barray.market.errors import IllegalTransition

DAY = ["clean", "validating", "planning", "provisioning", "loading", "running", "ended", "tearing down", "clean"]


def test_a_day_goes_through_all_phases_back_to_clean() -> None:
    for current, following in pairwise(map(Phase, DAY)):
        assert move(current, following) is following
    assert set(MOVES) == set(Phase) == set(map(Phase, DAY))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.TEARING_DOWN])
def test_every_phase_can_be_torn_down(phase: Phase) -> None:
    assert move(phase, Phase.TEARING_DOWN) is Phase.TEARING_DOWN


def test_after_the_teardown_everything_is_clean_and_nothing_else() -> None:
    assert MOVES[Phase.TEARING_DOWN] == (Phase.CLEAN,)


@pytest.mark.parametrize("current", Phase)
@pytest.mark.parametrize("following", Phase)
def test_no_phase_is_skipped_repeated_or_gone_back_to(current: Phase, following: Phase) -> None:
    legal = (current.value, following.value) in {*pairwise(DAY)} or (
        following is Phase.TEARING_DOWN and current is not Phase.TEARING_DOWN
    )
    if legal:
        assert move(current, following) is following
        return
    with pytest.raises(IllegalTransition) as caught:
        move(current, following)
    assert current.value in str(caught.value)
    assert following.value in str(caught.value)
