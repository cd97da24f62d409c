"""A strategy that reads more than its bars is no honest one's equal: the check says what it reads, and can't tell."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from barray.trading.checks.causality import lookahead
from barray.trading.checks.outside import watching
from barray.trading.engine.commands import Plan
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.strategy.source import StrategySource
from tests.trading.sweep_data import loaded_range

READERS: list[Callable[[str], object]] = [
    pq.read_table,
    lambda path: pq.read_table(path, columns=["close"]),
    lambda path: pq.ParquetFile(path).read(),
    lambda path: pd.read_parquet(Path(path)),
    lambda path: pa.dataset.dataset(path).to_table(),
    pl.read_parquet,
    lambda path: pl.scan_parquet(path).collect(),
    lambda path: duckdb.sql(f"select * from '{path}'").fetchall(),
    lambda path: Path(path).read_bytes(),
    lambda path: np.fromfile(path, np.uint8),
]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A file with what will be."""
    path = tmp_path / "tomorrow.parquet"
    pq.write_table(pa.table({"close": [1.0, 2.0, 3.0]}), path)
    return path


@pytest.mark.parametrize("read", READERS)
def test_a_file_is_seen_whichever_library_opens_it(read: Callable[[str], object], parquet: Path) -> None:
    with watching() as seen:
        read(str(parquet))
    assert seen == {str(parquet)}


def test_words_and_marks_that_a_library_is_called_with_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "month").mkdir()
    with watching() as seen:
        np.char.add(np.array(["by 'month'. Or so"]), ".")
        pd.Series(["a.b"]).str.split(".")
        pd.Series(["a"]).replace("say 'month' and '.', or '/'", "/")
    assert seen == set()


def test_connections_databases_and_programs_are_seen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, watching() as seen:
        address = server.getsockname()
        socket.create_connection(address).close()
        sqlite3.connect(tmp_path / "a.db").close()
    assert seen == {f"a connection to {address}", str(tmp_path / "a.db")}


def test_what_is_written_code_and_other_threads_are_left_alone(tmp_path: Path, parquet: Path) -> None:
    (tmp_path / "log.csv").write_text("a")
    with watching() as seen:
        (tmp_path / "log.txt").write_text("bought")
        pd.DataFrame({"a": [1]}).to_csv(tmp_path / "log.csv")
        other = threading.Thread(target=parquet.read_bytes)
        other.start()
        other.join()
        Path(__file__).read_text(encoding="utf-8")
    parquet.read_bytes()
    assert seen == set()


WHILE_DECIDING = """
import numpy as np
import pyarrow.parquet as pq
from barray import Signals, Strategy

class Knows(Strategy):
    def signals(self, data):
        closes = pq.read_table(PATH).column("close").to_numpy()
        buy = closes[np.arange(len(data.close)) % 2 + 1] > closes[np.arange(len(data.close)) % 2]
        return Signals(buy, ~buy)
"""
WHEN_LOADED = """
import pandas as pd
from barray import Strategy

TOMORROW = pd.read_parquet(PATH).close

class Knows(Strategy):
    def on_bar(self, ctx):
        if TOMORROW[1] > TOMORROW[0] and not ctx.orders:
            ctx.order_target(5 if ctx.minute % 2 else 0)
"""


@pytest.mark.parametrize(("code", "form"), [(WHILE_DECIDING, "signals"), (WHEN_LOADED, "on_bar")])
def test_a_strategy_that_reads_tomorrow_from_a_file_is_not_called_honest(code: str, form: str, parquet: Path) -> None:
    plan = Plan(StrategySource("knows.py", code.replace("PATH", repr(str(parquet)))), {}, form, Market(), Account())
    for _ in range(2):  # the second time its code has been loaded already
        report = lookahead(loaded_range(n=3), plan, cuts=3)
        assert report.verdict == "can't tell"
        assert not report.ok
        assert "can't tell" in report.sentences[0]
        assert str(parquet) in report.sentences[1]
