"""Results and snapshots as pandas, Polars, DuckDB and pyarrow read them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from barray.market.bars import COLUMNS
from barray.market.errors import ConfigError
from barray.market.table import Column, Table, floats_known, stamps, texts
from barray.trading.orders.fills import Fill, Fills
from barray.trading.orders.order import Order
from barray.trading.orders.reasons import Why
from barray.trading.orders.terms import OrderTerms
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.equity import EquityCurve
from barray.trading.results.events import Events, RunEvent
from barray.trading.sweeps.result import SweepResult
from barray.trading.sweeps.table import SetRow
from tests.barray.dump_builder import build, refused
from tests.barray.result_builder import HOSTILE, OPEN_NS, backtest, random_backtest, random_symbol, with_orders

SNAPSHOT = {data.symbol: data for data in build().symbols}["GAP"]
RESULT = random_backtest(3, 2, 10)
TABLES = {
    **{
        name: getattr(RESULT.tables, name)
        for name in ("trades", "orders", "fills", "equity", "exposure", "stats", "stats_by_symbol")
    },
    "bars": SNAPSHOT.table("bars", "1m"),
    "indicators": SNAPSHOT.table("indicators", "5m"),
    "quality": SNAPSHOT.table("quality"),
    "gaps": SNAPSHOT.table("gaps"),
}


def address(values: np.ndarray) -> int:
    found: int = values.__array_interface__["data"][0]
    return found


def cells(table: Table) -> list[dict[str, object]]:
    """What a table holds, as Arrow's own Python values: the yardstick for the other readers."""
    rows: list[dict[str, object]] = pa.table(table).to_pylist()
    return rows


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_every_reader_sees_the_same_rows(name: str) -> None:
    table = TABLES[name]
    rows = cells(table)
    assert len(rows) == len(table) > 0
    assert pl.DataFrame(table).to_dicts() == rows
    given = table  # noqa: F841  # found by its name
    found = duckdb.sql("from given")
    assert found.columns == table.names
    assert [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()] == rows
    read, own = pd.DataFrame.from_arrow(table), table.to_pandas()
    for column in table.names:
        expected = [row[column] for row in rows]
        for frame in (read, own):
            values = [None if pd.isna(value) else value for value in frame[column].tolist()]
            if own[column].dtype.kind == "M" and column == "session":
                values = [pd.Timestamp(value).date() for value in values]
            assert values == expected, column


@pytest.mark.parametrize(("name", "columns"), [("equity", ("timestamp", "equity")), ("bars", ("timestamp", *COLUMNS))])
def test_numbers_and_stamps_are_not_copied(name: str, columns: tuple[str, ...]) -> None:
    table = TABLES[name]
    arrow, polars, pandas = pa.table(table), pl.DataFrame(table), table.to_pandas()
    for column in columns:
        own = address(table[column])
        assert arrow[column].chunk(0).buffers()[1].address == own
        assert address(polars[column].to_physical().to_numpy(allow_copy=False)) == own
        if column != "timestamp":  # pandas keeps stamps in blocks of its own
            assert np.shares_memory(pandas[column].to_numpy(), table[column])


def test_a_snapshots_columns_are_the_sessions_own_arrays() -> None:
    bars = SNAPSHOT.bars["1m"].bars
    assert SNAPSHOT.table("bars", "1m")["close"] is bars.close
    assert SNAPSHOT.table("bars")["close"] is bars.close  # 1m is the base interval
    rsi = SNAPSHOT.indicators["RSI(14)@5m"].values["real"]
    assert SNAPSHOT.table("indicators", "5m")["RSI(14)@5m"] is rsi


def test_what_is_unknown_is_null_and_never_nan() -> None:
    table = Table(
        {
            "at": stamps(np.array([1, -1], np.int64), np.array([False, True])),
            "value": floats_known(np.array([np.nan, 2.0])),
            "text": texts([None, "a"]),
            "flag": Column(np.array([True, False])),
            "day": Column(np.array([0, 365], np.int32), "day"),
        }
    )
    frame = pl.DataFrame(table)
    assert [frame[name].null_count() for name in frame.columns] == [1, 1, 1, 0, 0]
    assert frame["flag"].to_list() == [True, False]
    assert [str(day) for day in frame["day"].to_list()] == ["1970-01-01", "1971-01-01"]
    assert str(frame.schema["at"]) == "Datetime(time_unit='ns', time_zone='UTC')"
    assert table.to_pandas()["at"].isna().tolist() == [False, True]


def test_the_quality_and_the_gaps_of_a_symbol_are_tables() -> None:
    """GAP lacks nine minutes of its session, five of them one after another."""
    quality = pl.DataFrame(SNAPSHOT.table("quality"))
    minute = quality.filter(pl.col("interval") == "1m", pl.col("part") == "session").row(0, named=True)
    assert (minute["expected"], minute["actual"], minute["gaps"]) == (390, 381, 3)
    missing = [row["missing"] for row in cells(SNAPSHOT.table("gaps")) if row["interval"] == "1m"]
    assert missing == [3, 1, 5]


def test_a_table_that_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="GAP: there are no bars of 2m; choose from 1m, 5m, 1d"):
        SNAPSHOT.table("bars", "2m")
    with pytest.raises(ConfigError, match="choose bars, indicators, quality or gaps"):
        SNAPSHOT.table("trades")


