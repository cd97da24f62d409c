from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barray.dump.validate import Violation, validate_session_dump
from barray.dump.writers.csv import FILE_COLUMNS, write_csv
from barray.market.calendar import ExtendedHours
from barray.market.validation import Reason
from tests.barray.dump_builder import build
from tests.examples import at_most

Rows = list[list[str]]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    built = build()
    return write_csv(tmp_path_factory.mktemp("csv") / "a.csv", built.summary, built.symbols).read_text()


def check(rows: Rows, path: Path) -> list[Violation]:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return validate_session_dump(path)


def places(violations: list[Violation]) -> dict[str, str]:
    return {violation.place: violation.code for violation in violations}


@pytest.mark.parametrize("minutes", [390, 61])
def test_a_csv_as_written_is_true(tmp_path: Path, minutes: int) -> None:
    built = build(minutes=minutes)
    assert validate_session_dump(write_csv(tmp_path / "a.csv", built.summary, built.symbols)) == []


def test_a_csv_says_its_hours_itself(tmp_path: Path) -> None:
    built = build(minutes=960, hours="extended")
    path = write_csv(tmp_path / "a.csv", built.summary, built.symbols)
    assert validate_session_dump(path) == []
    assert validate_session_dump(path, calendar="XLON", hours="regular") == []  # what the file says counts


def test_hours_that_a_config_gives_are_said_with_their_times(tmp_path: Path) -> None:
    built = build(minutes=960, hours="extended")
    hours = ExtendedHours(time(4), time(20), time(17))
    path = write_csv(tmp_path / "a.csv", replace(built.summary, extended_hours=hours), built.symbols)
    assert path.read_text().splitlines()[1].split(",")[-4] == "extended 04:00 20:00 17:00"
    assert validate_session_dump(path) == []


def first_layout(text: str) -> Rows:
    """The table without the columns that say what it is, as it was written at first."""
    return [row[: -len(FILE_COLUMNS)] for row in csv.reader(text.splitlines())]


def test_a_csv_of_the_first_layout_is_checked_as_it_was(text: str, tmp_path: Path) -> None:
    rows = first_layout(text)
    assert check(rows, tmp_path / "a.csv") == []
    cell("GAP_quality", 30, "1")(rows)
    assert places(check(rows, tmp_path / "a.csv")) == {"GAP_quality[line 30]": "quality"}


def test_hours_of_a_csv_of_the_first_layout_have_to_be_named(tmp_path: Path) -> None:
    built = build(minutes=960, hours="extended")
    rows = first_layout(write_csv(tmp_path / "a.csv", built.summary, built.symbols).read_text())
    check(rows, tmp_path / "a.csv")
    assert validate_session_dump(tmp_path / "a.csv", hours="extended") == []
    (first, *_) = validate_session_dump(tmp_path / "a.csv")
    assert (first.place, first.code) == ("timestamp[line 2]", "outside_session")


def test_the_digest_is_the_one_that_the_reference_describes(text: str) -> None:
    columns = list(zip(*csv.reader(text.splitlines()), strict=True))
    cells = "".join(f"{one}\n" for column in columns[:-1] for one in column)
    assert columns[-1] == ("digest", *[hashlib.sha256(cells.encode()).hexdigest()] * 390)


