from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from barray.dump.writers.parquet import write_parquet
from barray.market.errors import ConfigError
from tests.barray.dump_builder import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build()
    return write_parquet(tmp_path_factory.mktemp("parquet") / "new" / "dump", built.summary, iter(built.symbols))


def only(table: pa.Table, **wanted: str) -> pa.Table:
    for column, value in wanted.items():
        table = table.filter(pc.equal(table[column], value))
    return table


def test_bars_are_long_and_ordered(folder: Path) -> None:
    bars = pq.read_table(folder / "bars.parquet")
    assert bars.schema.field("timestamp").type == pa.timestamp("ns", "UTC")
    assert len(only(bars, symbol="GAP", interval="1m")) == 4 * 390 - 9
    assert len(only(bars, symbol="GAP", interval="5m")) == 4 * 78 - 1  # with history; one bucket is empty
    rank = {"1m": 1, "5m": 2, "7m": 3, "1d": 4}
    stamps = bars["timestamp"].cast(pa.int64())
    columns = (bars["symbol"].to_pylist(), bars["interval"].to_pylist(), stamps.to_pylist())
    keys = [(symbol, rank[interval], stamp) for symbol, interval, stamp in zip(*columns, strict=True)]
    assert keys == sorted(keys)


def test_a_bar_carries_its_flags(folder: Path) -> None:
    bars = pq.read_table(folder / "bars.parquet")
    hand = only(bars, symbol="HAND").to_pylist()[1]
    assert {key: value for key, value in hand.items() if key not in ("timestamp", "end")} == {
        "symbol": "HAND", "interval": "5m", "open": 51.0, "high": 53.5, "low": 50.5, "close": 52.25, "volume": 700.0,
        "expected": 1, "actual": 1, "complete": True, "history": False, "adhoc": True,
    }  # fmt: skip
    assert hand["end"] == datetime(2024, 6, 5, 13, 50, tzinfo=UTC)
    base = only(bars, symbol="UP", interval="1m")
    assert pc.sum(base["history"]).as_py() == 3 * 390
    assert base.filter(base["adhoc"])["timestamp"].to_pylist() == [datetime(2024, 6, 5, 13, 39, tzinfo=UTC)]


def test_indicators_are_long_and_null_before_warm_up(folder: Path) -> None:
    values = pq.read_table(folder / "indicators.parquet")
    assert only(values, symbol="HAND")["value"].to_pylist() == [None, 51.125, 52.375]
    assert set(only(values, symbol="ALL", key="BBANDS(5,2,2,0)@5m")["output"].to_pylist()) == {
        "upperband", "middleband", "lowerband",
    }  # fmt: skip


def test_symbols_carry_metadata_lineage_and_quality(folder: Path) -> None:
    symbols = {row["symbol"]: row for row in pq.read_table(folder / "symbols.parquet").to_pylist()}
    assert list(symbols) == ["ALL", "GAP", "HAND", "LATE", "UP"]
    assert symbols["HAND"]["lineage_source"] is None
    assert symbols["HAND"]["auto_provisioned"] is True
    late = symbols["LATE"]
    assert late["added_at"] == datetime(2024, 6, 5, 14, 15, tzinfo=UTC)
    assert (late["added_by"], late["lineage_source"], late["lineage_bars"]) == ("strategy", "memory", 4 * 390 - 2)
    quality = late["quality"][0]
    assert (quality["interval"], quality["expected"], quality["actual"]) == ("1m", 390, 388)
    assert quality["gaps"][0]["start"] == datetime(2024, 6, 5, 13, 37, tzinfo=UTC)


def test_the_same_session_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    built = build()
    again = write_parquet(tmp_path, built.summary, built.symbols)
    for name in ("bars.parquet", "indicators.parquet", "symbols.parquet"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()
    assert len(list(again.iterdir())) == 3


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    built = build()

    def stream():  # type: ignore[no-untyped-def]
        yield built.symbols[0]
        raise RuntimeError("an actor died")

    with pytest.raises(RuntimeError, match="an actor died"):
        write_parquet(tmp_path, built.summary, stream())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigError, match="cannot write"):
        write_parquet(tmp_path / "file", build().summary, [])
