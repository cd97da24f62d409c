from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barray.coordinator.summary import SessionEvent
from barray.dump.validate import Violation, count_violations, validate_session_dump
from tests.barray.dump_builder import Built, build, digest_of, laid_out, signed, tree_of, with_summary
from tests.examples import at_most

HALF_DAY = date(2024, 7, 3)
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tree_of(build().write(tmp_path_factory.mktemp("dump") / "session.json"))


def copied(tree: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = orjson.loads(orjson.dumps(tree))  # twenty times as fast as copy.deepcopy
    return copy


def check(tree: dict[str, Any], path: Path) -> list[Violation]:
    path.write_bytes(laid_out(signed(tree)))
    return validate_session_dump(path)


def places(violations: list[Violation]) -> dict[str, str]:
    return {violation.place: violation.code for violation in violations}


@pytest.mark.long
@pytest.mark.parametrize(
    "built",
    [
        pytest.param(build, id="whole session"),
        pytest.param(lambda: build(minutes=61), id="in the middle of a bar"),
        pytest.param(lambda: build(minutes=210, day=HALF_DAY), id="half day"),
        pytest.param(lambda: build(minutes=960, hours="extended"), id="extended hours"),
        pytest.param(lambda: build(minutes=390, day=date(2024, 3, 11)), id="clocks changed in the history"),
        pytest.param(lambda: build(trailing_days=0), id="history for warm-up alone"),
    ],
)
def test_a_dump_as_written_is_true(built: Callable[[], Built], tmp_path: Path) -> None:
    assert validate_session_dump(built().write(tmp_path / "session.json")) == []


def test_the_digest_is_the_one_that_the_reference_describes(pristine: dict[str, Any]) -> None:
    assert pristine["digest"] == digest_of(pristine)


def as_first_layout(tree: dict[str, Any]) -> dict[str, Any]:
    """The dump as it was written before there was a digest."""
    old = copied({**{key: value for key, value in tree.items() if key != "digest"}, "schema": "barray.session/1"})
    for reasons in (*(entry["reasons"] for entry in old["step0"].values()), *old["dropped"].values()):
        for reason in reasons:
            reason["mend"] = reason.pop("remedy")
    for entry in old["symbols"].values():
        if entry["lineage"]:
            del entry["lineage"]["dataset"]
    old["step0"]["ALL"]["historical_date_range"] = ["2010-01-04", "2024-12-31"]
    old["events"][4]["detail"] = {}
    return old


def test_a_dump_of_the_first_layout_is_checked_as_it_was(pristine: dict[str, Any], tmp_path: Path) -> None:
    old = as_first_layout(pristine)
    assert check(old, tmp_path / "old.json") == []
    old["symbols"]["ALL"]["bars"]["5m"]["high"][17] += 1
    assert places(check(old, tmp_path / "old.json")) == {"symbols.ALL.bars.5m[17].high": "derived_bar"}


def test_no_dump_passes_as_one_of_the_first_layout(pristine: dict[str, Any], tmp_path: Path) -> None:
    tree = {**copied(pristine), "schema": "barray.session/1"}
    assert places(check(tree, tmp_path / "session.json")) == {"schema": "schema"}


@pytest.mark.long
def test_another_layout_of_the_same_json_is_true(pristine: dict[str, Any], tmp_path: Path) -> None:
    for nth, text in enumerate(
        (
            json.dumps(pristine, indent=2).encode(),
            orjson.dumps(pristine),
            json.dumps({key: pristine[key] for key in sorted(pristine)}).encode(),
            laid_out(pristine).replace(
                b'"1m":{"history"', b'"1m":\n{"history"'
            ),  # begins as ours, and goes on otherwise
        )
    ):
        path = tmp_path / f"{nth}.json"
        path.write_bytes(text)
        assert validate_session_dump(path) == [], text[:40]


def change(*keys: Any, to: Any = None, by: float = 0) -> Edit:
    """An edit of one leaf: `symbols` is where the keys begin unless they name another section."""

    def edit(tree: dict[str, Any]) -> None:
        place: Any = tree if keys[0] in tree else tree["symbols"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = place[keys[-1]] + by if by else to

    return edit


def remove_row(symbol: str, interval: str, row: int) -> Edit:
    def edit(tree: dict[str, Any]) -> None:
        for column in tree["symbols"][symbol]["bars"][interval].values():
            if isinstance(column, list):
                del column[row]

    return edit


def swap_symbols(tree: dict[str, Any]) -> None:
    tree["symbols"] = dict(reversed(tree["symbols"].items()))


def at_once(*edits: Edit) -> Edit:
    def edit(tree: dict[str, Any]) -> None:
        for one in edits:
            one(tree)

    return edit


def drop(*keys: Any) -> Edit:
    def edit(tree: dict[str, Any]) -> None:
        place: Any = tree if keys[0] in tree else tree["symbols"]
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return edit


def redigested(tree: dict[str, Any], symbol: str, interval: str, **values: float) -> None:
    """Change the second bar, and the digest of the bars with it."""
    entry = tree["symbols"][symbol]["bars"][interval]
    for name, value in values.items():
        entry[name][1] = value
    columns = [np.array([stamp[:-1] for stamp in entry["timestamp"]], "datetime64[ns]").astype(np.int64)]
    columns += [np.array(entry[name], np.float64) for name in ("open", "high", "low", "close", "volume")]
    entry["digest"] = hashlib.blake2b(b"".join(column.tobytes() for column in columns), digest_size=8).hexdigest()


ALL_1M = ("ALL", "bars", "1m")
EDITS: dict[str, tuple[Edit, str, str]] = {
    "meets flag flipped": (
        change("ALL", "metadata", "meets_session_config_requirements", to=False),
        "symbols.ALL.metadata.meets_session_config_requirements", "metadata"),
    "auto flag flipped": (
        change("HAND", "metadata", "auto_provisioned", to=False), "symbols.HAND.metadata.auto_provisioned", "metadata"),
    "upgraded flag flipped": (
        change("UP", "metadata", "upgraded_from_adhoc", to=False),
        "symbols.UP.metadata.upgraded_from_adhoc", "metadata"),
    "mid-session flag flipped": (
        change("LATE", "metadata", "added_mid_session", to=False),
        "symbols.LATE.metadata.added_mid_session", "metadata"),
    "added by nobody known": (
        change("ALL", "metadata", "added_by", to="friend"), "symbols.ALL.metadata", "truth_table"),
    "added by another, true to the table": (
        change("LATE", "metadata", "added_by", to="scanner"), "symbols.LATE.metadata.added_by", "metadata"),
    "adhoc symbol said to be from the config": (
        change("HAND", "metadata", "added_by", to="config"), "symbols.HAND.metadata", "truth_table"),
    "added in the future": (
        change("LATE", "metadata", "added_at", to="2024-06-05T20:00:01Z"),
        "symbols.LATE.metadata.added_at", "after_now"),
    "derived high": (change("ALL", "bars", "5m", "high", 17, by=0.5), "symbols.ALL.bars.5m[17].high", "derived_bar"),
    "derived volume of a day": (
        change("GAP", "bars", "1d", "volume", 2, by=1), "symbols.GAP.bars.1d[2].volume", "derived_bar"),
    "derived count": (change("GAP", "bars", "5m", "actual", 0, to=5), "symbols.GAP.bars.5m[0].actual", "derived_bar"),
    "derived completeness": (
        change("GAP", "bars", "5m", "complete", 0, to=True), "symbols.GAP.bars.5m[0].complete", "derived_bar"),
    "derived end": (
        change("ALL", "bars", "5m", "end", 3, to="2024-06-05T13:51:00Z"), "symbols.ALL.bars.5m[3].end", "derived_bar"),
    "derived from something else": (
        change("ALL", "bars", "5m", "derived_from", to="1s"), "symbols.ALL.bars.5m.derived_from", "derived_bar"),
    "derived bar removed": (remove_row("ALL", "5m", 20), "symbols.ALL.bars.5m[20].timestamp", "missing_bar"),
    "indicator value": (
        change("ALL", "indicators", "RSI(14)@5m", "values", "real", 30, by=1e-9),
        "symbols.ALL.indicators.RSI(14)@5m.values.real[30]", "indicator"),
    "indicator value for none": (
        change("ALL", "indicators", "SMA(2)@1d", "values", "real", 0, to=1.0),
        "symbols.ALL.indicators.SMA(2)@1d.values.real[0]", "indicator"),
    "convention": (
        change("ALL", "indicators", "RSI(14)@5m", "convention", to="Cutler"),
        "symbols.ALL.indicators.RSI(14)@5m.convention", "indicator"),
    "indicator removed": (drop("ALL", "indicators", "RSI(14)@5m"), "symbols.ALL.indicators.RSI(14)@5m", "missing"),
    "interval removed": (drop("ALL", "bars", "5m"), "symbols.ALL.bars.5m", "missing"),
    "a price is null": (change(*ALL_1M, "close", 1500), "symbols.ALL.bars.1m[1500].close", "float_type"),
    "base bar removed": (remove_row("ALL", "1m", 1300), "symbols.ALL.lineage.bars", "lineage"),
    "base bar above its high": (change(*ALL_1M, "open", 1300, by=50), "symbols.ALL.bars.1m[1300].high", "bad_values"),
    "base volume negative": (change(*ALL_1M, "volume", 9, to=-1.0), "symbols.ALL.bars.1m[9].volume", "bad_values"),
    "stamp moved off the grid": (
        change(*ALL_1M, "timestamp", 1170, to="2024-06-05T13:30:30Z"),
        "symbols.ALL.bars.1m[1170].timestamp", "off_grid"),
    "stamp moved before the open": (
        change(*ALL_1M, "timestamp", 1170, to="2024-06-05T13:29:00Z"),
        "symbols.ALL.bars.1m[1170].timestamp", "outside_session"),
    "stamp duplicated": (
        change(*ALL_1M, "timestamp", 1171, to="2024-06-05T13:30:00Z"),
        "symbols.ALL.bars.1m[1171].timestamp", "duplicate_stamp"),
    "stamp set back": (
        change(*ALL_1M, "timestamp", 1171, to="2024-06-04T19:59:00Z"),
        "symbols.ALL.bars.1m[1171].timestamp", "unsorted_stamp"),
    "stamp that is none": (
        change(*ALL_1M, "timestamp", 4, to="2024-13-05T13:29:00Z"), "symbols.ALL.bars.1m[4].timestamp", "bad_stamp"),
    "bar of an earlier week's day": (
        change(*ALL_1M, "timestamp", 0, to="2024-05-30T13:30:00Z"),
        "symbols.ALL.bars.1m[0].timestamp", "before_history"),
    "column cut": (drop(*ALL_1M, "close", 3), "symbols.ALL.bars.1m.close", "length"),
    "quality share": (change("GAP", "quality", "1m", "share", to=1.0), "symbols.GAP.quality.1m.share", "quality"),
    "gap removed": (drop("GAP", "quality", "1m", "gaps", 1), "symbols.GAP.quality.1m.gaps", "quality"),
    "gap longer": (
        change("GAP", "quality", "1m", "gaps", 0, "missing", to=4),
        "symbols.GAP.quality.1m.gaps[0].missing", "quality"),
    "history quality": (
        change("ALL", "history_quality", "5m", "actual", by=-1),
        "symbols.ALL.history_quality.5m.actual", "history_quality"),
    "lineage count": (change("ALL", "lineage", "bars", by=1), "symbols.ALL.lineage.bars", "lineage"),
    "lineage end": (
        change("ALL", "lineage", "last", to="2024-06-05T19:58:00Z"), "symbols.ALL.lineage.last", "lineage"),
    "lineage of another source": (
        change("ALL", "lineage", "source", to="alpaca"), "symbols.ALL.lineage.source", "lineage"),
    "lineage removed": (change("ALL", "lineage"), "symbols.ALL.lineage", "lineage"),
    "adhoc bar": (change("HAND", "bars", "5m", "volume", 1, by=1), "symbols.HAND.bars.5m.digest", "digest"),
    "adhoc stamp not listed": (
        drop("HAND", "adhoc", "bars", "5m", 1), "symbols.HAND.bars.5m[1].timestamp", "unexpected_bar"),
    "adhoc stamp without its bar": (
        change("UP", "adhoc", "bars", "1m", 0, to="2024-06-05T13:36:00Z"),
        "symbols.UP.adhoc.bars.1m[0]", "missing_bar"),
    "conflict's record": (
        change("UP", "adhoc", "conflicts", 2, "record", "high", by=1),
        "symbols.UP.adhoc.conflicts[2].record.high", "conflict"),
    "conflict's adhoc bar": (
        change("UP", "adhoc", "conflicts", 0, "adhoc", "volume", by=1), "symbols.UP.adhoc.conflicts_digest", "digest"),
    "history count": (change(*ALL_1M, "history", by=1), "symbols.ALL.bars.1m.history", "history"),
    "symbols reordered": (swap_symbols, "symbols.LATE", "order"),
    "symbol removed": (drop("GAP"), "symbols.GAP", "missing"),
    "symbol that did not pass Step 0": (
        lambda tree: tree["symbols"].update(NONE=tree["symbols"].pop("UP")), "symbols.NONE", "unexpected"),
    "unknown key in a symbol": (change("ALL", "color", to="red"), "symbols.ALL.color", "unknown_key"),
    "unknown key at the top": (lambda tree: tree.update(made="today"), "made", "unknown_key"),
    "key removed": (drop("ALL", "metadata", "added_by"), "symbols.ALL.metadata.added_by", "missing"),
    "digest removed": (drop(*ALL_1M, "digest"), "symbols.ALL.bars.1m.digest", "missing"),
    "text for a number": (change(*ALL_1M, "close", 7, to="100"), "symbols.ALL.bars.1m[7].close", "float_type"),
    "true for a number": (change(*ALL_1M, "close", 7, to=True), "symbols.ALL.bars.1m[7].close", "float_type"),
    "wrong schema version": (lambda tree: tree.update(schema="barray.session/3"), "schema", "schema"),
    "unknown calendar": (change("session", "calendar", to="XXXX"), "session.calendar", "bad_calendar"),
    "a holiday": (change("session", "date", to="2024-06-19"), "session.date", "no_session"),
    "open an hour off": (change("session", "open", to="2024-06-05T14:30:00Z"), "session.open", "calendar"),
    "close an hour off": (change("session", "close", to="2024-06-05T21:00:00Z"), "session.close", "calendar"),
    "time zone": (change("session", "timezone", to="Europe/Paris"), "session.timezone", "calendar"),
    "history that begins late": (
        change("requirements", "history_first", to="2024-06-03"), "requirements.history_first", "calendar"),
    "interval that is none": (
        change("requirements", "intervals", 1, to="90x"),
        "requirements.intervals[1]", "bad_interval"),
    "interval in another form": (
        change("requirements", "intervals", 1, to="300s"), "requirements.intervals[1]", "bad_interval"),
    "requirement of more": (
        lambda tree: tree["requirements"]["intervals"].append("30m"), "symbols.ALL.bars.30m", "missing"),
    "event in the future": (change("events", 5, "at", to="2024-06-06T00:00:00Z"), "events[5].at", "after_now"),
    "event out of order": (change("events", 5, "at", to="2024-06-05T13:31:00Z"), "events[5].at", "order"),
    "event removed": (drop("events", 10), "symbols.LATE.metadata.added_by", "metadata"),
    "Step 0 denied": (change("step0", "GAP", "can_proceed", to=False), "symbols.GAP", "unexpected"),
    "added at another time": (
        change("LATE", "metadata", "added_at", to="2024-06-05T14:16:00Z"),
        "symbols.LATE.metadata.added_at", "metadata"),
    "added before the session opened": (
        change("ALL", "metadata", "added_at", to="2024-06-05T13:29:00Z"),
        "symbols.ALL.metadata.added_at", "metadata"),
    "one of the config's added while the session ran": (
        at_once(change("ALL", "metadata", "added_at", to="2024-06-05T13:31:00Z"),
                change("ALL", "metadata", "added_mid_session", to=True)),
        "symbols.GAP.metadata.added_at", "metadata"),
    "the config's symbols added after the first event": (
        at_once(*(change(symbol, "metadata", name, to=value) for symbol in ("ALL", "GAP")
                  for name, value in (("added_at", "2024-06-05T13:43:00Z"), ("added_mid_session", True)))),
        "symbols.ALL.metadata.added_at", "metadata"),
    "upgraded at another time": (
        change("UP", "metadata", "added_at", to="2024-06-05T13:42:00Z"), "symbols.UP.metadata.added_at", "metadata"),
    "provisioned for another reason": (
        change("HAND", "metadata", "provisioned_reason", to="indicator_addition"),
        "symbols.HAND.metadata.provisioned_reason", "metadata"),
    "provisioned, and nothing came before": (
        change("LATE", "metadata", "provisioned_reason", to="bar_addition"),
        "symbols.LATE.metadata.upgraded_from_adhoc", "metadata"),
    "event at another time": (
        change("events", 10, "at", to="2024-06-05T14:16:00Z"), "symbols.LATE.metadata.added_at", "metadata"),
    "event of another symbol": (change("events", 10, "symbol", to="GAP"), "symbols.LATE.metadata.added_by", "metadata"),
    "event that was refused": (change("events", 8, "accepted", to=False), "symbols.UP.metadata.added_by", "metadata"),
    "event of an added bar removed": (drop("events", 5), "symbols.HAND.adhoc.bars.5m", "event"),
    "event of an overruled bar removed": (drop("events", 1), "symbols.UP.adhoc.bars.1m", "event"),
    "event of an added indicator removed": (drop("events", 7), "symbols.HAND.adhoc.indicators", "event"),
    "event tells another price": (
        change("events", 6, "detail", "bar", "close", by=1), "symbols.HAND.adhoc.bars.5m", "event"),
    "event tells no bar": (
        change("events", 6, "detail", to={}), "events.HAND[2024-06-05T14:00:00Z].detail", "event"),
    "bar and its digest changed, not its event": (
        lambda tree: redigested(tree, "HAND", "5m", volume=701.0), "symbols.HAND.adhoc.bars.5m", "event"),
    "Step 0: no history, and proceeds": (
        change("step0", "ALL", "has_historical_data", to=False), "step0.ALL.has_historical_data", "step0"),
    "Step 0: no session data, and proceeds": (
        change("step0", "ALL", "has_session_data", to=False), "step0.ALL.has_session_data", "step0"),
    "Step 0: history of one that has no source": (
        change("step0", "NONE", "has_historical_data", to=True), "step0.NONE.has_historical_data", "step0"),
    "Step 0: a source that was not asked": (
        change("step0", "ALL", "sources_asked", 0, to="alpaca"), "step0.ALL.data_source", "step0"),
    "Step 0: asked on after the one that serves": (
        lambda tree: tree["step0"]["ALL"]["sources_asked"].append("alpaca"), "step0.ALL.sources_asked", "step0"),
    "Step 0: intervals that give another base": (
        change("step0", "ALL", "intervals_supported", to=["7m"]), "step0.ALL.base_interval", "step0"),
    "Step 0: days that the session doesn't need": (
        change("step0", "ALL", "historical_date_range", 0, to="2024-05-30"),
        "step0.ALL.historical_date_range", "step0"),
    "Step 0: a day less than was needed": (
        change("step0", "ALL", "historical_date_range", 0, to="2024-06-03"),
        "step0.ALL.historical_date_range", "step0"),
    "Step 0: no days": (
        change("step0", "ALL", "historical_date_range", to=None), "step0.ALL.historical_date_range", "step0"),
    "Step 0: a reason to proceed": (change("step0", "ALL", "reason", to="fine"), "step0.ALL.reason", "step0"),
    "Step 0: other words": (
        change("step0", "NONE", "reasons", 0, "message", to="has no bars"), "step0.NONE.reason", "step0"),
    "Step 0: the reasons of a drop": (
        change("dropped", "NONE", 0, "code", to="no_history"), "dropped.NONE[0].code", "step0"),
    "trailing days without end": (
        change("requirements", "trailing_days", to=10**9), "requirements.trailing_days", "out_of_range"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("edit", "place", "code"), EDITS.values(), ids=EDITS)
def test_an_edited_dump_is_rejected_with_the_place(
    pristine: dict[str, Any], tmp_path: Path, edit: Edit, place: str, code: str
) -> None:
    tree = copied(pristine)
    edit(tree)
    found = places(check(tree, tmp_path / "session.json"))
    assert place in found, found
    assert found[place] == code, found


def test_found_and_expected_are_told(pristine: dict[str, Any], tmp_path: Path) -> None:
    tree = copied(pristine)
    right = tree["symbols"]["ALL"]["bars"]["5m"]["high"][17]
    tree["symbols"]["ALL"]["bars"]["5m"]["high"][17] = 999.5
    (violation,) = check(tree, tmp_path / "session.json")
    assert violation == Violation("symbols.ALL.bars.5m[17].high", "derived_bar", "999.5", repr(right))
    assert str(violation) == f"symbols.ALL.bars.5m[17].high: derived_bar: found 999.5, expected {right}"


def test_a_removed_base_bar_shows_in_all_that_hangs_on_it(pristine: dict[str, Any], tmp_path: Path) -> None:
    tree = copied(pristine)
    remove_row("ALL", "1m", 1300)(tree)  # 15:40, in the bar of 15:40 to 15:45
    found = places(check(tree, tmp_path / "session.json"))
    assert {
        "symbols.ALL.bars.1m.digest",
        "symbols.ALL.bars.5m[26].actual",
        "symbols.ALL.bars.5m[26].complete",
        "symbols.ALL.indicators.SESSION_VWAP@1m.values.vwap",
        "symbols.ALL.lineage.bars",
        "symbols.ALL.quality.1m.actual",
        "symbols.ALL.quality.1m.gaps",
        "symbols.ALL.quality.1m.share",
    } <= found.keys()
    assert {place.split(".")[1] for place in found} == {"ALL"}


def test_of_many_in_one_array_the_first_few_are_listed_and_all_are_counted(
    pristine: dict[str, Any], tmp_path: Path
) -> None:
    tree = copied(pristine)
    values = tree["symbols"]["ALL"]["indicators"]["RSI(14)@5m"]["values"]["real"]
    values[:] = [1.0] * len(values)
    violations = check(tree, tmp_path / "session.json")
    assert len(violations) == 5
    assert str(violations[-1]).endswith("… and 73 more")
    assert count_violations(violations) == 78


def test_before_the_close_a_lineage_counts_the_closed_bars_alone(tmp_path: Path) -> None:
    tree = tree_of(build(minutes=61).write(tmp_path / "session.json"))
    lineage = tree["symbols"]["ALL"]["lineage"]
    assert lineage["bars"] == 1231  # 1560 were loaded
    assert lineage["last"] == "2024-06-05T14:30:00Z"
    for bars, good in ((1230, False), (1231, True), (1560, False)):
        lineage["bars"] = bars
        assert (places(check(tree, tmp_path / "edited.json")) == {}) == good, bars


def test_a_bar_beyond_now_is_rejected(tmp_path: Path) -> None:
    tree = tree_of(build(minutes=61).write(tmp_path / "session.json"))
    bars = tree["symbols"]["ALL"]["bars"]["1m"]
    for name in ("open", "high", "low", "close", "volume"):
        bars[name].append(bars[name][-1])
    bars["timestamp"].append("2024-06-05T14:31:00Z")
    found = places(check(tree, tmp_path / "edited.json"))
    assert found == {"symbols.ALL.bars.1m[1231].timestamp": "after_now"}


def test_now_set_back_makes_later_bars_look_ahead(pristine: dict[str, Any], tmp_path: Path) -> None:
    tree = copied(pristine)
    tree["session"]["now"] = "2024-06-05T19:59:00Z"
    assert places(check(tree, tmp_path / "session.json"))["symbols.ALL.bars.1m[1559].timestamp"] == "after_now"


def test_a_symbol_that_stands_twice_is_rejected(pristine: dict[str, Any], tmp_path: Path) -> None:
    lines = laid_out(pristine).split(b"\n")
    path = tmp_path / "session.json"
    path.write_bytes(b"\n".join([*lines[:3], *lines[2:]]))
    assert places(validate_session_dump(path)) == {"symbols.ALL": "duplicate", "digest": "digest"}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_key_that_stands_twice_is_rejected(pristine: dict[str, Any], tmp_path: Path, indent: int | None) -> None:
    text = laid_out(pristine) if indent is None else json.dumps(pristine, indent=indent).encode()
    twice = re.sub(rb'("added_by": ?)"scanner"', rb'\1"config", \1"scanner"', text, count=1)
    path = tmp_path / "session.json"
    path.write_bytes(twice)
    assert places(validate_session_dump(path)) == {"symbols.UP.metadata.added_by": "duplicate_key"}


def broken(text: bytes) -> dict[str, tuple[bytes, str, str]]:
    middle = text.index(b'"GAP"', text.index(b'"symbols":{'))
    return {
        "empty": (b"", "line 1, column 1", "not_json"),
        "blank": (b" \n", "line 1, column 1", "not_json"),
        "not JSON": (b"timestamp,open\n1,2\n", "line 1, column 1", "not_json"),
        "binary": (b"PAR1\x00\xff\xfe", "line 1, column 1", "not_json"),
        "a list": (b"[]", "file", "not_json"),
        "a number": (b"1", "file", "not_json"),
        "nothing in it": (b"{}", "symbols", "missing"),
        "symbols as a list": (b'{"schema":"barray.session/1","symbols":[]}', "symbols", "missing"),
        "symbols alone": (b'{"symbols":{}}', "schema", "schema"),
        "cut in a symbol": (text[: middle + 500], "line 4, column 501", "not_json"),
        "cut after a symbol": (text[:middle], "line 4, column 1", "not_json"),
        "the end is missing": (text.rstrip()[:-1], "line 8", "not_json"),
        "something after the end": (text + b"{}", "line 9, column 1", "not_json"),
        "NaN": (re.sub(rb'"open":\[[0-9.]+', b'"open":[NaN', text, count=1), "line 3, column", "not_json"),
        "Infinity": (re.sub(rb'"open":\[[0-9.]+', b'"open":[1e999', text, count=1), "line 3, column", "not_json"),
        "a comma too many": (text.rstrip()[:-2] + b",}}", "line", "not_json"),
    }


@pytest.mark.parametrize("how", list(broken(b'{"schema"\n"symbols":{\n"ALL"\n"GAP"')))
def test_a_broken_file_is_a_violation_and_never_a_traceback(pristine: dict[str, Any], tmp_path: Path, how: str) -> None:
    text, place, code = broken(laid_out(pristine))[how]
    path = tmp_path / "session.json"
    path.write_bytes(text)
    violations = validate_session_dump(path)
    assert violations[-1].place.startswith(place), violations
    assert violations[-1].code == code


def test_a_missing_file_and_a_directory_are_violations(tmp_path: Path) -> None:
    assert places(validate_session_dump(tmp_path / "none.json")) == {"file": "unreadable"}
    assert places(validate_session_dump(tmp_path)) == {"file": "unreadable"}
    assert places(validate_session_dump(tmp_path / "none.csv")) == {"file": "unreadable"}


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict | list):
        entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [leaf for key, value in entries for leaf in leaves(value, (*path, key))]
    return [path]


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


class _Dump:
    """A dump whose leaves can be changed one by one, by kind, so that no kind is lost among the many bars."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.json"
        self.tree = tree_of(build(minutes=210, day=HALF_DAY, trailing_days=1).write(self.path))
        self.kinds: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
        for path in leaves(self.tree):
            self.kinds[tuple(key for key in path if not isinstance(key, int))].append(path)

    def numeric(self) -> list[tuple[Any, ...]]:
        def is_number(path: tuple[Any, ...]) -> bool:
            value = at(self.tree, path)
            return isinstance(value, int | float) and not isinstance(value, bool)

        return [kind for kind in self.kinds if kind[0] == "symbols" and any(map(is_number, self.kinds[kind]))]

    def replaced(self, path: tuple[Any, ...], value: Any) -> list[Violation]:
        """What is wrong where a leaf, and the digest with it, was changed."""
        return self.written(path, value, sign=signed)

    def written(self, path: tuple[Any, ...], value: Any, sign: Callable[[Any], Any] = copied) -> list[Violation]:
        """What is wrong where a leaf was changed."""
        parent, before = at(self.tree, path[:-1]), at(self.tree, path)
        parent[path[-1]] = value
        try:
            self.path.write_bytes(laid_out(sign(self.tree)))
            return validate_session_dump(self.path)
        finally:
            parent[path[-1]] = before


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> _Dump:
    return _Dump(tmp_path_factory.mktemp("leaves"))


RELAXED = settings(
    max_examples=at_most(80),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.long
@RELAXED
@given(st.data())
def test_any_single_number_changed_is_rejected(dump: _Dump, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(dump.numeric()))
    path = data.draw(st.sampled_from(dump.kinds[kind]))
    value = at(dump.tree, path)
    if value is None:
        return
    changed = value + data.draw(st.sampled_from([1, -1])) if isinstance(value, int) else data.draw(nearby(value))
    violations = dump.replaced(path, changed)
    assert violations, (path, value, changed)
    assert all(f".{path[1]}." in violation.place for violation in violations), violations


def nearby(value: float) -> st.SearchStrategy[float]:
    near = st.floats(value - 1, value + 1, allow_nan=False).filter(lambda changed: changed != value)
    return st.sampled_from([value * (1 + 2**-52) or 2.0**-1000, value + 0.01, -value - 1.0]) | near


@pytest.mark.long
@RELAXED
@given(st.data())
def test_any_single_leaf_changed_is_rejected(dump: _Dump, data: st.DataObject) -> None:
    """Of header, Step 0 and events too: what nothing else depends on, the digest tells."""
    kind = data.draw(st.sampled_from(list(dump.kinds)))
    path = data.draw(st.sampled_from(dump.kinds[kind]))
    value = at(dump.tree, path)
    changed = data.draw(st.sampled_from([*OTHER, f"{value}x", value + 1 if isinstance(value, int | float) else None]))
    if orjson.dumps(changed) != orjson.dumps(value):
        assert dump.written(path, changed), (path, value, changed)


OTHER: list[Any] = [None, True, False, 0, 1.5, -1, "", "x", "2024-07-03T14:00:00Z", "2024-07-02", [], {}]


@pytest.mark.long
@RELAXED
@given(st.data())
def test_no_leaf_whatever_it_becomes_is_a_traceback(dump: _Dump, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(dump.kinds[data.draw(st.sampled_from(list(dump.kinds)))]))
    path = path[: data.draw(st.integers(1, len(path)))]
    strange: list[Any] = [
        None,
        True,
        0,
        -1,
        10**18,
        1e300,
        "",
        "x",
        "2024-06-05T14:00:00Z",
        [],
        {},
        [[]],
        {"a": 1},
        ["1m"],
    ]
    dump.replaced(path, data.draw(st.sampled_from(strange)))


@pytest.mark.long
@RELAXED
@given(st.integers(0, 200_000), st.binary(min_size=0, max_size=3), st.integers(0, 40))
def test_no_damage_to_the_bytes_is_a_traceback(dump: _Dump, at_byte: int, inserted: bytes, cut: int) -> None:
    text = laid_out(dump.tree)
    at_byte %= len(text)
    dump.path.write_bytes(text[:at_byte] + inserted + text[at_byte + cut :])
    validate_session_dump(dump.path)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A live day's dump: its stream said nothing for a while, and came again."""
    built = build()
    at_ns = built.summary.events[-1].at_ns
    noted = (
        SessionEvent(at_ns, "stream", "", "coordinator", accepted=False, reason="no bars for 95 s"),
        SessionEvent(at_ns, "stream", "", "coordinator", accepted=True, reason="bars come again"),
    )
    path = tmp_path_factory.mktemp("silent") / "session.json"
    return tree_of(with_summary(built, events=(*built.summary.events, *noted)).write(path))


def test_a_live_day_whose_stream_fell_silent_and_came_again_is_true(silent: dict[str, Any], tmp_path: Path) -> None:
    assert [event["action"] for event in silent["events"]][-2:] == ["stream", "stream"]
    assert check(silent, tmp_path / "session.json") == []


@pytest.mark.parametrize(("name", "value"), [("symbol", "ALL"), ("by", "scanner")])
def test_an_event_of_the_stream_is_the_sessions_own(
    silent: dict[str, Any], tmp_path: Path, name: str, value: str
) -> None:
    tree = copied(silent)
    tree["events"][-1][name] = value
    assert places(check(tree, tmp_path / "session.json")) == {f"events[13].{name}": "stream_event"}


def test_an_event_that_no_session_knows_is_rejected(pristine: dict[str, Any], tmp_path: Path) -> None:
    tree = copied(pristine)
    tree["events"][0]["action"] = "add_anything"
    assert places(check(tree, tmp_path / "session.json"))["events[0].action"] == "literal_error"
