"""Bad input: each kind gets its own code and a sentence that says where and what would mend it; others go on."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.sample.universe import write_sample_data
from tests.data_sources.files import (
    MONDAY,
    TUESDAY,
    Outcome,
    changed,
    local_source,
    minutes,
    named,
    outcomes,
    write,
    write_days,
)
from tests.market.builders import context_for, require
from tests.shared_data import REPO

FRIDAY = date(2024, 6, 28)
FILE = "2024-07-02.parquet"
# fault: where it shows, its code, what the sentence names
STEP_0, LOAD = False, True
EXPECTED = {
    "no_data": (STEP_0, "no_data_source", "BAD_NO_DATA"),
    "no_history": (STEP_0, "no_history", "2 sessions from 2024-06-28 to 2024-07-01"),
    "missing_session": (STEP_0, "no_session_data", "2024-07-02"),
    "empty": (STEP_0, "empty_file", FILE),
    "truncated": (STEP_0, "unreadable_file", FILE),
    "not_parquet": (STEP_0, "unreadable_file", FILE),
    "wrong_columns": (
        STEP_0,
        "wrong_columns",
        "lacks close, volume among its columns timestamp, open, high, low, last",
    ),
    "wrong_types": (STEP_0, "wrong_types", f"{FILE} open is string"),
    "naive_stamps": (STEP_0, "naive_stamps", f"{FILE} timestamp has no time zone"),
    "directory": (STEP_0, "is_folder", f"{FILE} is a folder with nothing in it"),
    "unsorted": (LOAD, "unsorted_stamps", "stamp 2024-07-02T19"),
    "duplicate_stamps": (LOAD, "duplicate_stamps", "stamp 2024-07-02T19"),
    "nan": (LOAD, "bad_values", "bar at 2024-07-02T19:30:00Z: close is nan"),
    "infinite": (LOAD, "bad_values", "bar at 2024-07-02T19:30:00Z: high is inf"),
    "high_below_low": (LOAD, "bad_values", "is below low"),
    "negative_volume": (LOAD, "bad_values", "volume is negative (-100"),
    "negative_price": (LOAD, "bad_values", "low is negative (-0.01)"),
    "other_symbol": (LOAD, "other_symbol", f"{FILE} holds bars of OTHER"),
    "one_bad_day": (LOAD, "unreadable_file", "2024-07-01.parquet"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What becomes of one symbol of every fault, and of two good ones, in one call."""
    root = tmp_path_factory.mktemp("faults")
    symbols = ["AAPL", *(f"BAD_{fault.upper()}" for fault in EXPECTED), "SPY"]
    write_sample_data(root, symbols=["AAPL", "SPY"], start=FRIDAY, end=TUESDAY, broken=list(EXPECTED), missing_share=0)
    return outcomes(local_source(root), *symbols, requirements=require("1m", "5m", trailing_days=2))


@pytest.mark.long
@pytest.mark.parametrize("fault", EXPECTED)
def test_each_fault_has_its_code_and_says_where_it_is(found: dict[str, Outcome], fault: str) -> None:
    outcome = found[f"BAD_{fault.upper()}"]
    on_load, code, named_ = EXPECTED[fault]
    assert outcome.codes == (code,)
    assert outcome.on_load is on_load
    assert named_ in outcome.text
    assert "; " in outcome.text  # what would mend it comes behind


def test_the_good_symbols_between_them_proceed(found: dict[str, Outcome]) -> None:
    for symbol in ("AAPL", "SPY"):
        data = found[symbol].data
        assert data is not None
        assert len(data.bars["1m"]) == 3 * 390


def test_every_fault_that_sample_data_know_is_tried() -> None:
    from barray.sample.faults import FAULTS

    assert set(EXPECTED) == set(FAULTS)


def one_bad(tmp_path: Path, bars: pa.Table) -> Outcome:
    write(tmp_path / "BAD" / "1m" / FILE, bars)
    write_days(tmp_path, "GOOD", TUESDAY)
    found = outcomes(local_source(tmp_path), "BAD", "GOOD")
    assert found["GOOD"].data is not None
    return found["BAD"]


