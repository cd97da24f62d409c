"""Scans that are followed again, by what is recorded of them, ask for the same and come to the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from barray.trading.scans.again import as_told, first_step_difference, follow_again
from barray.trading.scans.following import ALREADY_LOADED, Asked, ScanSteps
from barray.trading.scans.instructions import Evict
from barray.trading.scans.keeping import full, top
from barray.trading.scans.step_json import read_hits
from tests.examples import at_most
from tests.trading.scans.test_state import hits, plan

RULES = [
    plan("A", keep=top(3).leave_below(4), promote=full(2, "rank", light=1), carry=("RSI(14)@5m",)).rules("a"),
    plan("B", keep=top(2), promote=full(1, light=2), carry=("ATR(14)@5m",)).rules("b"),
]
FOUND = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


@settings(max_examples=at_most(100))
@given(data=st.data(), days=st.lists(st.tuples(FOUND, FOUND), max_size=8))
def test_whatever_came_of_it_the_same_comes_of_it_again(data: st.DataObject, days: list[tuple[list[str], ...]]) -> None:
    first, again = ScanSteps(RULES), ScanSteps(RULES)
    for at_ns, found in enumerate(days, 1):
        asked: list[tuple[Asked, str | None]] = []
        pinned = data.draw(st.sets(st.sampled_from("abcdef"), max_size=2))
        others = data.draw(st.sets(st.sampled_from("abcdef"), max_size=3))
        both = [(rules.name, hits(at_ns, symbols)) for rules, symbols in zip(RULES, found, strict=True)]
        for instruction in first.step(at_ns, both, pinned):
            for one in first.asked(instruction):
                if one.symbol in others and not isinstance(instruction, Evict):
                    first.note(one, ALREADY_LOADED)
                    continue
                refused = data.draw(st.sampled_from((None, "has no data"))) if one.action == "add_symbol" else None
                first.note(one, refused)
                asked.append((one, refused))
        told = as_told(first.taken[-1])
        assert follow_again(again, at_ns, told, [(one["scan"], read_hits(one, at_ns)) for one in told["hits"]]) == asked
        assert as_told(again.taken[-1]) == told
        assert first_step_difference([told], [as_told(again.taken[-1])]) is None
    assert again.full == first.full
    assert again.followed.visits == first.followed.visits
