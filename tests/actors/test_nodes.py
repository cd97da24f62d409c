"""Which nodes may bear processes, how many, and who moves where."""

from __future__ import annotations

from collections import Counter

import pytest

from barray.actors.nodes import Claim, Node, Placement, fewest_a_cpu, moves, selects, shared_out

HEAD = Node("head", 4.0, 4.0, 8e9, {"zone": "a"}, is_head=True)
EAST = Node("east", 2.0, 1.0, 2e9, {"zone": "a", "disk": "nvme"})
WEST = Node("west", 8.0, 8.0, 2e9, {"zone": "b"})


@pytest.mark.parametrize(
    ("wanted", "accepted"),
    [("a", {"a"}), ("!a", {"b", None}), ("in(a, b)", {"a", "b"}), ("!in(a,c)", {"b", None})],
)
def test_labels_are_selected_as_ray_does(wanted: str, accepted: set[str | None]) -> None:
    assert {value for value in ("a", "b", "c", None) if selects(wanted, value)} == accepted - {"c"} | (
        {"c"} if wanted == "!a" else set()
    )


@pytest.mark.parametrize("wrong", ["", "a b", "in()", "in(a", "!!a", "a,b"])
def test_what_is_no_selector_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"in\(a,b\)"):
        selects(wrong, "a")


def test_a_placement_takes_the_nodes_it_names() -> None:
    def bearing(placement: Placement) -> list[str]:
        return [node.id for node in (HEAD, EAST, WEST) if placement.bears(node)]

    assert bearing(Placement()) == ["head", "east", "west"]
    assert bearing(Placement(head=False)) == ["east", "west"]
    assert bearing(Placement(labels={"zone": "a"})) == ["head", "east"]
    assert bearing(Placement(head=False, labels={"zone": "!b", "disk": "nvme"})) == ["east"]
    placement = Placement(head=False, labels={"zone": "a"})
    assert placement.selector([HEAD, EAST]) == {"zone": "a", "ray.io/node-id": "!head"}


def test_a_claim_fits_as_often_as_cpus_and_memory_are_free() -> None:
    assert Claim(0.5).fit(EAST) == 2
    assert Claim(0.1).fit(EAST) == 10
    assert Claim(0.1, 1e9).fit(EAST) == 2
    assert Claim(2.0).fit(EAST) == 0
    assert Claim(0.5, 1e9).resources == {"CPU": 0.5, "memory": 1e9}


def test_a_full_node_is_passed_over_and_none_is_named_where_all_are() -> None:
    started = Counter({"west": 7})
    assert fewest_a_cpu([EAST, WEST], {}, Claim(1.0), started) == "west"
    assert fewest_a_cpu([EAST, WEST], {"west": 9}, Claim(1.0), started) == "east"
    assert fewest_a_cpu([EAST, WEST], {}, Claim(1.0), Counter({"west": 8, "east": 1})) is None


def test_processes_move_until_no_move_would_make_it_more_even() -> None:
    claim = Claim(0.001)
    assert moves([HEAD, WEST], {"head": 6}, claim) == [("head", "west")] * 4
    assert moves([HEAD, WEST], {"head": 2, "west": 4}, claim) == []
    assert moves([EAST], {"gone": 3}, claim) == []


SYMBOLS = [f"S{number}" for number in range(200)]


def homes(*names: str) -> dict[str, str]:
    """Where each of 200 symbols goes, on nodes that bear as many of them each."""
    places = [names[number % len(names)] for number in range(len(SYMBOLS))]
    groups = shared_out(SYMBOLS, places, 1)
    return {symbol: home for home, [symbol] in zip(places, groups, strict=True)}


def test_symbols_are_shared_out_evenly_and_go_back_to_where_they_were() -> None:
    three = homes("a", "b", "c")
    assert sorted(Counter(three.values()).values()) == [66, 67, 67]
    again = dict.fromkeys(SYMBOLS)
    for home, [symbol] in zip(places := ["c", "a", "b"] * 67, shared_out(SYMBOLS[::-1], places[:200], 1), strict=False):
        again[symbol] = home
    moved = [symbol for symbol in SYMBOLS if again[symbol] != three[symbol]]
    assert len(moved) <= 2, "neither the order of nodes nor that of symbols matters"


def test_few_symbols_move_as_a_node_joins_or_leaves() -> None:
    three, four = homes("a", "b", "c"), homes("a", "b", "c", "d")
    moved = [symbol for symbol in SYMBOLS if four[symbol] != three[symbol]]
    assert 50 <= len(moved) <= 75, "a quarter must"
    assert len([symbol for symbol in moved if four[symbol] != "d"]) <= 25


def test_processes_that_share_symbols_have_as_many_as_they_take_wherever_they_are() -> None:
    groups = shared_out(SYMBOLS[:9], ["a", "b", "a"], 4)
    assert sorted(symbol for group in groups for symbol in group) == sorted(SYMBOLS[:9])
    assert all(1 <= len(group) <= 4 for group in groups)
    assert shared_out(["A", "B", "C"], ["", ""], 2) == [["A", "B"], ["C"]]
    parts = shared_out(["A\n0", "B\n0", "A\n1", "B\n1"], ["a", "a", "b", "b"], 1)
    assert sorted(sorted(name[0] for [name] in parts[at : at + 2]) for at in (0, 2)) == [["A", "A"], ["B", "B"]]