def test_a_missing_value_is_named_with_its_bar(tmp_path: Path) -> None:
    bad = one_bad(tmp_path, changed(minutes(TUESDAY), "volume", pa.array([1, 2, None, 4, 5])))
    assert bad.codes == ("bad_values",)
    assert "bar at 2024-07-02T13:32:00Z: volume is nan" in bad.text


def test_a_missing_stamp_is_counted(tmp_path: Path) -> None:
    bars = minutes(TUESDAY)
    stamps = pa.array([None, *bars["timestamp"].to_pylist()[1:]], pa.timestamp("us", "UTC"))
    bad = one_bad(tmp_path, changed(bars, "timestamp", stamps))
    assert bad.codes == ("bad_values",)
    assert f"BAD/1m/{FILE} has 1 rows without timestamp" in bad.text


@pytest.mark.parametrize(
    ("column", "values", "shown"),
    [
        ("timestamp", pa.array([1, 2, 3, 4, 5]), "timestamp is int64, not a timestamp"),
        ("timestamp", pa.array(["2024-07-02T13:30:00Z"] * 5), "timestamp is string, not a timestamp"),
        ("high", pa.array([True] * 5), "high is bool, not a number"),
        ("volume", pa.array([[1]] * 5), "volume is list"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(tmp_path: Path, column: str, values: pa.Array, shown: str) -> None:
    bad = one_bad(tmp_path, changed(minutes(TUESDAY), column, values))
    assert bad.codes == ("wrong_types",)
    assert f"BAD/1m/{FILE} {shown}" in bad.text


def test_a_symbol_column_of_numbers_is_named(tmp_path: Path) -> None:
    bad = one_bad(tmp_path, changed(named("BAD", minutes(TUESDAY)), "symbol", pa.array([7] * 5)))
    assert bad.codes == ("wrong_types",)
    assert "symbol is int64, not text" in bad.text


def test_a_column_that_stands_twice_is_named(tmp_path: Path) -> None:
    bars = minutes(TUESDAY)
    bad = one_bad(tmp_path, bars.append_column("close", bars["open"]))
    assert bad.codes == ("wrong_columns",)
    assert "the column close twice" in bad.text


def test_a_file_of_zero_bytes_is_unreadable(tmp_path: Path) -> None:
    write_days(tmp_path, "BAD", TUESDAY)
    (tmp_path / "BAD" / "1m" / FILE).write_bytes(b"")
    assert outcomes(local_source(tmp_path), "BAD")["BAD"].codes == ("unreadable_file",)


def test_a_link_to_nowhere_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    write_days(tmp_path, "GOOD", TUESDAY)
    (tmp_path / "BAD" / "1m").mkdir(parents=True)
    (tmp_path / "BAD" / "1m" / FILE).symlink_to(tmp_path / "nowhere")
    found = outcomes(local_source(tmp_path), "BAD", "GOOD")
    assert found["BAD"].codes == ("no_data",)
    assert "does not exist" in found["BAD"].text
    assert found["GOOD"].data is not None


def test_a_file_in_the_place_of_a_symbols_folder_is_no_data(tmp_path: Path) -> None:
    write_days(tmp_path, "GOOD", TUESDAY)
    (tmp_path / "BAD").write_text("no folder")
    found = outcomes(local_source(tmp_path), "BAD", "GOOD")
    assert found["BAD"].codes == ("no_data_source",)
    assert found["GOOD"].data is not None


def test_stamps_off_the_grid_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "BAD" / "1m" / FILE, minutes(TUESDAY, first="09:30:20"))
    assert outcomes(local_source(tmp_path), "BAD")["BAD"].codes == ("off_grid",)


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_missing_root_is_the_sources_problem(tmp_path: Path, as_uri: bool) -> None:
    root = tmp_path / "nowhere"
    found = outcomes(ParquetSource(root.as_uri() if as_uri else str(root)), "A", "B")
    for outcome in found.values():
        assert outcome.codes == ("source_unavailable",)
        assert "nowhere does not exist; correct the source's root" in outcome.text


def test_a_root_that_is_a_file_is_the_sources_problem(tmp_path: Path) -> None:
    root = tmp_path / "bars"
    root.write_text("no folder")
    outcome = outcomes(local_source(root), "A")["A"]
    assert outcome.codes == ("source_unavailable",)
    assert "is a file, not a folder" in outcome.text


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("../../x", "consists of"),
        ("..", "consists of"),
        ("", "empty"),
        ("A" * 1_000, "1000 characters"),
        ("ÄÖÜ", "consists of"),
        ("日本", "consists of"),
        ("A\x00B", "consists of"),
        ("A/1m", "consists of"),
        ("A\n", "consists of"),
        ("-rf", "consists of"),
    ],
)
def test_what_can_be_no_symbol_never_comes_near_a_path(tmp_path: Path, symbol: str, said: str) -> None:
    write_days(tmp_path / "root", "GOOD", TUESDAY)
    write_days(tmp_path, "x", TUESDAY)  # where ../../x would lead
    source = local_source(tmp_path / "root" / "deep")
    (tmp_path / "root" / "deep").mkdir()
    write_days(tmp_path / "root" / "deep", "GOOD", TUESDAY)
    found = outcomes(source, symbol, "GOOD")
    assert found[symbol].codes == ("bad_symbol",)
    assert said in found[symbol].text
    assert "correct the symbol" in found[symbol].text
    assert len(found[symbol].text) < 200
    assert found["GOOD"].data is not None
    # asked directly, past Step 0, the source knows no such symbol either
    assert source.has_symbols([symbol], context_for(require("1m"), TUESDAY).loaded) == {symbol: False}