def test_a_backtest_hands_out_pandas() -> None:
    first = RESULT.symbols["S000"]
    trades = RESULT.trades
    assert trades[trades.symbol == "S000"].pnl.tolist() == first.trades.pnl.tolist()
    assert str(trades.entry_time.dtype) == "datetime64[ns, UTC]"
    trades.loc[0, "pnl"] = 0.0  # one's own to write into
    assert RESULT.trades is trades
    assert RESULT.tables.trades["pnl"][0] == first.trades.pnl[0]
    assert RESULT.equity.tolist() == RESULT.account_equity.tolist()
    assert RESULT.equity.index[0] == pd.Timestamp("2024-07-01 09:31", tz="America/New_York")
    assert RESULT.stats["pnl"] == pytest.approx(RESULT.pnl)
    assert RESULT.stats["trades"] == 30
    assert len(RESULT.fills) == 60


def test_orders_are_all_that_were_placed_with_what_their_fills_came_to() -> None:
    """Number 2 fills in two parts, 1 is refused in full, and 3 still works."""
    fills = Fills.of([Fill(0, 60, 30.0, 10.0, 1.0, 0.5, 2), Fill(2, 180, 10.0, 14.0, 1.0, 0.25, 2)])
    placed = [
        Order(2, OrderTerms(40.0, tag="mine"), 0.0, "filled", filled=40.0, placed_ns=60, ended_ns=180),
        Order(1, OrderTerms(5.0), 5.0, "rejected", Why("no_money", "no money"), ended_ns=60),
        Order(3, OrderTerms(-40.0, stop=9.0, limit=8.5, tif="day"), -40.0, placed_ns=240),
    ]
    orders = cells(backtest({"A": with_orders(random_symbol("A", 1, 1, 0), fills, placed)}, 1).tables.orders)
    names = ("order", "status", "side", "type", "quantity", "filled", "price", "fills", "tif", "tag", "code", "reason")
    assert [tuple(row[name] for name in names) for row in orders] == [
        (1, "refused", "buy", "market", 5.0, 0.0, None, 0, "gtc", None, "no_money", "no money"),
        (2, "filled", "buy", "market", 40.0, 40.0, 11.0, 2, "gtc", "mine", None, None),
        (3, "working", "sell", "stop_limit", -40.0, 0.0, None, 0, "day", None, None, None),
    ]
    assert [(row["limit"], row["stop"], row["trail"], row["guards"]) for row in orders[1:]] == [
        (None, None, None, 0),
        (8.5, 9.0, None, 0),
    ]
    assert (orders[1]["commission"], orders[1]["slippage"]) == (2.0, 0.75)
    assert [row["ended"] is None for row in orders] == [False, False, True]


def test_exposure_sums_longs_and_shorts_up() -> None:
    result = backtest({"L": random_symbol("L", 1, 3, 0), "S": random_symbol("S", 1, 3, 1)}, 1)
    parts = {
        name: replace(part, curve=EquityCurve.of(part.equity - value, np.full(len(part.equity), value)))
        for (name, part), value in zip(result.symbols.items(), (300.0, -100.0), strict=True)
    }
    table, equity = backtest(parts, 1).tables.exposure, backtest(parts, 1).account_equity
    assert [set(table[name].tolist()) for name in ("gross", "net", "positions")] == [{400.0}, {200.0}, {2}]
    assert table["cash"].tolist() == (equity - 200).tolist()
    assert table["leverage"].tolist() == (400 / equity).tolist()
    assert len(result.exposure) == len(equity)


def test_events_are_a_table() -> None:
    event = RunEvent(OPEN_NS, "add_symbol", "GME", "strategy", accepted=False, reason="nobody has it", count=3)
    (row,) = cells(backtest({}, 0, events=Events((event,))).tables.events)
    assert (row["action"], row["symbol"], row["accepted"], row["reason"], row["detail"], row["count"]) == (
        "add_symbol", "GME", False, "nobody has it", None, 3,
    )  # fmt: skip


def test_a_backtest_without_symbols_has_empty_tables() -> None:
    empty = backtest({}, 0)
    for name in ("trades", "orders", "fills", "equity", "exposure", "events", "stats_by_symbol"):
        assert len(pa.table(getattr(empty.tables, name))) == 0, name
    assert empty.trades.empty
    assert len(empty.equity) == 0


def test_a_result_travels_without_what_was_made_of_it() -> None:
    result = random_backtest(1, 1, 2)
    assert len(result.trades) == 2
    copy: BacktestResult = pickle.loads(pickle.dumps(result))
    assert "trades" not in vars(copy)
    assert "tables" not in vars(copy)
    assert copy.trades.equals(result.trades)


def test_whatever_a_notebook_shows_is_text() -> None:
    result = replace(backtest({HOSTILE: random_symbol(HOSTILE, 1, 2, 0)}, 1), strategy=HOSTILE)
    summary = replace(build().summary, step0={HOSTILE: refused(HOSTILE)}, dropped={HOSTILE: refused(HOSTILE).reasons})
    row = SetRow({"kind": HOSTILE}, 1, 1, 2.0, 2.0, 0.0, 0.0, 0.0, np.array([2.0]))
    sweep = SweepResult("s", HOSTILE, "pnl", 100.0, ("2024-07-01",), (row,), {}, Path("journal"))
    snapshot = replace(SNAPSHOT, symbol=HOSTILE)
    for shown in (result, result.tables.trades, snapshot, summary, refused(HOSTILE), sweep, sweep.table):
        page = shown._repr_html_()
        assert "<script>" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_a_long_table_shows_its_two_ends() -> None:
    page = SNAPSHOT.table("bars", "1m")._repr_html_()
    assert "1,551 rows" in page
    assert page.count("<tr>") == 1 + 5 + 1 + 5
    assert "2024-06-05T19:59:00Z" in page
