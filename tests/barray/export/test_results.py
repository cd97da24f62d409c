from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from barray.export.results import SCHEMA, _rows_json, write_result
from barray.market.errors import ConfigError
from barray.market.symbol_data import Lineage
from barray.market.table import Column, Table, floats_known, texts
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Refusal
from barray.trading.results.events import Events, RunEvent
from tests.barray.result_builder import (
    BARS_A_DAY,
    HOSTILE,
    MINUTE_NS,
    OPEN_NS,
    backtest,
    no_trades,
    random_backtest,
    random_symbol,
)

TABLES = ("trades", "orders", "fills", "equity", "exposure", "events")
FILES = {"equity_by_symbol.parquet", "summary.json"} | {
    f"{name}.{ending}" for name in TABLES for ending in ("parquet", "csv", "json")
}
EVENT = RunEvent(OPEN_NS, "add_symbol", "GME", "strategy", accepted=False, reason="nobody has it")


def test_every_format_holds_the_same_trades(tmp_path: Path) -> None:
    result = random_backtest(3, 2, 7)
    written = write_result(result, tmp_path / "new" / "folder")
    assert {path.name for path in written} == FILES
    folder = written[0].parent
    from_parquet = pyarrow.parquet.read_table(folder / "trades.parquet").to_pylist()
    from_json = json.loads((folder / "trades.json").read_text())
    with (folder / "trades.csv").open(newline="") as file:
        from_csv = list(csv.DictReader(file))
    assert len(from_parquet) == len(from_json) == len(from_csv) == 21
    for one, two, three in zip(from_parquet, from_json, from_csv, strict=True):
        assert one["symbol"] == two["symbol"] == three["symbol"]
        assert f"{one['entry_time']:%Y-%m-%dT%H:%M:%SZ}" == two["entry_time"] == three["entry_time"]
        for name in ("entry_price", "exit_price", "quantity", "pnl", "commission", "mae", "mfe", "bars"):
            assert one[name] == two[name] == float(three[name])
    assert sum(row["pnl"] for row in from_json) == pytest.approx(result.pnl)


def test_every_format_holds_the_same_orders_fills_exposure_and_events(tmp_path: Path) -> None:
    result = replace(random_backtest(3, 2, 7), events=Events((EVENT,)))
    write_result(result, tmp_path)
    for name in ("orders", "fills", "exposure", "events"):
        rows = pyarrow.parquet.read_table(tmp_path / f"{name}.parquet").to_pylist()
        columns = json.loads((tmp_path / f"{name}.json").read_text())
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            from_csv = list(csv.DictReader(file))
        assert len(rows) == len(from_csv) == len(getattr(result.tables, name)) > 0
        assert list(columns) == list(rows[0]) == list(from_csv[0])
        for number, row in enumerate(rows):
            for column, value in row.items():
                said, text = columns[column][number], from_csv[number][column]
                if isinstance(value, (date, datetime)):
                    shown = f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value.isoformat()
                    assert said == text == shown
                elif isinstance(value, bool):
                    assert (said, text) == (value, str(value).lower())
                elif isinstance(value, (int, float)):
                    assert said == float(text) == value
                else:
                    assert (said, text) == (value, value or "")


def test_equity_stands_at_bar_ends_in_utc(tmp_path: Path) -> None:
    result = random_backtest(2, 2, 5)
    write_result(result, tmp_path)
    rows = pyarrow.parquet.read_table(tmp_path / "equity.parquet")
    assert rows.column("timestamp").cast("int64").to_numpy()[0] == OPEN_NS + MINUTE_NS
    assert str(rows.schema.field("timestamp").type) == "timestamp[ns, tz=UTC]"
    assert rows.column("equity").to_numpy().tolist() == result.account_equity.tolist()
    first = (tmp_path / "equity.csv").read_text().splitlines()[1]
    assert first.startswith('"2024-07-01T13:31:00Z",2024-07-01,')
    columns = json.loads((tmp_path / "equity.json").read_text())
    assert columns["timestamp"][0] == "2024-07-01T13:31:00Z"
    assert columns["session"][BARS_A_DAY] == "2024-07-02"
    assert columns["equity"] == result.account_equity.tolist()