@pytest.mark.long
@settings(max_examples=at_most(60), deadline=None, derandomize=True)
@given(st.data())
def test_any_cell_changed_is_rejected(text: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    rows = list(csv.reader(text.splitlines()))
    column = data.draw(st.integers(0, len(rows[0]) - 1))
    line = data.draw(st.integers(1, len(rows) - 1))
    value = rows[line][column]
    other = data.draw(st.sampled_from(["", "0", "100.25", "true", "false", "config", "strategy", f"{value}0"]))
    if other != value:
        rows[line][column] = other
        assert check(rows, tmp_path_factory.getbasetemp() / "cell.csv"), (rows[0][column], line, value, other)


def test_a_header_alone_is_true(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("timestamp\n")
    assert validate_session_dump(path) == []


def cell(column: str, line: int, value: str) -> Callable[[Rows], None]:
    def edit(rows: Rows) -> None:
        rows[line - 1][rows[0].index(column)] = value

    return edit


def whole_column(column: str, value: str) -> Callable[[Rows], None]:
    def edit(rows: Rows) -> None:
        for line in range(2, len(rows) + 1):
            cell(column, line, value)(rows)

    return edit


def rename(column: str, name: str) -> Callable[[Rows], None]:
    return cell(column, 1, name)


def clear_gap_bar(rows: Rows) -> None:
    for name in ("open", "high", "low", "close", "volume"):
        cell(f"GAP_{name}", 21, "")(rows)


def swap_blocks(rows: Rows) -> None:
    late, up, end = (rows[0].index(name) for name in ("LATE_open", "UP_open", "schema"))
    for row in rows:
        row[late:end] = row[up:end] + row[late:up]


EDITS: dict[str, tuple[Callable[[Rows], None], str, str]] = {
    "flag flipped in one row": (
        cell("ALL_meets_config_req", 5, "false"), "ALL_meets_config_req[line 5]", "metadata"),
    "flag flipped in all": (
        whole_column("ALL_meets_config_req", "false"),
        "ALL_{meets_config_req,added_by,auto_provisioned}", "truth_table"),
    "added by nobody known": (
        whole_column("UP_added_by", "friend"), "UP_{meets_config_req,added_by,auto_provisioned}", "truth_table"),
    "quality": (cell("GAP_quality", 30, "1"), "GAP_quality[line 30]", "quality"),
    "quality of an adhoc symbol": (cell("HAND_quality", 100, "0.5"), "HAND_quality[line 100]", "quality"),
    "bar removed": (clear_gap_bar, "GAP_quality[line 21]", "quality"),
    "low above high": (cell("ALL_low", 9, "1000"), "ALL_high[line 9]", "bad_values"),
    "negative volume": (cell("ALL_volume", 9, "-1"), "ALL_volume[line 9]", "bad_values"),
    "price missing": (cell("ALL_high", 9, ""), "ALL_high[line 9]", "missing"),
    "text for a price": (cell("ALL_high", 9, "high"), "ALL_high[line 9]", "bad_number"),
    "NaN": (cell("ALL_high", 9, "nan"), "ALL_high[line 9]", "bad_number"),
    "infinite": (cell("ALL_RSI(14)@5m", 9, "inf"), "ALL_RSI(14)@5m[line 9]", "bad_number"),
    "indicator without a bar": (cell("GAP_RSI(14)@5m", 5, "50"), "GAP_RSI(14)@5m[line 5]", "unexpected"),
    "stamp duplicated": (cell("timestamp", 9, "2024-06-05T13:36:00Z"), "timestamp[line 9]", "duplicate_stamp"),
    "stamp set back": (cell("timestamp", 9, "2024-06-05T13:34:00Z"), "timestamp[line 9]", "unsorted_stamp"),
    "stamp outside": (cell("timestamp", 2, "2024-06-05T13:29:00Z"), "timestamp[line 2]", "outside_session"),
    "stamp that is none": (cell("timestamp", 3, "yesterday"), "timestamp[line 3]", "bad_stamp"),
    "holiday": (
        lambda rows: [row.__setitem__(0, row[0].replace("06-05", "06-19")) for row in rows] and None,
        "timestamp[line 2]", "outside_session"),
    "cell too many": (lambda rows: rows[3].append("1"), "line 4", "length"),
    "row cut": (lambda rows: rows[3].pop(), "line 4", "length"),
    "empty row": (
        lambda rows: rows.insert(391, [rows[390][0], *[""] * (len(rows[0]) - 1)]),
        "timestamp[line 392]", "duplicate_stamp"),
    "column renamed": (rename("GAP_close", "GAP_last"), "line 1, column 20", "header"),
    "no timestamp": (rename("timestamp", "time"), "line 1, column 1", "header"),
    "indicator value": (cell("ALL_RSI(14)@5m", 9, "51.5"), "digest[line 2]", "digest"),
    "a sane price": (cell("ALL_close", 9, "100.0"), "digest[line 2]", "digest"),
    "a volume": (cell("ALL_volume", 9, "77"), "digest[line 2]", "digest"),
    "added by another": (whole_column("LATE_added_by", "scanner"), "digest[line 2]", "digest"),
    "other hours": (whole_column("hours", "extended"), "digest[line 2]", "digest"),
    "hours that are none": (whole_column("hours", "extended 4"), "hours[line 2]", "bad_time"),
    "digest of one row": (cell("digest", 9, "0"), "digest[line 9]", "metadata"),
    "another layout": (whole_column("schema", "barray.session/1"), "schema[line 2]", "schema"),
    "unknown indicator": (rename("ALL_RSI(14)@5m", "ALL_RISE(14)@5m"), "line 1, column 7", "header"),
    "symbols reordered": (swap_blocks, "line 1.LATE", "order"),
    "metadata column removed": (
        lambda rows: [row.pop() for row in rows] and None, "line 1, column 73", "header"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("edit", "place", "code"), EDITS.values(), ids=EDITS)
def test_an_edited_csv_is_rejected_with_the_place(
    text: str, tmp_path: Path, edit: Callable[[Rows], None], place: str, code: str
) -> None:
    rows = list(csv.reader(text.splitlines()))
    edit(rows)
    found = places(check(rows, tmp_path / "a.csv"))
    assert found.get(place) == code, found


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "line 1"),
        (b"\xff\xfe\x00", "line 1"),
        (b'{"schema":"barray.session/1"}', "line 1, column 1"),
        (b"timestamp,A_open\n", "line 1, column 3"),
        (b"timestamp\n\x00\n", "timestamp[line 2]"),
        (b'timestamp\n"', "timestamp[line 2]"),
    ],
)
def test_a_broken_file_is_a_violation_and_never_a_traceback(tmp_path: Path, content: bytes, place: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    violations = validate_session_dump(path)
    assert violations, content
    assert violations[0].place == place


@pytest.mark.long
@settings(
    max_examples=at_most(60),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 200_000), st.binary(min_size=0, max_size=3), st.integers(0, 40))
def test_no_damage_to_the_bytes_is_a_traceback(text: str, tmp_path: Path, at: int, inserted: bytes, cut: int) -> None:
    data = text.encode()
    at %= len(data)
    path = tmp_path / "a.csv"
    path.write_bytes(data[:at] + inserted + data[at + cut :])
    validate_session_dump(path)


def test_a_csv_names_the_symbols_whose_prices_are_suspected(tmp_path: Path) -> None:
    built = build(minutes=61)
    split = Reason("suspect_jump", "a split of 7:1?", "adjust the bars", "memory")
    symbols = [replace(data, warnings=(split,)) if data.symbol == "GAP" else data for data in built.symbols]
    path = write_csv(tmp_path / "a.csv", built.summary, symbols)
    rows = list(csv.reader(path.read_text().splitlines()))
    column = rows[0].index("warnings")
    assert {row[column] for row in rows[1:]} == {"GAP"}
    assert validate_session_dump(path) == []
    for row in rows[1:]:
        row[column] = "GAP OTHER"
    assert places(check(rows, path))["warnings[line 2]"] == "unexpected"
