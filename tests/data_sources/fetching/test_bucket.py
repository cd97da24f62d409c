"""A store of fetched bars in a bucket, on a real S3 server that fails as such servers do."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings

from barray.data_sources.alpaca.vendor import AlpacaAccount
from barray.data_sources.fetching import bucket
from barray.data_sources.fetching.store import BarStore
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.object_store.store import ObjectStore
from barray.data_sources.stacks import StackSources
from barray.market.bars import COLUMNS, parse_ns
from barray.market.calendar import Sessions
from barray.market.errors import DataError, SourceUnavailable
from tests.data_sources.fetching.test_store import (
    ANSWERS,
    IEX,
    MINUTE,
    NOW,
    Answer,
    at,
    bars,
    check_what_it_holds,
    missing,
    write,
)
from tests.market.builders import context_for, require
from tests.vendors.s3_server import BUCKET, KEY, SECRET, Fault, S3Server

pytest.importorskip("obstore")
pytestmark = pytest.mark.long
PLACE = "bars/alpaca-iex-raw/AAPL/1m"
NUMBERS = count()


@pytest.fixture
def store(s3: S3Server) -> BarStore:
    return BarStore(s3.uri("bars"), IEX)


def sessions() -> Sessions:
    return context_for(require("1m"), date(2024, 7, 31)).loaded


def current(s3: S3Server) -> set[str]:
    return {f"{PLACE}/{name}.parquet" for name in json.loads(s3.get(f"{PLACE}/manifest.json"))["files"]}


def objects(s3: S3Server) -> list[str]:
    return [key for key in s3.listed() if key.endswith(".parquet")]


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANSWERS)
def test_a_bucket_holds_what_the_last_answers_said(s3: S3Server, answers: list[Answer]) -> None:
    check_what_it_holds(BarStore(s3.uri(f"bars{next(NUMBERS)}"), IEX), answers)


def test_an_object_is_never_written_twice_and_goes_when_none_can_be_reading_it(
    s3: S3Server, store: BarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, 0, 30, bars(*range(30)))
    reading = store.tree("before")
    assert reading.available_intervals(["AAPL"], sessions()) == {"AAPL": (MINUTE,)}
    write(store, 10, 20, bars(12))
    expected = bars(*range(10), 12, *range(20, 30))
    assert len(objects(s3)) == 2
    assert reading.read_bars("AAPL", MINUTE, sessions()).equals(bars(*range(30))), "it knows what was, and that stays"
    assert store.tree("now").read_bars("AAPL", MINUTE, sessions()).equals(expected)
    monkeypatch.setattr(bucket, "_STAYS_NS", -(10**12))
    write(store, 30, 31, bars(30))
    assert len(objects(s3)) == 2, "what the write before replaced is gone, what this one has replaced is not"
    assert len(s3.reads(r"\.parquet")) == 2, "a node reads an object once, whoever asks"


def test_symbols_of_a_bucket_are_read_together(store: BarStore) -> None:
    write(store, 0, 10, bars(1, 2))
    write(store, 10, 20, bars(12))
    source = VendorSource("alpaca", AlpacaAccount("iex", "raw"), str(store.root), NOW)
    sources = StackSources((source,))
    assert sources.names(5) == ("AAPL",)
    assert sources.intervals(["AAPL"], sessions()) == (MINUTE,)
    stack, reasons = sources.read_stack(MINUTE, sessions(), symbols=("AAPL", "MSFT"), columns=COLUMNS)
    assert (stack.symbols, reasons) == (("AAPL",), {})
    assert stack.bars_of("AAPL").equals(bars(1, 2, 12))
    assert source.copied


def test_an_object_removed_is_fetched_again_and_a_broken_manifest_says_what_to_do(
    s3: S3Server, store: BarStore
) -> None:
    write(store, 0, 30, bars(*range(30)))
    august = parse_ns("2024-08-01T13:30:00Z")
    store.write("AAPL", MINUTE, at(30), august + 1, bars(0, start_ns=august), NOW)
    [july] = [key for key in objects(s3) if "2024-07" in key and key in current(s3)]
    s3.direct("DELETE", f"/{BUCKET}/{july}")
    assert store.missing("AAPL", MINUTE, at(0), august + 1) == [(at(0), parse_ns("2024-08-01T04:00:00Z"))]
    assert store.read("AAPL", MINUTE, at(0), august + 1).equals(bars(0, start_ns=august))
    write(store, 0, 30, bars(1))
    assert store.read("AAPL", MINUTE, at(0), at(30)).equals(bars(1))
    s3.put(f"{PLACE}/manifest.json", b"{}")
    with pytest.raises(DataError, match=f"s3://{BUCKET}/{PLACE}/manifest.json is no manifest") as error:
        missing(store, 0, 10)
    assert error.value.remedy == f"remove s3://{BUCKET}/{PLACE}: its bars will be fetched again"


def test_of_two_writers_at_once_neither_loses_what_the_other_covered(s3: S3Server, store: BarStore) -> None:
    def write_every(first: int) -> None:
        for minute in range(first, 16, 2):
            write(store, minute, minute + 1, bars(minute))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write_every, range(2)))
    assert missing(store, 0, 16) == []
    assert store.read("AAPL", MINUTE, at(0), at(16)).equals(bars(*range(16)))
    assert len(objects(s3)) == 16, "what was put in vain was removed"


def test_what_was_put_stays_where_another_has_built_on_it_though_its_answer_was_lost(
    s3: S3Server, store: BarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_over = ObjectStore.put_over

    def lost(self: ObjectStore, path: str, content: bytes, etag: str) -> bool:
        monkeypatch.setattr(ObjectStore, "put_over", put_over)
        assert put_over(self, path, content, etag)
        write(store, 10, 20, bars(12))
        return put_over(self, path, content, etag)  # asked again

    monkeypatch.setattr(ObjectStore, "put_over", lost)
    write(store, 0, 10, bars(1))
    assert missing(store, 0, 20) == []
    assert store.read("AAPL", MINUTE, at(0), at(20)).equals(bars(1, 12))
    assert all(key in s3.listed() for key in current(s3))


@pytest.mark.parametrize("kind", ["slow_down", "unavailable", "refuse", "cut", "stall"])
def test_a_bucket_that_fails_for_a_while_is_read_and_written_all_the_same(
    s3: S3Server, store: BarStore, kind: str
) -> None:
    write(store, 0, 10, bars(1, 2))
    s3.faults[:] = [Fault(kind, method="PUT|POST|GET|HEAD", times=3, seconds=0.2)]
    write(store, 10, 20, bars(12))
    s3.faults[:] = [Fault(kind, method="PUT", path="manifest", times=1, seconds=0.2)]
    write(store, 20, 30, bars(22))
    s3.faults[:] = [Fault(kind, times=2)]
    assert missing(store, 0, 30) == []
    assert store.read("AAPL", MINUTE, at(0), at(30)).equals(bars(1, 2, 12, 22))


@pytest.mark.parametrize("path", [r"2024-07.*\.parquet", "manifest"])
def test_a_bucket_that_fails_for_good_is_said_and_has_what_it_had(s3: S3Server, store: BarStore, path: str) -> None:
    write(store, 0, 10, bars(1))
    impatient = BarStore(f"{s3.uri('bars')}&give_up_s=0.3", IEX)
    s3.faults[:] = [Fault("unavailable", method="PUT", path=path)]
    with pytest.raises(SourceUnavailable, match=f"s3://{BUCKET}/{PLACE}/{path.partition('.')[0]}.*failing") as error:
        write(impatient, 10, 20, bars(12))
    assert SECRET not in str(error.value)
    assert KEY not in str(error.value)
    s3.faults[:] = [Fault("denied", method="GET|HEAD")]
    with pytest.raises(SourceUnavailable, match="access is denied"):
        missing(store, 0, 20)
    with pytest.raises(SourceUnavailable, match="access is denied"):
        write(store, 10, 20, bars(12))
    s3.faults.clear()
    with pytest.raises(SourceUnavailable, match="bucket does not exist"):
        write(BarStore(s3.uri("bars", "nobody"), IEX), 10, 20, bars())
    assert missing(store, 0, 20) == [(10, 20)]
    assert store.read("AAPL", MINUTE, at(0), at(20)).equals(bars(1))
