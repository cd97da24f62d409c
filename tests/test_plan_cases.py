"""The eight test cases of the implementation plan, on real Ray with real Parquet."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import barray
from tests.sessions import bar, config

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]


def test_plan_case_1_one_valid_symbol_loads_and_two_are_dropped_with_warnings(
    universe: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config(universe, "AAPL", "NOPE", "GME", session={"start": "2024-07-03"})
    with caplog.at_level(logging.WARNING, "barray"), barray.Session(settings) as session:
        summary = session.begin()
        session.advance_to()
        assert session.symbols() == ["AAPL"]
        assert [reason.code for reason in summary.dropped["NOPE"]] == ["no_data_source"]
        assert [reason.code for reason in summary.dropped["GME"]] == ["no_history"]
        assert len(session.snapshot("AAPL").bars["1m"]) == 2 * 390 + 210
    warned = [record.getMessage() for record in caplog.records]
    assert any("NOPE" in line and "no data" in line for line in warned)
    assert any("GME" in line and "has no history; 2 sessions" in line for line in warned)


def test_plan_case_2_the_session_ends_with_an_error_where_all_symbols_fail(universe: Path) -> None:
    settings = config(universe, "NOPE", "GME", "../../x", session={"start": "2024-07-03"})
    with barray.Session(settings) as session, pytest.raises(barray.ValidationFailed) as error:
        session.begin()
    message = str(error.value)
    assert all(name in message for name in ("NOPE", "GME", "../../x"))
    assert "none of 3 symbols" in message


def test_plan_case_3_an_adhoc_bar_provisions_its_symbol(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL")) as session:
        session.begin()
        session.advance_to("10:00")
        assert session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T13:59:00Z"), source="scanner")
        data = session.snapshot("TSLA")
        assert data.meets_session_config_requirements is False
        assert data.added_by == "adhoc"
        assert data.auto_provisioned is True
        assert data.provisioned_reason == "bar_addition"
        assert data.bars["1m"].bars.close.tolist() == [10.0]
        assert list(data.bars) == ["1m"]
        metadata = session.get_symbol_metadata("TSLA")
        assert type(metadata) is barray.SymbolMetadata
        assert metadata.metadata_dict() == data.metadata_dict()
        assert session.get_symbol_metadata("NOPE") is None


def test_plan_case_4_add_symbol_upgrades_an_adhoc_symbol(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL")) as session:
        session.begin()
        session.advance_to("10:00")
        session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T13:59:00Z"))
        assert session.add_symbol("TSLA") is True
        data = session.snapshot("TSLA")
        assert data.meets_session_config_requirements is True
        assert data.upgraded_from_adhoc is True
        assert data.auto_provisioned is False
        assert data.added_by == "strategy"
        assert len(data.bars["1m"]) == 2 * 390 + 30
        assert [str(conflict.interval) for conflict in data.conflicts] == ["1m"]


def test_plan_case_5_adding_a_full_symbol_again_does_nothing(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL")) as session:
        session.begin()
        session.advance_to("10:00")
        before = session.snapshot("AAPL")
        result = session.add_symbol_detailed("AAPL")
        after = session.snapshot("AAPL")
        assert result.accepted
        assert result.reason == "already loaded"
        assert after.metadata_dict() == before.metadata_dict()
        assert after.added_by == "config"
        assert session.status()["processes"] == 1


def test_plan_case_6_nothing_survives_into_the_next_session(universe: Path) -> None:
    with barray.Session(config(universe, "AAPL", "MSFT")) as session:
        session.begin()
        session.advance_to("10:00")
        session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T13:59:00Z"))
        session.add_symbol("NVDA")
        session.end()
        assert session.symbols() == ["AAPL", "MSFT", "NVDA", "TSLA"]
        assert str(session.teardown()) == "2024-07-03"
        assert session.symbols() == []
        session.begin()
        assert session.symbols() == ["AAPL", "MSFT"]
        assert str(session.snapshot("AAPL").session_date) == "2024-07-03"
        assert session.summary().events == ()


def test_plan_case_7_json_export_carries_the_metadata(universe: Path, tmp_path: Path) -> None:
    with barray.Session(config(universe, "AAPL")) as session:
        session.begin()
        session.advance_to("10:00")
        session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T13:59:00Z"))
        session.add_symbol("NVDA", added_by="scanner")
        session.advance_to()
        session.end()
        (path,) = session.export(tmp_path, ["json"])
    dump = json.loads(path.read_text())
    expected = {
        "AAPL": (True, "config", False, False, None, False),
        "NVDA": (True, "scanner", False, True, None, False),
        "TSLA": (False, "adhoc", True, True, "bar_addition", False),
    }
    assert list(dump["symbols"]) == list(expected)
    for symbol, (meets, added_by, auto, mid, reason, upgraded) in expected.items():
        assert dump["symbols"][symbol]["metadata"] == {
            "meets_session_config_requirements": meets,
            "added_by": added_by,
            "auto_provisioned": auto,
            "added_at": "2024-07-02T14:00:00Z" if mid else "2024-07-02T13:30:00Z",
            "added_mid_session": mid,
            "provisioned_reason": reason,
            "upgraded_from_adhoc": upgraded,
        }
    assert barray.validate_session_dump(path) == []


def test_plan_case_8_csv_export_and_validation_with_metadata(universe: Path, tmp_path: Path) -> None:
    with barray.Session(config(universe, "AAPL")) as session:
        session.begin()
        session.advance_to("10:00")
        session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T13:59:00Z"))
        session.advance_to()
        session.end()
        (path,) = session.export(tmp_path, ["csv"])
    header, first, *rest = path.read_text().splitlines()
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    assert len(rest) == 389
    assert cells["timestamp"] == "2024-07-02T13:30:00Z"
    assert (cells["AAPL_meets_config_req"], cells["AAPL_added_by"], cells["AAPL_auto_provisioned"]) == (
        "true",
        "config",
        "false",
    )
    assert (cells["TSLA_meets_config_req"], cells["TSLA_added_by"], cells["TSLA_auto_provisioned"]) == (
        "false",
        "adhoc",
        "true",
    )
    assert barray.validate_session_dump(path) == []
    path.write_text(path.read_text().replace("true,config,false", "true,config,true"))
    assert barray.validate_session_dump(path) != []
