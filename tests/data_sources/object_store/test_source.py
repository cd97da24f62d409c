"""Bars in an object store: read as from a folder through every fault that passes, told in a line by any other."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from barray.data_sources.object_store.shards import ShardCache
from barray.data_sources.object_store.store import ObjectStore
from barray.data_sources.parquet.source import ParquetSource
from barray.market.calendar import Sessions, exchange_sessions
from barray.market.errors import ConfigError, NoDataError, SourceUnavailable
from barray.market.interval import Interval
from barray.sample.universe import write_sample_data
from tests.vendors.s3_server import BUCKET, KEY, SECRET, Fault, S3Server, free_port

pytestmark = pytest.mark.long
MINUTE = Interval.parse("1m")
DAYS = (date(2024, 7, 1), date(2024, 7, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bars")
    write_sample_data(root, symbols=["AAPL", "MSFT"], start=DAYS[0], end=DAYS[1])
    return root


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return exchange_sessions("XNYS", *DAYS).sessions


@pytest.fixture
def held(s3: S3Server, folder: Path) -> S3Server:
    """The server with the folder's files below `bars/`."""
    for path in sorted(folder.rglob("*.parquet")):
        s3.put(f"bars/{path.relative_to(folder)}", path.read_bytes())
    s3.asked.clear()
    return s3


def source(s3: S3Server, *, bucket: str = BUCKET, path: str = "bars", give_up_s: float = 20) -> ParquetSource:
    return ParquetSource(f"{s3.uri(path, bucket)}&give_up_s={give_up_s}")


def test_objects_are_read_as_files_are(held: S3Server, folder: Path, sessions: Sessions) -> None:
    there, here = source(held), ParquetSource(str(folder))
    symbols = ["AAPL", "MSFT", "NONE"]
    assert there.has_symbols(symbols, sessions) == here.has_symbols(symbols, sessions)
    assert there.available_intervals(symbols, sessions) == here.available_intervals(symbols, sessions)
    assert there.historical_coverage(symbols, MINUTE, sessions) == here.historical_coverage(symbols, MINUTE, sessions)
    assert np.array_equal(
        there.read_bars("AAPL", MINUTE, sessions).close, here.read_bars("AAPL", MINUTE, sessions).close
    )


@pytest.mark.parametrize("kind", ["slow_down", "unavailable", "refuse", "cut"])
def test_what_passes_is_tried_again(held: S3Server, folder: Path, sessions: Sessions, kind: str) -> None:
    held.faults[:] = [Fault(kind, times=4)]
    bars = source(held).read_bars("AAPL", MINUTE, sessions)
    assert np.array_equal(bars.close, ParquetSource(str(folder)).read_bars("AAPL", MINUTE, sessions).close)
    assert held.faults[0].times == 0


@pytest.mark.parametrize(
    ("fault", "reason", "code"),
    [
        (Fault("slow_down", "GET"), "the store asks for fewer requests", "throttled"),
        (Fault("unavailable"), "the store is failing", "source_unavailable"),
        (Fault("refuse"), "cannot be reached: Empty reply from server", "source_unavailable"),
        (Fault("denied"), "access is denied", "access_denied"),
        (Fault("moved"), "its bucket lies in the region eu-central-1", "source_unavailable"),
    ],
    ids=["slow_down", "unavailable", "refuse", "denied", "moved"],
)
def test_what_does_not_pass_is_the_source_s_fault_and_no_symbol_s(
    held: S3Server, sessions: Sessions, fault: Fault, reason: str, code: str
) -> None:
    held.faults[:] = [fault]
    with pytest.raises(SourceUnavailable) as told:
        source(held, give_up_s=0.5).has_symbols(["AAPL", "MSFT"], sessions)
    error = told.value
    assert (error.symbol, error.code, error.source) == (None, code, "parquet") or error.symbol == "AAPL"
    assert f"s3://{BUCKET}/bars: {reason}" in str(error), str(error)
    assert "\n" not in str(error)
    assert error.remedy
    assert SECRET not in str(error)


def test_a_store_that_fails_in_the_middle_costs_the_answers_and_says_so_once(
    held: S3Server, sessions: Sessions
) -> None:
    there = source(held, give_up_s=0.5)
    there.has_symbols(["AAPL", "MSFT"], sessions)
    held.faults[:] = [Fault("unavailable", path=r"\.parquet")]
    with pytest.raises(SourceUnavailable, match=r"AAPL/1m/2024-07-02.parquet: the store is failing"):
        there.session_problems(["AAPL", "MSFT"], MINUTE, sessions.take(slice(1, 2)))
    with pytest.raises(SourceUnavailable, match="the store is failing"):
        there.read_bars("AAPL", MINUTE, sessions)
    held.faults.clear()
    assert there.session_problems(["AAPL"], MINUTE, sessions.take(slice(1, 2))) == {"AAPL": None}


def test_a_bucket_or_a_path_that_is_not_there_is_said(held: S3Server, sessions: Sessions) -> None:
    with pytest.raises(SourceUnavailable, match="s3://nowhere/bars: its bucket does not exist"):
        source(held, bucket="nowhere").has_symbols(["AAPL"], sessions)
    with pytest.raises(SourceUnavailable, match=f"s3://{BUCKET}/other: nothing lies below it"):
        source(held, path="other").has_symbols(["AAPL"], sessions)


