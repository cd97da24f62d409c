"""A sweep's table as CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from barray.export.sweep import write_sweep_csv
from barray.market.errors import ConfigError
from tests.barray.sweep_builder import failed, swept, tried


def test_the_best_set_comes_first_and_those_in_error_last(tmp_path: Path) -> None:
    result = swept(
        failed({"fast": 9, "slow": 1}, "AAPL: ValueError: no"),
        tried({"fast": 5, "slow": 20}, 100.0, -40.0),
        tried({"fast": 8, "slow": 20}, 200.0, 50.5, trades=4),
    )
    path = write_sweep_csv(result, tmp_path / "mine.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["fast"], row["slow"], row["pnl"]) for row in rows] == [
        ("8", "20", "250.5"),
        ("5", "20", "60.0"),
        ("9", "1", ""),
    ]
    assert (rows[1]["profit_factor"], rows[1]["trades"], rows[1]["return_pct"]) == ("2.5", "10", "0.6")
    assert [row["error"] for row in rows] == ["", "", "AAPL: ValueError: no"]


def test_a_folder_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write"):
        write_sweep_csv(swept(tried({"fast": 5}, 1.0, 2.0)), tmp_path / "file" / "mine.csv")
