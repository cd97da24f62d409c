"""The store of fetched bars: what is known, what is missing, and that nothing is lost, doubled or invented."""

from __future__ import annotations

import multiprocessing
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.data_sources.fetching.ranges import subtracted
from barray.data_sources.fetching.store import BarStore, Fetched
from barray.data_sources.fetching.vendor import Dataset
from barray.market.bars import Bar, Bars, parse_ns
from barray.market.errors import BarrayError, ConfigError, DataError
from tests.data_sources.files import MINUTE
from tests.market.builders import MINUTE_NS, context_for, require

IEX = Dataset("alpaca", "iex", "raw")
NOW = parse_ns("2024-08-02T00:00:00Z")
OPEN = parse_ns("2024-07-31T13:30:00Z")
DAY = 86_400 * 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path, IEX)


def bars(*minutes: int, price: float = 100.0, start_ns: int = OPEN) -> Bars:
    return Bars.of(Bar(start_ns + i * MINUTE_NS, price, price, price, price, 1.0) for i in minutes)


def at(minute: int) -> int:
    return OPEN + minute * MINUTE_NS


def write(store: BarStore, first: int, last: int, held: Bars, **options: int) -> None:
    store.write("AAPL", MINUTE, at(first), at(last), held, **{"fetched_ns": NOW, **options})


def missing(store: BarStore, first: int, last: int) -> list[tuple[int, int]]:
    found = store.missing("AAPL", MINUTE, at(first), at(last))
    return [((start - OPEN) // MINUTE_NS, (end - OPEN) // MINUTE_NS) for start, end in found]


def test_what_was_written_is_known_and_read_back(store: BarStore) -> None:
    assert missing(store, 0, 390) == [(0, 390)]
    write(store, 10, 20, bars(10, 12, 19))
    assert missing(store, 0, 390) == [(0, 10), (20, 390)]
    assert store.read("AAPL", MINUTE, at(0), at(19)).equals(bars(10, 12))
    assert store.missing("MSFT", MINUTE, at(0), at(1)) == [(at(0), at(1))]


def test_absence_is_remembered_as_absence(store: BarStore) -> None:
    write(store, 0, 390, Bars.empty())
    assert missing(store, 0, 390) == []
    assert len(store.read("AAPL", MINUTE, at(0), at(390))) == 0


def test_what_is_in_doubt_is_asked_for_again_and_its_rows_stay_until_then(store: BarStore) -> None:
    write(store, 0, 30, bars(*range(30)))
    store.forget("AAPL", MINUTE, at(10), at(20))
    store.forget("MSFT", MINUTE, at(10), at(20))
    assert missing(store, 0, 30) == [(10, 20)]
    assert store.read("AAPL", MINUTE, at(0), at(30)).equals(bars(*range(30)))
    write(store, 10, 20, bars(12))
    assert missing(store, 0, 30) == []
    assert len(store.read("AAPL", MINUTE, at(0), at(30))) == 21


def test_a_later_answer_replaces_the_whole_range(store: BarStore) -> None:
    write(store, 0, 30, bars(*range(30)))
    write(store, 10, 20, bars(11, price=50.0), fetched_ns=NOW + DAY)
    held = store.read("AAPL", MINUTE, at(0), at(30))
    assert held.equals(Bars.concat([bars(*range(10)), bars(11, price=50.0), bars(*range(20, 30))]))
    assert store.fetched("AAPL", MINUTE) == (
        Fetched(at(0), at(10), NOW),
        Fetched(at(10), at(20), NOW + DAY),
        Fetched(at(20), at(30), NOW),
    )


def test_ranges_fetched_on_one_day_become_one(store: BarStore) -> None:
    for first in range(0, 50, 10):
        write(store, first, first + 10, bars(first), fetched_ns=NOW + first)
    assert store.fetched("AAPL", MINUTE) == (Fetched(at(0), at(50), NOW + 40),)


def test_minutes_that_may_still_change_are_kept_but_not_known(store: BarStore) -> None:
    write(store, 0, 20, bars(*range(30)))
    assert missing(store, 0, 30) == [(20, 30)]
    assert len(store.read("AAPL", MINUTE, at(0), at(30))) == 30
    write(store, 20, 20, bars(20, 22, price=50.0))
    assert missing(store, 0, 30) == [(20, 30)]
    held = store.read("AAPL", MINUTE, at(19), at(24))
    assert held.equals(Bars.concat([bars(19), bars(20, 22, price=50.0), bars(23)]))


def test_a_file_is_a_month_of_the_exchange(store: BarStore) -> None:
    late = parse_ns("2024-07-31T23:59:00Z"), parse_ns("2024-08-01T00:30:00Z"), parse_ns("2024-08-01T13:30:00Z")
    held = Bars.of(Bar(stamp, 1, 1, 1, 1, 1) for stamp in late)
    store.write("AAPL", MINUTE, OPEN, late[-1] + 1, held, NOW)
    folder = Path(store.place) / "AAPL" / "1m"
    assert sorted(path.name for path in folder.glob("*.parquet")) == ["2024-07.parquet", "2024-08.parquet"]
    assert len(store.read("AAPL", MINUTE, OPEN, parse_ns("2024-08-01T04:00:00Z"))) == 2
    assert store.read("AAPL", MINUTE, OPEN, late[-1] + 1).equals(held)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-20])])
