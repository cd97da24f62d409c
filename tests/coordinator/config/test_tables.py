"""Tables in a configuration: what is refused, and what is told of them when a run is prepared."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.config.file import parse_config, read_config
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.config.unused import unused_by
from barray.coordinator.prepare import read_tables
from barray.market.errors import ConfigError, DataError


def config(tables: Any, symbols: tuple[str, ...] = ("AAPL", "MSFT")) -> SessionConfig:
    session = {"start": "2024-07-01", "end": "2024-07-02"}
    return parse_config(
        {
            "session": session,
            "symbols": symbols,
            "intervals": ["1m"],
            "sources": [{"root": "bars"}],
            "tables": tables,
        }
    )


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"facts": {"path": "x.csv", "knownat": "day"}}, "tables.facts.knownat: unknown key; did you mean known_at?"),
        ({"facts": {"path": "x.xlsx"}}, "tables.facts.path: 'x.xlsx': ends in none of .csv, .csv.gz, .parquet"),
        ({"facts": {"path": "x.csv", "timezone": "Mars"}}, "no such time zone"),
        ({"facts": {}}, "tables.facts.path: is missing"),
        ({"my facts": {"path": "x.csv"}}, "consists of letters, digits and _"),
        ([1], "tables: "),
    ],
)
def test_what_can_not_be_meant_is_refused(tables: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config(tables)


def test_an_unknown_key_is_told_below_any_name_that_was_given() -> None:
    account = {"shared": True, "limits": {"groups": {"chips": {"symbols": ["AAPL"], "mosst": 1}}}}
    settings = {
        "session": {"start": "2024-07-01"},
        "symbols": ["AAPL"],
        "intervals": ["1m"],
        "sources": [{"root": "x"}],
    }
    with pytest.raises(ConfigError, match=r"groups\.chips\.mosst: unknown key; did you mean most"):
        parse_config({**settings, "account": account})


def test_a_path_is_taken_from_the_configs_folder(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "session: {start: 2024-07-01}\nsymbols: [A]\nintervals: [1m]\nsources: [{root: bars}]\n"
        "tables: {one: {path: one.csv}, two: {path: s3://bucket/two.parquet}}\n"
    )
    found = read_config(tmp_path / "config.yaml")
    assert [table.path for table in found.tables.values()] == [str(tmp_path / "one.csv"), "s3://bucket/two.parquet"]
    assert unused_by("run", found) == ("tables",)
    assert unused_by("backtest", found) == ()


def test_symbols_without_a_row_are_told_and_a_table_for_none_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "facts.csv").write_text("symbol,known_at,pe\nAAPL,2024-07-01,1\nIBM,2024-07-01,2\n")
    tables = {"facts": {"path": str(tmp_path / "facts.csv")}}
    with caplog.at_level(logging.WARNING):
        assert list(read_tables(config(tables))["facts"].rows) == ["AAPL", "IBM"]
    assert caplog.messages == ["table facts has no row for MSFT"]
    with pytest.raises(
        DataError, match=r"\[tables.facts\]: .* has no row for any of the config's symbols, but for AAPL, IBM"
    ):
        read_tables(config(tables, ("aapl", "msft")))
