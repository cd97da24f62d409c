"""A recorded day with others than those that scans had made full."""

from __future__ import annotations

from barray.trading.engine.day_again import with_others
from barray.trading.engine.recording import Step


def step(kind: str, at_ns: int, joined: str = "", left: str = "") -> Step:
    return Step(kind, at_ns, {}, tuple(joined), tuple(left))


def told(steps: list[Step]) -> list[tuple[str, int, str, str]]:
    return [(one.kind, one.at_ns, "".join(one.joined), "".join(one.left)) for one in steps]


DAY = [
    step("open", 10, "ACX"),  # C is the config's, scans have added A, somebody else X
    step("arrive", 11),
    step("go", 11),
    step("arrive", 20),
    step("change", 20, "B", "AX"),
    step("go", 20),
    step("arrive", 30),
    step("go", 30),
]
THEN = [(10, frozenset("A")), (20, frozenset("B")), (30, frozenset("B"))]


def test_where_scans_found_the_same_the_day_is_what_it_was() -> None:
    assert told(with_others(DAY, THEN, THEN)) == told(DAY)


def test_others_come_and_go_at_the_times_of_the_scans_that_found_them() -> None:
    now = [(10, frozenset("AB")), (20, frozenset("B")), (30, frozenset("D"))]
    assert told(with_others(DAY, THEN, now)) == [
        ("open", 10, "ABCX", ""),
        ("arrive", 11, "", ""),
        ("go", 11, "", ""),
        ("arrive", 20, "", ""),
        ("change", 20, "", "AX"),
        ("go", 20, "", ""),
        ("arrive", 30, "", ""),
        ("change", 30, "D", "B"),
        ("go", 30, "", ""),
    ]