def test_an_endpoint_where_nobody_listens_is_said(s3: S3Server, sessions: Sessions) -> None:
    root = f"s3://{BUCKET}/bars?region=us-east-1&endpoint_override=http://127.0.0.1:{free_port()}&give_up_s=0.2"
    with pytest.raises(SourceUnavailable, match="cannot be reached: Failed to connect to 127"):
        ParquetSource(root).has_symbols(["AAPL"], sessions)


def test_a_silent_store_is_given_up_in_bounded_time(
    held: S3Server, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    from barray.data_sources.object_store import store

    monkeypatch.setattr(store, "_SILENCE_S", 1)
    monkeypatch.setattr(store, "_ATTEMPTS", 1)
    store._filesystem.cache_clear()
    held.faults[:] = [Fault("stall", seconds=3)]
    with pytest.raises(SourceUnavailable, match="cannot be reached: Operation too slow"):
        source(held, give_up_s=0.5).has_symbols(["AAPL"], sessions)
    store._filesystem.cache_clear()


def test_what_a_listing_lacks_is_missing_and_what_it_has_too_much_is_no_other_bar(
    held: S3Server, sessions: Sessions
) -> None:
    """A listing that lags: nothing wrong is read, and a new session sees what has come."""
    held.faults[:] = [Fault("hide", path="2024-07-02")]
    coverage = source(held).historical_coverage(["AAPL"], MINUTE, sessions)["AAPL"]
    assert coverage.missing == (DAYS[1],)
    held.faults.clear()
    there = source(held)
    assert there.historical_coverage(["AAPL"], MINUTE, sessions)["AAPL"].missing == ()
    for key in [key for key in held.listed() if "AAPL" in key]:
        held.direct("DELETE", f"/{BUCKET}/{key}")
    with pytest.raises(NoDataError, match="does not exist"):
        there.read_bars("AAPL", MINUTE, sessions)


def test_keys_do_not_stand_in_a_uri_and_are_not_repeated() -> None:
    with pytest.raises(ConfigError) as told:
        ParquetSource(f"s3://{KEY}:{SECRET}@{BUCKET}/bars")
    assert SECRET not in str(told.value)
    for uri, wrong in (
        ("s3://bucket/bars?secret_key=x", "unknown option secret_key"),
        ("s3:///bars", "names no bucket"),
        ("s3://bucket/bars?give_up_s=soon", "give_up_s=soon, which is no number"),
    ):
        with pytest.raises(ConfigError, match=wrong):
            ObjectStore(uri)


def test_a_store_of_fetched_bars_is_a_folder_or_a_bucket() -> None:
    from barray.coordinator.config.file import parse_config

    config = {"session": {"start": "2024-07-02"}, "symbols": ["AAPL"], "intervals": ["1m"]}
    for store, wrong in (
        ("gs://bucket/store", "a store of fetched bars is a folder that every node sees, or s3://"),
        ("s3://canary:key@bucket/store", "holds keys"),
        ("s3://bucket/store?secret_key=canary", "unknown option secret_key"),
    ):
        with pytest.raises(ConfigError, match=wrong) as error:
            parse_config({**config, "sources": [{"type": "alpaca", "store": store}]})
        assert "canary" not in str(error.value)
    assert parse_config({**config, "sources": [{"type": "alpaca", "store": "s3://bucket/store"}]}).sources


def test_a_file_is_read_once_however_many_ask(held: S3Server, sessions: Sessions) -> None:
    for _ in range(3):
        there = source(held)
        there.session_problems(["AAPL"], MINUTE, sessions.take(slice(1, 2)))
        there.read_bars("AAPL", MINUTE, sessions)
    assert len(held.reads("AAPL.*2024-07-02")) == 1
    held.put("bars/AAPL/1m/2024-07-02.parquet", held.get("bars/AAPL/1m/2024-07-01.parquet"))
    assert source(held).read_bars("AAPL", MINUTE, sessions).start_ns.max() < sessions.open_ns[1]
    assert len(held.reads("AAPL.*2024-07-02")) == 2, "a changed object is read anew"


def test_a_copy_that_was_damaged_is_made_anew(held: S3Server, tmp_path: Path) -> None:
    cache, store = ShardCache(tmp_path / "kept", 10**9), ObjectStore(held.uri("bars"))
    path = "AAPL/1m/2024-07-01.parquet"
    copy = cache.copy(store, path)
    assert copy is not None
    whole = copy.read_bytes()
    for damaged in (whole[:-1], b"", whole[:100] + b"x" + whole[101:]):
        copy.write_bytes(damaged)
        assert cache.copy(store, path) == copy
        assert copy.read_bytes() == whole


def test_the_cache_stays_within_its_bound(held: S3Server, tmp_path: Path) -> None:
    import os

    store = ObjectStore(held.uri("big"))
    cache = ShardCache(tmp_path / "kept", 1_000_000)
    for number in range(10):
        held.put(f"big/{number}", bytes([number]) * 200_000 + b"PAR1")
        copy = cache.copy(store, str(number))
        assert copy is not None
        os.utime(copy, (number, number))  # long ago, in this order
    held.put("big/large", b"x" * 300_000)
    assert cache.copy(store, "large") is None, "a quarter of the bound at most"
    kept = [path for path in cache.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert 200_000 < sum(path.stat().st_size for path in kept) <= 1_000_000


def test_without_a_place_to_keep_copies_objects_are_read_where_they_lie(
    held: S3Server, sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for name, value in (("BARRAY_SHARDS", str(tmp_path / "file/below")), ("BARRAY_SHARDS_MB", "0")):
        monkeypatch.setenv(name, value)
        assert len(source(held).read_bars("AAPL", MINUTE, sessions)) > 700