def shared(root: Path, day: date, *symbols: str) -> Path:
    return write(root / "1m" / f"{day}.parquet", pa.concat_tables([named(s, minutes(day)) for s in symbols]))


def test_an_unreadable_file_of_many_symbols_is_named(tmp_path: Path) -> None:
    shared(tmp_path, MONDAY, "A", "B")
    path = shared(tmp_path, TUESDAY, "A", "B")
    path.write_bytes(path.read_bytes()[:500])
    found = outcomes(ParquetSource(str(tmp_path), layout=Layout("{interval}/{date}.parquet")), "A", "B")
    for outcome in found.values():
        assert outcome.codes == ("unreadable_file",)
        assert f"1m/{FILE}" in outcome.text


def test_a_file_of_many_symbols_without_a_symbol_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "1m" / FILE, minutes(TUESDAY))
    found = outcomes(ParquetSource(str(tmp_path), layout=Layout("{interval}/{date}.parquet")), "A")
    assert found["A"].codes == ("wrong_columns",)
    assert "has no column symbol" in found["A"].text


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="barray-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.long
def test_a_symbol_without_permission_fails_alone(public_folder: Path) -> None:
    """Files, or folders, that may not be read. Root may read all, so another user has to try."""
    for symbol in ("GOOD", "FILE", "FOLDER", "LAST"):
        write_days(public_folder, symbol, TUESDAY)
    (public_folder / "FILE" / "1m" / FILE).chmod(0)
    (public_folder / "FOLDER").chmod(0)
    context = pickle.dumps(context_for(require("1m"), TUESDAY))
    code = f"""
import json, os, pickle
from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.source import ParquetSource
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements
context, requirements = pickle.loads({context!r}), SymbolRequirements((Interval(1, "m"),))
def validate():
    manager = DataManager((ParquetSource({str(public_folder)!r}),))
    found = manager.validate(["FOLDER", "GOOD", "FILE", "LAST"], requirements, context)
    return {{symbol: [[r.code, str(r)] for r in result.reasons] for symbol, result in found.items()}}
validate()  # imports what is imported late, while this process may still read it
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(json.dumps(validate()))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=False)
    (public_folder / "FOLDER").chmod(0o755)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["GOOD"] == found["LAST"] == []
    for symbol, place in (("FILE", f"FILE/1m/{FILE}"), ("FOLDER", f"{public_folder}{os.sep}FOLDER")):
        [[code_, text]] = found[symbol]
        assert code_ == "no_permission"
        assert f"no permission to read {place}" in text
        assert "allow this user to read it" in text
