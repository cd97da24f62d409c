from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from barray.coordinator.summary import SessionEvent
from barray.dump.validate import validate_session_dump
from barray.dump.writers.json import write_json
from barray.market.errors import ConfigError
from barray.market.validation import Reason, SymbolValidationResult
from tests.barray.dump_builder import build, tree_of, with_summary

FLAT = {"open": 50.0, "high": 50.0, "low": 50.0, "close": 50.0, "volume": 10.0}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build().write(tmp_path_factory.mktemp("json") / "session.json")


def test_the_header_holds_session_and_requirements(dump: Path) -> None:
    tree = tree_of(dump)
    assert list(tree) == ["schema", "digest", "session", "requirements", "step0", "dropped", "events", "symbols"]
    assert tree["schema"] == "barray.session/2"
    assert tree["session"] == {
        "calendar": "XNYS",
        "timezone": "America/New_York",
        "hours": "regular",
        "extended_hours": None,
        "date": "2024-06-05",
        "open": "2024-06-05T13:30:00Z",
        "close": "2024-06-05T20:00:00Z",
        "now": "2024-06-05T20:00:00Z",
    }
    assert tree["requirements"] == {
        "intervals": ["1m", "5m", "1d"],
        "indicators": ["RSI(14)@5m", "SESSION_VWAP@1m", "BBANDS(5,2,2,0)@5m", "SMA(2)@1d"],
        "trailing_days": 3,
        "max_missing_days": 0,
        "history_first": "2024-05-31",
    }


def test_step_0_drops_and_events_are_told(dump: Path) -> None:
    tree = tree_of(dump)
    assert list(tree["step0"]) == ["ALL", "GAP", "LATE", "NONE", "UP"]
    assert tree["dropped"]["NONE"] == tree["step0"]["NONE"]["reasons"]
    assert tree["dropped"]["NONE"][0]["code"] == "no_data_source"
    assert tree["events"][8] == {
        "at": "2024-06-05T14:00:00Z",
        "action": "add_symbol",
        "symbol": "UP",
        "by": "scanner",
        "accepted": True,
        "reason": "",
        "detail": {},
    }


def test_an_adhoc_symbol_is_told_in_full(dump: Path) -> None:
    entry = tree_of(dump)["symbols"]["HAND"]
    digest = entry["bars"]["5m"].pop("digest")
    assert re.fullmatch("[0-9a-f]{16}", digest)
    stamps = ["2024-06-05T13:40:00Z", "2024-06-05T13:45:00Z", "2024-06-05T13:50:00Z"]
    assert entry == {
        "metadata": {
            "meets_session_config_requirements": False,
            "added_by": "adhoc",
            "auto_provisioned": True,
            "added_at": "2024-06-05T13:50:00Z",
            "added_mid_session": True,
            "provisioned_reason": "bar_addition",
            "upgraded_from_adhoc": False,
        },
        "base_interval": None,
        "lineage": None,
        "bars": {
            "5m": {
                "history": 0,
                "timestamp": stamps,
                "open": [50.0, 51.0, 52.5],
                "high": [50.0, 53.5, 52.5],
                "low": [50.0, 50.5, 52.5],
                "close": [50.0, 52.25, 52.5],
                "volume": [10.0, 700.0, 10.0],
            }
        },
        "indicators": {
            "SMA(2)@5m": {
                "interval": "5m",
                "convention": "TA-Lib SMA",
                "first_bar": 0,
                "values": {"real": [None, 51.125, 52.375]},
            }
        },
        "quality": {
            "5m": {
                "share": 3 / 78,
                "expected": 78,
                "actual": 3,
                "gaps": [
                    {"start": "2024-06-05T13:30:00Z", "end": "2024-06-05T13:40:00Z", "missing": 2},
                    {"start": "2024-06-05T13:55:00Z", "end": "2024-06-05T20:00:00Z", "missing": 73},
                ],
            }
        },
        "history_quality": {},
        "adhoc": {"bars": {"5m": stamps}, "indicators": ["SMA(2)@5m"], "conflicts": [], "conflicts_digest": None},
    }


def test_base_and_daily_bars_carry_the_history_and_derived_ones_the_session_only(dump: Path) -> None:
    bars = tree_of(dump)["symbols"]["GAP"]["bars"]
    assert {name: (entry["history"], len(entry["timestamp"])) for name, entry in bars.items()} == {
        "1m": (3 * 390, 4 * 390 - 9),
        "5m": (0, 77),  # nothing traded from minute 40 to 44
        "1d": (3, 4),
    }
    five = bars["5m"]
    assert (five["timestamp"][0], five["end"][0], five["derived_from"]) == (
        "2024-06-05T13:30:00Z",
        "2024-06-05T13:35:00Z",
        "1m",
    )
    assert (five["expected"][0], five["actual"][0], five["complete"][0]) == (5, 3, False)  # minutes 3 and 4 are missing
    assert (five["expected"][2], five["actual"][2], five["complete"][2]) == (5, 5, True)
    assert five["high"][2] == max(bars["1m"]["high"][1170 + 10 - 3 : 1170 + 15 - 3])


