"""Which nodes may bear processes, how many, and who moves where."""

from __future__ import annotations

from collections import Counter

import pytest

from barray.actors.nodes import Claim, Node, Placement, fewest_a_cpu, moves, selects

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