def test_equity_by_symbol_is_long(tmp_path: Path) -> None:
    result = random_backtest(3, 2, 5)
    write_result(result, tmp_path, ["parquet"])
    rows = pyarrow.parquet.read_table(tmp_path / "equity_by_symbol.parquet")
    assert rows.num_rows == 3 * 2 * BARS_A_DAY
    by_symbol = dict(zip(rows.column("symbol").to_pylist(), rows.column("equity").to_pylist(), strict=True))
    assert by_symbol == {name: part.equity[-1] for name, part in result.symbols.items()}
    stamps = rows.column("timestamp").cast("int64").to_numpy()
    assert np.array_equal(stamps, np.tile(result.grid_ns, 3))


def test_the_summary_tells_what_was_left_out(tmp_path: Path) -> None:
    part = replace(
        random_symbol("AA", 1, 3, 1),
        error="Traceback",
        error_ns=OPEN_NS,
        skipped={"2024-07-02": "missing"},
        refusals=(Refusal(OPEN_NS, 5.0, "no cash", "no_money"),),
    )
    result = backtest({"AA": part}, 1, dropped={"ZZ": ("no source", "no bars")}, events=Events((EVENT,)))
    write_result(result, tmp_path, ["json"])
    content = json.loads((tmp_path / "summary.json").read_text())
    assert content["schema"] == SCHEMA
    assert content["dropped"] == {"ZZ": ["no source", "no bars"]}
    assert content["parameters"] == {"fast": 10, "slow": 30, "size": 0.95}
    symbol = content["symbols"]["AA"]
    assert symbol["skipped"] == {"2024-07-02": "missing"}
    assert (symbol["error"], symbol["error_at"]) == ("Traceback", "2024-07-01T13:30:00Z")
    assert symbol["refused"] == [
        {"bar": "2024-07-01T13:30:00Z", "quantity": 5.0, "code": "no_money", "reason": "no cash"}
    ]
    assert symbol["statistics"]["pnl"] == pytest.approx(part.pnl)
    assert content["statistics"]["trades"] == 3
    assert content["orders"] == {"filled": 6}
    assert (content["events"][0]["at"], content["events"][0]["symbol"]) == ("2024-07-01T13:30:00Z", "GME")
    assert symbol["metadata"]["added_by"] == "config"
    assert symbol["lineage"]["first"] == "2024-07-01T13:30:00Z"


def test_the_same_result_gives_the_same_bytes_however_long_it_took(tmp_path: Path) -> None:
    result = random_backtest(2, 1, 4)
    slower = replace(
        result,
        timings_s={"run": 99.0},
        symbols={name: replace(part, engine_s=9.0) for name, part in result.symbols.items()},
    )
    first, second = (write_result(one, tmp_path / name) for name, one in (("a", result), ("b", slower)))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_an_open_trade_has_no_exit_time(tmp_path: Path) -> None:
    part = random_symbol("AA", 1, 2, 1)
    trades = replace(part.trades, exit_ns=np.array([part.trades.exit_ns[0], -1]))
    write_result(backtest({"AA": replace(part, trades=trades)}, 1), tmp_path)
    assert pyarrow.parquet.read_table(tmp_path / "trades.parquet").column("exit_time").null_count == 1
    assert json.loads((tmp_path / "trades.json").read_text())[1]["exit_time"] is None
    with (tmp_path / "trades.csv").open(newline="") as file:
        assert [row["exit_time"] == "" for row in csv.DictReader(file)] == [False, True]