def test_indicators_carry_the_session_and_say_where_it_begins(dump: Path) -> None:
    indicators = tree_of(dump)["symbols"]["ALL"]["indicators"]
    assert {key: (e["first_bar"], len(next(iter(e["values"].values())))) for key, e in indicators.items()} == {
        "RSI(14)@5m": (0, 78),
        "SESSION_VWAP@1m": (1170, 390),
        "BBANDS(5,2,2,0)@5m": (0, 78),
        "SMA(2)@1d": (0, 4),
    }
    assert list(indicators["BBANDS(5,2,2,0)@5m"]["values"]) == ["upperband", "middleband", "lowerband"]
    assert indicators["SMA(2)@1d"]["values"]["real"][0] is None


def test_an_upgrade_tells_its_conflicts(dump: Path) -> None:
    entry = tree_of(dump)["symbols"]["UP"]
    conflicts = [(c["interval"], c["timestamp"][11:16], c["record"] is None) for c in entry["adhoc"]["conflicts"]]
    assert conflicts == [("1m", "13:32", False), ("1m", "13:36", True), ("5m", "13:35", False)]
    assert entry["adhoc"]["bars"] == {"1m": ["2024-06-05T13:39:00Z"]}
    assert entry["metadata"]["upgraded_from_adhoc"] is True
    assert entry["lineage"]["bars"] == 4 * 390 - 2


def test_the_same_session_gives_the_same_bytes(tmp_path: Path) -> None:
    built = build()
    slower = {symbol: replace(result, elapsed_s=99.0) for symbol, result in built.summary.step0.items()}
    backwards = dict(reversed(slower.items()))
    (tmp_path / "elsewhere").mkdir()
    first = built.write(tmp_path / "a.json").read_bytes()
    assert with_summary(built, step0=backwards).write(tmp_path / "elsewhere" / "b.json").read_bytes() == first
    assert str(tmp_path).encode() not in first
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.json"]


def test_a_symbol_is_a_line(dump: Path) -> None:
    lines = dump.read_text().splitlines()
    first = lines.index('"symbols":{') + 1
    assert [line.partition(":")[0] for line in lines[first:-1]] == ['"ALL"', '"GAP"', '"HAND"', '"LATE"', '"UP"']
    assert lines[-1] == "}}"


def test_symbols_stream_through_one_at_a_time(tmp_path: Path) -> None:
    built, taken = build(), []

    def stream():  # type: ignore[no-untyped-def]
        for data in built.symbols:
            taken.append(data.symbol)
            yield data

    write_json(tmp_path / "a.json", built.summary, stream())
    assert taken == ["ALL", "GAP", "HAND", "LATE", "UP"]


@pytest.mark.parametrize("place", ["missing/session.json", "file/session.json", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path / place))) as caught:
        build().write(tmp_path / place)
    assert caught.value.code == "cannot_write"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    built, path = build(), tmp_path / "session.json"
    path.write_text("old")

    def stream():  # type: ignore[no-untyped-def]
        yield built.symbols[0]
        raise RuntimeError("an actor died")

    with pytest.raises(RuntimeError, match="an actor died"):
        write_json(path, built.summary, stream())
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["session.json"]


def test_symbols_out_of_order_or_of_another_time_are_refused(tmp_path: Path) -> None:
    built = build()
    with pytest.raises(ValueError, match="ALL comes after GAP"):
        write_json(tmp_path / "a.json", built.summary, [built.symbols[1], built.symbols[0]])
    with pytest.raises(ValueError, match="ALL stands at 2024-06-05T20:00:00Z, the session at 2024-06-05T19:59:00Z"):
        with_summary(built, now_ns=built.summary.now_ns - 60_000_000_000).write(tmp_path / "a.json")


def test_what_a_user_typed_can_always_be_written(tmp_path: Path) -> None:
    built = build()
    bad = "\ud800"
    event = SessionEvent(built.summary.now_ns, "add_bar", bad, "scanner", accepted=False, detail={"volume": 10**30})
    refusal = Reason("bad_symbol", "is no symbol", "correct it")
    refused = SymbolValidationResult(bad, reason=str(refusal), reasons=(refusal,))
    step0, dropped = {**built.summary.step0, bad: refused}, {**built.summary.dropped, bad: (refusal,)}
    path = with_summary(built, step0=step0, dropped=dropped, events=(*built.summary.events, event)).write(
        tmp_path / "a.json"
    )
    tree = tree_of(path)
    assert tree["events"][-1]["symbol"] == r"\ud800"
    assert tree["events"][-1]["detail"] == {"volume": "1" + 30 * "0"}
    assert validate_session_dump(path) == []


def test_no_symbols_at_all_is_a_dump_too(tmp_path: Path) -> None:
    built = build()
    path = write_json(tmp_path / "a.json", replace(built.summary, step0={}, dropped={}, events=()), [])
    assert tree_of(path)["symbols"] == {}
    assert validate_session_dump(path) == []
