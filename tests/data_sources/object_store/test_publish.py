"""What is written to an object store is whole, or is not taken for it."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import orjson
import pytest

import barray
from barray.data_sources.object_store.publish import below, fetched, published
from barray.data_sources.object_store.store import ObjectStore
from barray.export.recording import record
from barray.market.calendar import exchange_sessions
from barray.market.errors import ConfigError, DataError
from tests.barray.dump_builder import build
from tests.vendors.s3_server import BUCKET, Fault, S3Server

pytestmark = pytest.mark.long
FILES = {"a.json": b"{}", "tables/one.parquet": b"x" * 100_000}


def write(folder: Path) -> list[Path]:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return [folder / name for name in FILES]


def test_files_come_back_as_they_were_written(s3: S3Server) -> None:
    assert published(s3.uri("out"), "run", write) == [f"s3://{BUCKET}/out/{name}" for name in FILES]
    assert [one.path for one in s3.asked if one.method == "PUT"][-1].endswith("out/run.manifest.json"), "the last"
    with fetched(s3.uri("out/a.json")) as path:
        assert path.read_bytes() == FILES["a.json"]
    with fetched(s3.uri("out/tables")) as path:
        assert [found.name for found in path.iterdir()] == ["one.parquet"]


@pytest.mark.parametrize("kind", ["slow_down", "unavailable", "refuse"])
def test_a_store_that_fails_for_a_while_is_written_all_the_same(s3: S3Server, kind: str) -> None:
    s3.faults[:] = [Fault(kind, method="PUT|POST|GET|HEAD", times=4)]
    published(s3.uri("out"), "run", write)
    assert s3.get("out/tables/one.parquet") == FILES["tables/one.parquet"]


def test_what_is_half_written_is_not_whole_and_nothing_is_lost(s3: S3Server) -> None:
    published(s3.uri("out"), "run", write)
    s3.faults[:] = [Fault("unavailable", method="PUT|POST", path="one.parquet")]
    with pytest.raises(ConfigError, match=r"cannot write .*one.parquet: the store is failing") as told:
        published(f"{s3.uri('out')}&give_up_s=0.3", "run", write)
    left = Path(str(told.value.remedy).partition("the files are in ")[2].partition(" meanwhile")[0])
    assert (left / "tables/one.parquet").read_bytes() == FILES["tables/one.parquet"]
    shutil.rmtree(left)
    s3.faults.clear()
    with pytest.raises(DataError, match=f"no manifest beside s3://{BUCKET}/out/a.json"), fetched(s3.uri("out/a.json")):
        pass
    published(s3.uri("out"), "run", write)
    s3.put("out/a.json", b"[]")
    with pytest.raises(DataError, match="is not what was written"), fetched(s3.uri("out/a.json")):
        pass


def test_a_bucket_that_is_not_there_is_said_and_the_files_stay(s3: S3Server) -> None:
    with pytest.raises(
        ConfigError, match="its bucket does not exist; correct the bucket's name; the files are in"
    ) as told:
        published(s3.uri("out", "nowhere"), "run", write)
    shutil.rmtree(str(told.value.remedy).partition("the files are in ")[2].partition(" meanwhile")[0])


def test_a_folder_is_written_to_directly(tmp_path: Path) -> None:
    assert published(tmp_path, "run", write) == [tmp_path / name for name in FILES]
    assert below("out", "run") == Path("out/run")
    assert below("s3://b/out?region=x", "run") == "s3://b/out/run?region=x"


def test_history_that_was_recorded_before_is_left_as_it_is(s3: S3Server) -> None:
    data = build().symbols
    day = data[0].session_date
    assert day is not None
    sessions = exchange_sessions("XNYS", date(day.year, 1, 1), day).sessions
    first = record(s3.uri("recorded"), day, data, sessions)
    assert first
    keys = [key for key in s3.listed() if key.endswith(".parquet")]
    history = next(key for key in keys if str(day) not in key)
    s3.put(history, b"somebody's")
    record(s3.uri("recorded"), day, data, sessions)
    assert s3.get(history) == b"somebody's"


def test_a_dump_is_read_and_validated_where_it_lies(s3: S3Server, tmp_path: Path) -> None:
    name = "session-2024-07-02.json"
    store = ObjectStore(s3.uri("out"))
    store.write(name, b"{}")
    [found] = barray.validate_session_dump(s3.uri(f"out/{name}"))
    assert (found.place, found.code) == ("file", "incomplete")
    with pytest.raises(DataError, match="no manifest"):
        barray.read_dump(s3.uri(f"out/{name}"))
    store.write("session.manifest.json", orjson.dumps({"files": {"../x": {}}}))
    assert [one.code for one in barray.validate_session_dump(s3.uri("out/.."))] == ["incomplete"]
