"""Who is kept, promoted, evicted from time to time: hits in, instructions out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.errors import IllegalTransition
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, Instruction, LetGo, PromoteSymbol
from barray.trading.scans.keeping import full, top
from barray.trading.scans.language import gap
from barray.trading.scans.plan import Plan, make_plan
from barray.trading.scans.scan import Scan
from barray.trading.scans.state import ScanState


def plan(name: str = "A", **attributes: object) -> Plan:
    return make_plan(type(name, (Scan,), {"where": gap() > 0, "rank": gap(), **attributes})())


def hits(at_ns: int, symbols: Sequence[str] | str) -> Hits:
    scores = np.arange(float(len(symbols)), 0.0, -1.0)
    return Hits(at_ns, tuple(symbols), scores, {"gap()": scores / 100})


def told(done: Sequence[Instruction]) -> list[str]:
    return [f"{type(one).__name__} {one.symbol} {'+'.join(one.by)}" for one in done]


def test_one_that_came_in_stays_until_it_falls_below() -> None:
    state = ScanState([plan(keep=top(2).leave_below(3))])
    scan = state.scans["A"]
    for at_ns, found, kept in [
        (1, "abcd", "ab"), (2, "cabd", "cab"), (3, "cdab", "cda"), (4, "bdca", "bdc"), (5, "b", "b"), (6, "", ""),
    ]:  # fmt: skip
        assert state.step([("A", hits(at_ns, found))]) == ()
        assert list(scan.kept) == list(kept), at_ns
    visits = [(one.symbol, one.since_ns, one.until_ns, one.why, one.place, one.best) for one in state.history]
    assert visits == [
        ("a", 1, 4, "place 4, beyond 3", 1, 1),
        ("b", 1, 3, "place 4, beyond 3", 2, 2),
        ("c", 2, 5, "no longer found", 1, 1),
        ("d", 3, 5, "no longer found", 2, 2),
        ("b", 4, 6, "no longer found", 1, 1),
    ]
    assert state.history[0].values == {"gap()": 0.04}


def test_the_best_are_promoted_the_next_are_adhoc_and_the_worst_leaves_for_a_better_one() -> None:
    state = ScanState([plan(keep=top(4), promote=full(2, "rank", light=1), carry=("RSI(14)@5m",))])
    first = state.step([("A", hits(1, "abcd"))])
    assert told(first) == ["PromoteSymbol a A", "PromoteSymbol b A", "AddAdhoc c A"]
    assert [spec.key for spec in first[0].indicators] == ["RSI(14)@5m"]
    assert first[1].reason == "A: place 2"
    second = state.step([("A", hits(2, "acbd"))])
    assert told(second) == ["Evict b A", "PromoteSymbol c A", "AddAdhoc b A"]
    assert second[0].reason == "A: place 3, others are better"
    assert told(state.step([("A", hits(3, "ca"))])) == ["LetGo b A"]
    assert told(state.step([("A", hits(4, ""))])) == []  # nobody needs their places
    assert told(state.step([("A", hits(5, "x"))])) == ["Evict c A", "PromoteSymbol x A"]


def test_the_first_stay_where_none_is_evicted_and_so_do_those_that_are_pinned() -> None:
    state = ScanState([plan(promote=full(2, light=0))])
    assert told(state.step([("A", hits(1, "ab"))])) == ["PromoteSymbol a A", "PromoteSymbol b A"]
    assert told(state.step([("A", hits(2, "cde"))])) == []
    state = ScanState([plan(promote=full(2, "rank", light=0))])
    state.step([("A", hits(1, "ab"))])
    assert told(state.step([("A", hits(2, "cde"))], pinned={"b"})) == ["Evict a A", "PromoteSymbol c A"]


def test_a_symbol_that_two_scans_want_is_promoted_once_and_named_by_both() -> None:
    state = ScanState([
        plan("A", promote=full(2, "rank"), carry=("RSI(14)@5m",)),
        plan("B", promote=full(1, "rank"), carry=("ATR(14)@5m", "RSI(14)@5m")),
    ])  # fmt: skip
    first = state.step([("A", hits(1, "ab")), ("B", hits(1, "ac"))])
    assert told(first) == ["PromoteSymbol a A+B", "PromoteSymbol b A", "AddAdhoc c B"]
    assert [spec.key for spec in first[0].indicators] == ["RSI(14)@5m", "ATR(14)@5m"]
    assert first[0].reason == "A: place 1; B: place 1"
    later = state.step([("A", hits(2, "ca")), ("B", hits(2, "bc"))])
    assert told(later) == ["PromoteSymbol c A+B", "AlsoWanted b B"]
    only_b = state.step([("B", hits(3, "cb"))])  # A ended, what it wanted stays
    assert told(only_b) == ["Evict b B", "AddAdhoc b B"]
    assert told(state.step([("A", hits(4, "xy"))])) == ["Evict a A", "PromoteSymbol x A", "PromoteSymbol y A"]
    assert state.full["c"] == ("B",)


def test_one_that_can_not_be_promoted_is_not_asked_for_again() -> None:
    state = ScanState([plan(promote=full(1, "rank"))])
    state.step([("A", hits(1, "ab"))])
    state.refuse("a", "no history")
    assert told(state.step([("A", hits(2, "ab"))])) == ["PromoteSymbol b A", "AddAdhoc a A"]
    assert state.refused == {"a": "no history"}


def test_a_scan_without_promote_asks_for_nothing() -> None:
    assert ScanState([plan(promote=None)]).step([("A", hits(1, "abc"))]) == ()


def test_limits_hold_when_thousands_hit_at_once() -> None:
    symbols = [f"S{i:04d}" for i in range(5_000)]
    state = ScanState([plan(promote=full(20, "rank", light=100))])
    state.step([("A", hits(1, symbols))])
    done = state.step([("A", hits(2, symbols[::-1]))])
    assert (len(state.full), len(state.adhoc)) == (20, 100)
    assert set(state.full) == set(symbols[-20:])
    assert sum(isinstance(one, Evict) for one in done) == 20
    assert len(ScanState([plan(keep=top(50))]).step([("A", hits(1, symbols))])) == 0


def test_time_does_not_go_back() -> None:
    state = ScanState([plan(promote=full(2))])
    state.step([("A", hits(2, "a"))])
    with pytest.raises(IllegalTransition):
        state.step([("A", hits(1, "b"))])
    assert list(state.scans["A"].kept) == ["a"]


RANKED = st.lists(st.permutations("abcdefgh").map("".join), min_size=1, max_size=8)


@given(
    RANKED,
    RANKED,
    st.integers(1, 5),
    st.integers(0, 3),
    st.sampled_from(["rank", "never"]),
    st.sets(st.sampled_from("abcdefgh")),
)
def test_instructions_make_of_one_state_the_next(one, other, n, light, evict, pinned) -> None:
    state = ScanState([plan("A", promote=full(n, evict, light=light), keep=top(5).leave_below(6)),
                       plan("B", promote=full(2, "rank", light=1))])  # fmt: skip
    are_full: set[str] = set()
    are_adhoc: set[str] = set()
    for at_ns, (first, second) in enumerate(zip(one, other, strict=False), 1):
        before = set(are_full)
        found = [("A", hits(at_ns, first[: at_ns + 2])), ("B", hits(at_ns, second[: 9 - at_ns]))]
        for done in state.step(found, pinned & before):
            assert done.by
            assert done.at_ns == at_ns
            if isinstance(done, PromoteSymbol):
                assert done.symbol not in are_full
                are_full.add(done.symbol)
                are_adhoc.discard(done.symbol)
            elif isinstance(done, Evict):
                are_full.remove(done.symbol)
            elif isinstance(done, AddAdhoc):
                assert done.symbol not in are_full | are_adhoc
                are_adhoc.add(done.symbol)
            elif isinstance(done, LetGo):
                are_adhoc.remove(done.symbol)
            else:
                assert isinstance(done, AlsoWanted)
                assert done.symbol in are_full | are_adhoc
        assert (are_full, are_adhoc) == (set(state.full), set(state.adhoc))
        assert len(are_full) <= n + 2
        assert pinned & before <= are_full
        assert all(len(scan.promoted) <= scan.plan.promote.n for scan in state.scans.values())