@pytest.mark.parametrize("sessions", [0, 1])
def test_a_result_of_no_symbols_has_empty_tables(sessions: int, tmp_path: Path) -> None:
    write_result(backtest({}, sessions), tmp_path)
    for name in ("trades", "equity", "equity_by_symbol"):
        assert pyarrow.parquet.read_table(tmp_path / f"{name}.parquet").num_rows == 0
    assert json.loads((tmp_path / "trades.json").read_text()) == []
    assert len((tmp_path / "trades.csv").read_text().splitlines()) == 1


def test_a_symbol_without_trades_and_hostile_names_are_written(tmp_path: Path) -> None:
    idle = replace(random_symbol("IDLE", 1, 1, 1), trades=no_trades(), fills=Fills.of([]), lineage=None)
    odd = 'a,"b"\n</script>'
    symbols = {"IDLE": idle, HOSTILE: random_symbol(HOSTILE, 1, 2, 2), odd: random_symbol(odd, 1, 1, 3)}
    write_result(backtest(symbols, 1), tmp_path)
    with (tmp_path / "trades.csv").open(newline="") as file:
        assert [row["symbol"] for row in csv.DictReader(file)] == sorted([HOSTILE, HOSTILE, odd])
    assert json.loads((tmp_path / "summary.json").read_text())["symbols"]["IDLE"]["statistics"]["trades"] == 0


def test_a_lineage_names_feed_and_adjustment_where_the_source_says_them(tmp_path: Path) -> None:
    part = random_symbol("AA", 1, 1, 1)
    assert part.lineage is not None
    told = replace(part.lineage, dataset="alpaca-iex-raw")
    write_result(
        backtest({"AA": replace(part, lineage=told), "BB": random_symbol("BB", 1, 1, 2)}, 1), tmp_path, ["json"]
    )
    symbols = json.loads((tmp_path / "summary.json").read_text())["symbols"]
    assert symbols["AA"]["lineage"]["dataset"] == "alpaca-iex-raw"
    assert "dataset" not in symbols["BB"]["lineage"]


def test_a_lineage_without_bars_has_no_stamps(tmp_path: Path) -> None:
    part = random_symbol("AA", 1, 1, 1)
    assert part.lineage is not None
    nothing = Lineage(part.lineage.source, part.lineage.interval, None, None, 0)
    write_result(backtest({"AA": replace(part, lineage=nothing)}, 1), tmp_path, ["json"])
    assert json.loads((tmp_path / "summary.json").read_text())["symbols"]["AA"]["lineage"]["first"] is None


def test_an_unknown_format_or_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    result = random_backtest(1, 1, 1)
    with pytest.raises(ConfigError, match="xlsx"):
        write_result(result, tmp_path, ["xlsx"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        write_result(result, tmp_path / "file" / "folder")
    assert write_result(result, tmp_path, []) == []


@pytest.mark.parametrize("said", [["a", "b,c"], ['d"},\n{', None], []])
def test_rows_say_what_columns_do_whatever_stands_in_texts(said: list[str | None]) -> None:
    n = len(said)
    numbers, minute_ns = np.array([1e-7, np.nan])[:n], 60_000_000_000
    table = Table(
        {
            "100 % said": texts(said),
            "number": floats_known(numbers),
            "count": Column(np.arange(n), unknown=np.array([True, False])[:n]),
            "at": Column(np.array([minute_ns, -1])[:n], "stamp"),
            "day": Column(np.array([0, 19_000], np.int32)[:n], "day"),
            "flag": Column(np.array([True, False])[:n]),
        }
    )
    told = [
        {"100 % said": text, "number": number, "count": count, "at": at, "day": day, "flag": flag}
        for text, number, count, at, day, flag in zip(
            said,
            (1e-7, None)[:n],
            (None, 1)[:n],
            ("1970-01-01T00:01:00Z", None)[:n],
            ("1970-01-01", "2022-01-08")[:n],
            (True, False)[:n],
            strict=True,
        )
    ]
    assert json.loads(_rows_json(table)) == told