def test_a_file_removed_or_cut_is_fetched_again(store: BarStore, harm: object) -> None:
    write(store, 0, 30, bars(*range(30)))
    august = parse_ns("2024-08-01T13:30:00Z")
    store.write("AAPL", MINUTE, at(30), august + DAY, bars(0, start_ns=august), NOW)
    harm(Path(store.place) / "AAPL/1m/2024-07.parquet")  # type: ignore[operator]
    assert store.missing("AAPL", MINUTE, at(0), august + DAY) == [(at(0), parse_ns("2024-08-01T04:00:00Z"))]


def test_a_file_cut_is_replaced_by_what_is_fetched_again(store: BarStore) -> None:
    write(store, 0, 30, bars(*range(30)))
    path = Path(store.place) / "AAPL/1m/2024-07.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    write(store, 10, 30, bars(*range(10, 30)))
    assert missing(store, 0, 30) == [(0, 10)]
    assert store.read("AAPL", MINUTE, at(0), at(30)).equals(bars(*range(10, 30)))


def test_series_are_never_put_together(tmp_path: Path) -> None:
    write(BarStore(tmp_path, IEX), 0, 10, bars(1))
    for other in (Dataset("alpaca", "sip", "raw"), Dataset("alpaca", "iex", "split"), Dataset("schwab")):
        assert missing(BarStore(tmp_path, other), 0, 10) == [(0, 10)]


@pytest.mark.long
def test_any_reader_of_parquet_trees_reads_a_store(store: BarStore) -> None:
    write(store, 0, 390, bars(*range(390)))
    context = context_for(require("1m"), date(2024, 7, 31))
    source = store.tree("store")
    assert source.read_bars("AAPL", MINUTE, context.loaded).equals(bars(*range(390)))


@pytest.mark.parametrize(
    ("held", "code"),
    [(bars(0, 0), "duplicate_stamps"), (bars(1, 0), "unsorted_stamps"), (bars(-1), "bad_data")],
)
def test_what_cannot_be_right_is_not_written(store: BarStore, held: Bars, code: str) -> None:
    with pytest.raises(DataError) as caught:
        write(store, 0, 10, held)
    assert caught.value.code == code
    assert missing(store, 0, 10) == [(0, 10)]


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"version":9,"fetched":[],"files":{}}', b'{"fetched":[1]}'])
def test_a_broken_manifest_says_what_to_do(store: BarStore, text: bytes) -> None:
    write(store, 0, 10, bars(1))
    (Path(store.place) / "AAPL/1m/manifest.json").write_bytes(text)
    with pytest.raises(DataError, match="will be fetched again"):
        missing(store, 0, 10)


def test_a_symbol_that_could_be_a_path_is_refused(store: BarStore) -> None:
    for symbol in ("../../etc", "", "a" * 1000):
        with pytest.raises(ConfigError):
            store.missing(symbol, MINUTE, at(0), at(1))


def test_a_store_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BarrayError, match="cannot write below"):
        write(BarStore(tmp_path / "file", IEX), 0, 10, bars(1))


def _write_every(root: Path, first: int) -> None:
    store = BarStore(root, IEX)
    for minute in range(first, 40, 4):
        write(store, minute, minute + 1, bars(minute))


@pytest.mark.long
def test_processes_take_turns(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_every, args=(tmp_path, first)) for first in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    store = BarStore(tmp_path, IEX)
    assert missing(store, 0, 40) == []
    assert store.read("AAPL", MINUTE, at(0), at(40)).equals(bars(*range(40)))


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


@given(RANGES, st.tuples(st.integers(0, 30), st.integers(0, 30)))
def test_ranges_are_sets(ranges: list[tuple[int, int]], whole: tuple[int, int]) -> None:
    members = {i for start, end in ranges for i in range(start, end)}
    left = subtracted(whole, ranges)
    assert all(a[1] < b[0] for a, b in pairwise(left)), "in order, and as few as can be"
    assert [i for start, end in left for i in range(start, end)] == [i for i in range(*whole) if i not in members]


Answer = tuple[int, int, set[int], int]
"""First half day and how many, those with a bar, and its price."""
ANSWERS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 30), st.sets(st.integers(0, 90)), st.integers(1, 3)), max_size=5
)


@pytest.mark.long
@settings(deadline=None)
@given(ANSWERS)
def test_a_store_holds_what_the_last_answers_said(
    tmp_path_factory: pytest.TempPathFactory, answers: list[Answer]
) -> None:
    check_what_it_holds(BarStore(tmp_path_factory.mktemp("store"), IEX), answers)


def check_what_it_holds(store: BarStore, answers: list[Answer]) -> None:
    """Write these answers, in this order, and see that the store holds them and nothing else, and knows so."""
    truth: dict[int, float] = {}
    known: set[int] = set()
    step = DAY // MINUTE_NS // 2  # half days, so that the ranges cross a month
    for first, length, present, price in answers:
        span = range(first, first + length)
        rows = sorted(present & set(span))
        write(store, first * step, (first + length) * step, bars(*(i * step for i in rows), price=price))
        truth = {i: p for i, p in truth.items() if i not in span} | dict.fromkeys(rows, float(price))
        known |= set(span)
    held = store.read("AAPL", MINUTE, at(0), at(90 * step))
    assert held.equals(Bars.concat([bars(i * step, price=p) for i, p in sorted(truth.items())]))
    unknown = [i for first, last in missing(store, 0, 90 * step) for i in range(first // step, last // step)]
    assert unknown == [i for i in range(90) if i not in known]
