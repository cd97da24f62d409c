from __future__ import annotations

import csv
from pathlib import Path

import pytest

from barray.dump.writers.csv import write_csv
from barray.market.bars import Bars
from barray.market.commands import AddAdhocIndicator, Load, TakeSnapshot
from barray.market.errors import ConfigError
from barray.market.indicators import parse_indicator
from barray.market.requirements import SessionContext
from barray.market.symbol_session import SymbolSession
from tests.barray.dump_builder import ONE, build, passed, summary_of, without
from tests.market.builders import MINUTE_NS, MemoryReader, context_for, flat, require, run

REQUIRED = require("1m")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rising(context: SessionContext, *missing: int) -> Bars:
    """One bar a minute of the session, closing at 100, 101, 102 …, some of them missing."""
    every = Bars.of(flat(context.open_ns + minute * MINUTE_NS, 100.0 + minute) for minute in range(390))
    return without(every, context, *missing)


def write(path: Path, bars: Bars, *specs: str, minutes: int = 30) -> list[dict[str, str]]:
    context = context_for(REQUIRED)
    now_ns = context.open_ns + minutes * MINUTE_NS
    session = run(
        SymbolSession("ABC"),
        Load(context, MemoryReader(bars), ONE, REQUIRED.intervals, (), "config", context.open_ns),
        *(AddAdhocIndicator(parse_indicator(text), "scanner", context.open_ns) for text in specs),
        TakeSnapshot(now_ns),
    )
    summary = summary_of(context, REQUIRED, now_ns, {"ABC": passed("ABC")})
    return rows_of(write_csv(path, summary, [session.snapshot()]))


def test_a_value_of_a_coarser_interval_first_stands_in_the_minute_that_closes_it(tmp_path: Path) -> None:
    rows = write(tmp_path / "a.csv", rising(context_for(REQUIRED)), "SMA(2)@5m")
    # 5m bars close at 104, 109, 114 …, in minutes 4, 9, 14 …; SMA(2) begins with the second
    expected = {9: "106.5", 13: "106.5", 14: "111.5", 18: "111.5", 19: "116.5", 29: "126.5"}
    assert [row["ABC_SMA(2)@5m"] for row in rows[:9]] == [""] * 9
    assert {minute: rows[minute]["ABC_SMA(2)@5m"] for minute in expected} == expected


def test_where_the_closing_minute_is_missing_the_next_one_shows_the_value(tmp_path: Path) -> None:
    rows = {row["timestamp"]: row for row in write(tmp_path / "a.csv", rising(context_for(REQUIRED), 9), "SMA(2)@5m")}
    assert "2024-06-05T13:39:00Z" not in rows
    assert rows["2024-06-05T13:38:00Z"]["ABC_SMA(2)@5m"] == ""
    assert rows["2024-06-05T13:40:00Z"]["ABC_SMA(2)@5m"] == "106"  # (104 + 108) / 2


def test_several_outputs_have_a_column_each(tmp_path: Path) -> None:
    rows = write(tmp_path / "a.csv", rising(context_for(REQUIRED)), "BBANDS(3)@1m", "SMA(2)@1m")
    assert rows[5]["ABC_SMA(2)@1m"] == "104.5"
    assert rows[5]["ABC_BBANDS(3,2,2,0)@1m.middleband"] == "104"
    width = float(rows[5]["ABC_BBANDS(3,2,2,0)@1m.upperband"]) - 104
    assert width == pytest.approx(2 * (2 / 3) ** 0.5)  # twice the population deviation of 103, 104, 105


def test_quality_is_the_share_so_far(tmp_path: Path) -> None:
    rows = write(tmp_path / "a.csv", rising(context_for(REQUIRED), 1, 2), minutes=6)
    shares = {row["timestamp"][14:16]: float(row["ABC_quality"]) for row in rows}
    assert shares == {"30": 1.0, "33": 2 / 4, "34": 3 / 5, "35": 4 / 6}


def test_columns_are_those_of_the_plan_and_metadata_stands_in_every_row(tmp_path: Path) -> None:
    built = build()
    rows = rows_of(write_csv(tmp_path / "a.csv", built.summary, built.symbols))
    names = list(rows[0])
    assert names[:6] == ["timestamp", "ALL_open", "ALL_high", "ALL_low", "ALL_close", "ALL_volume"]
    at = names.index("HAND_open")
    assert names[at + 5 : at + 10] == [
        "HAND_SMA(2)@5m",
        "HAND_quality",
        "HAND_meets_config_req",
        "HAND_added_by",
        "HAND_auto_provisioned",
    ]
    names = ("meets_config_req", "added_by", "auto_provisioned")
    flags = {
        symbol: {tuple(row[f"{symbol}_{name}"] for name in names) for row in rows}
        for symbol in ("ALL", "HAND", "LATE", "UP")
    }
    assert flags == {
        "ALL": {("true", "config", "false")},
        "HAND": {("false", "adhoc", "true")},
        "LATE": {("true", "strategy", "false")},
        "UP": {("true", "scanner", "false")},
    }


def test_rows_are_all_base_stamps_and_cells_empty_where_a_symbol_has_no_bar(tmp_path: Path) -> None:
    built = build()
    rows = {row["timestamp"]: row for row in rows_of(write_csv(tmp_path / "a.csv", built.summary, built.symbols))}
    assert list(rows) == sorted(rows)
    assert len(rows) == 390  # ALL has every minute
    gap = rows["2024-06-05T13:33:00Z"]  # minute 3
    assert {gap[f"GAP_{name}"] for name in ("open", "close", "volume", "RSI(14)@5m", "SESSION_VWAP@1m")} == {""}
    assert gap["GAP_quality"] == "0.75"
    assert gap["ALL_open"]
    hand = rows["2024-06-05T13:45:00Z"]
    assert [hand[f"HAND_{name}"] for name in ("open", "high", "low", "close", "volume")] == [
        "51",
        "53.5",
        "50.5",
        "52.25",
        "700",
    ]
    assert hand["HAND_SMA(2)@5m"] == "51.125"
    assert sum(1 for row in rows.values() if row["HAND_open"]) == 3


def test_the_same_session_gives_the_same_bytes(tmp_path: Path) -> None:
    built = build()
    first = write_csv(tmp_path / "a.csv", built.summary, built.symbols).read_bytes()
    assert write_csv(tmp_path / "b.csv", built.summary, built.symbols).read_bytes() == first


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        write_csv(tmp_path / "missing" / "a.csv", build().summary, [])


def test_no_symbols_give_a_header_alone(tmp_path: Path) -> None:
    header = "timestamp,schema,calendar,hours,degraded,warnings,digest\n"
    assert write_csv(tmp_path / "a.csv", build().summary, []).read_text() == header
