"""Configurations as people write them, rightly and wrongly."""

from __future__ import annotations

import pickle
from datetime import date, time
from pathlib import Path
from textwrap import dedent

import pytest

from barray.coordinator.config.file import parse_config, read_config
from barray.coordinator.config.model import SessionConfig
from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.layout import Layout
from barray.market.errors import ConfigError
from barray.market.indicators import parse_indicator
from barray.trading.orders.limits import Group, Limits
from tests.market.builders import intervals

GOOD = """
session: {start: 2024-07-01, end: 2024-07-03}
symbols: [AAPL, SPY]
intervals: [1m, 5m]
sources:
  - root: bars
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return tmp_path / "session.yaml"


def read(path: Path, text: str) -> SessionConfig:
    path.write_text(dedent(text), encoding="utf-8")
    return read_config(path)


def refused(path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, text)
    message = str(caught.value)
    assert str(path) in message
    return message


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_short_config_has_sensible_defaults(written: Path) -> None:
    config = read(written, GOOD)
    assert (config.session.start, config.session.end) == (date(2024, 7, 1), date(2024, 7, 3))
    assert (config.session.calendar, config.session.hours) == ("XNYS", "regular")
    assert config.symbols == ("AAPL", "SPY")
    assert config.requirements.intervals == intervals("1m", "5m")
    assert config.validation.per_symbol is True
    assert config.actors.lifecycle == "kill"
    assert config.sources[0].name == "parquet"


def test_a_long_config_is_read_to_the_last_key(written: Path) -> None:
    config = read(
        written,
        """
        name: long
        session: {calendar: XTKS, start: 2024-07-01, hours: extended,
                  extended_hours: {open: 08:00, close: 17:00, half_day_close: 12:30}}
        symbols: ["7203", "000001"]
        intervals: [5m, 1m, 60m]
        indicators: [RSI(14)@5m, {name: BBANDS, interval: 1m, timeperiod: 10}]
        history: {trailing_days: 5, max_missing_days: 1}
        sources:
          - {name: main, root: s3://bucket/bars, layout: "{interval}/{symbol}/{month}.parquet",
             interval_names: {1Min: 1m}, columns: {timestamp: t, timezone: Asia/Tokyo, stamp: end}}
          - {name: spare, root: /data/bars, layout: "{symbol}.parquet", interval: 1m}
        validation: {per_symbol: false, deadline_s: 2.5}
        actors: {lifecycle: reuse}
        run: {window: 30m}
        schedule:
          - {at: 10:30, add_symbol: "6758"}
          - {at: 11:00, day: 2024-07-01, by: scanner, add_indicator: {symbol: "6758", indicator: SMA(5)@1m}}
          - at: 12:34:56
            add_bar: {symbol: X, interval: 1m, timestamp: 2024-07-01T01:00:00Z,
                      open: 1, high: 2, low: 1, close: 2, volume: 1e3}
        export: {directory: out, formats: [json, csv]}
        """,
    )
    assert config.session.end == date(2024, 7, 1)
    assert config.symbols == ("7203", "000001")
    assert config.requirements.intervals == intervals("1m", "5m", "1h")
    assert config.requirements.indicators[0] == parse_indicator("RSI(14)@5m")
    first, second = config.data_sources
    assert (first.name, second.name) == ("main", "spare")
    assert config.sources[0].open().layout == Layout("{interval}/{symbol}/{month}.parquet")
    assert config.sources[0].open().columns == Columns(timestamp="t", timezone="Asia/Tokyo", stamp="end")
    assert config.sources[0].root == "s3://bucket/bars"
    assert [action.at for action in config.schedule] == [time(10, 30), time(11), time(12, 34, 56)]
    assert config.schedule[2].add_bar is not None
    assert config.schedule[2].add_bar.volume == 1000


@pytest.mark.parametrize(
    "ticker", ["ON", "NO", "TRUE", "Y", "YES", "OFF", "N", "True", "NaN", "1E", "0123", "0x1F", "1_000"]
)
def test_tickers_stay_text(written: Path, ticker: str) -> None:
    assert read(written, changed("AAPL", ticker)).symbols == (ticker, "SPY")


def test_limits_are_read(written: Path) -> None:
    text = "{gross: 1.0, net: 0.5, symbol: 0.1, groups: {tech: {symbols: [AAPL, SPY], most: 0.3}}}"
    limits = read(written, changed("intervals:", limited(text))).account.limits
    assert limits is not None
    assert limits.limits == Limits(1.0, 0.5, 0.1, {"tech": Group(frozenset({"AAPL", "SPY"}), 0.3)})
    assert read(written, GOOD).account.limits is None


def test_keys_are_not_taken_for_truth_values(written: Path) -> None:
    assert "on: unknown key" in refused(written, GOOD + "on: 1\n")


@pytest.mark.parametrize("given", ["10:30", "'10:30'", "10:30:00"])
def test_times_are_no_numbers_in_base_60(written: Path, given: str) -> None:
    config = read(written, GOOD + f"schedule: [{{at: {given}, add_symbol: X}}]\n")
    assert config.schedule[0].at == time(10, 30)


def test_anchors_and_merges_work(written: Path) -> None:
    text = """
      - &first {root: bars, name: one, columns: {close: last}}
      - {<<: *first, name: two}
    """
    config = read(written, changed("  - root: bars\n", text.replace("    ", "")))
    assert [(source.name, source.columns.close) for source in config.sources] == [("one", "last"), ("two", "last")]


def test_relative_paths_are_taken_from_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "a.yaml").write_text(changed("root: bars", "root: ../bars") + "export: {directory: out}\n")
    monkeypatch.chdir(tmp_path)
    config = read_config("configs/a.yaml")
    assert config.sources[0].root == str(tmp_path / "bars")
    assert config.export.directory == str(folder / "out")


def test_absolute_paths_and_uris_stay(written: Path) -> None:
    for root in ("/data/bars", "s3://bucket/bars", "file:///data/my%20bars"):
        assert read(written, changed("root: bars", f"root: {root}")).sources[0].root == root


def limited(limits: str) -> str:
    return f"account: {{shared: true, limits: {limits}}}\nintervals:"


# what is written instead of what: key, value and what would be right, as the message names them
WRONG = {
    "unknown key": ("symbols:", "symbls: [A]\nsymbols:", "symbls", "did you mean symbols?"),
    "unknown key below": ("start: 2024-07-01", "strat: 1, start: 2024-07-01", "session.strat", "did you mean start?"),
    "unknown key unlike any": (
        "root: bars",
        "root: bars\n    zzz: 1",
        "sources[0].zzz",
        "known here: type, name, root",
    ),
    "wrong type": (
        "intervals:",
        "history: {trailing_days: five}\nintervals:",
        "history.trailing_days: 'five'",
        "integer",
    ),
    "negative": (
        "intervals:",
        "history: {trailing_days: -1}\nintervals:",
        "history.trailing_days: -1",
        "or equal to 0",
    ),
    "interval of nothing": ("1m, 5m", "0m, 5m", "intervals[0]: '0m'", "such as 1m"),
    "interval of no unit": ("1m, 5m", "1m, 90x", "intervals[1]: '90x'", "such as 1m"),
    "interval as number": ("1m, 5m", "5", "intervals[0]: 5", "such as 1m"),
    "intervals as text": ("[1m, 5m]", "1m", "intervals: '1m'", "a list"),
    "no interval": ("[1m, 5m]", "[]", "intervals", "at least one"),
    "dates reversed": ("end: 2024-07-03", "end: 2024-06-30", "end 2024-06-30 is before start 2024-07-01", "exchange"),
    "no such day": ("start: 2024-07-01", "start: 2024-06-31", "session.start: '2024-06-31'", "written as 2024-07-01"),
    "date as number": ("start: 2024-07-01", "start: 20240701", "session.start: 20240701", "written as 2024-07-01"),
    "numeric symbol": ("AAPL", "600519", "symbols[0]: 600519", "'600519' in quotes"),
    "symbol of nothing": ("AAPL", "null", "symbols[0]: None", "in quotes"),
    "no symbols": ("[AAPL, SPY]", "[]", "symbols", "at least one"),
    "unknown indicator": ("intervals:", "indicators: [RIS(14)@1m]\nintervals:", "indicators[0]: 'RIS(14)@1m'", "RSI"),
    "bad parameter": (
        "intervals:",
        "indicators: [RSI(0)@1m]\nintervals:",
        "indicators[0]: 'RSI(0)@1m'",
        "timeperiod=14",
    ),
    "bad layout": (
        "root: bars",
        "root: bars\n    layout: '{symbol}/{day}'",
        "sources[0].layout: '{symbol}/{day}'",
        "{date}",
    ),
    "layout of no interval": (
        "root: bars",
        "root: bars\n    layout: '{symbol}.parquet'",
        "sources[0]",
        "give the source's",
    ),
    "bad zone": (
        "root: bars",
        "root: bars\n    columns: {timezone: Mars}",
        "sources[0].columns.timezone: 'Mars'",
        "UTC",
    ),
    "bad alias": (
        "root: bars",
        "root: bars\n    interval_names: {1Min: 1x}",
        "sources[0].interval_names.1Min: '1x'",
        "1m",
    ),
    "twin sources": ("  - root: bars", "  - root: bars\n  - root: more", "'parquet'", "a name of its own"),
    "no root": ("  - root: bars", "  - name: x", "sources[0].root", "is missing"),
    "bad hours": ("start: 2024-07-01", "hours: night, start: 2024-07-01", "session.hours: 'night'", "'regular' or"),
    "endless deadline": (
        "intervals:",
        "validation: {deadline_s: .inf}\nintervals:",
        "validation.deadline_s: inf",
        "86400",
    ),
    "a jump of nothing": (
        "intervals:",
        "validation: {suspect_jump: 0}\nintervals:",
        "validation.suspect_jump: 0",
        "0.1",
    ),
    "jumps on or off": (
        "intervals:",
        "validation: {suspect_jump: true}\nintervals:",
        "validation.suspect_jump: True",
        "or false",
    ),
    "no deadline": (
        "intervals:",
        "validation: {deadline_s: 0}\nintervals:",
        "validation.deadline_s: 0",
        "greater than 0",
    ),
    "section of nothing": (
        "session: {start: 2024-07-01, end: 2024-07-03}",
        "session:",
        "session: None",
        "calendar, start",
    ),
    "section as list": ("  - root: bars", "  - bars", "sources[0]: 'bars'", "type, name, root"),
    "bad time": (
        "intervals:",
        "schedule: [{at: 25:00, add_symbol: X}]\nintervals:",
        "schedule[0].at: '25:00'",
        "10:30",
    ),
    "time with offset": (
        "intervals:",
        "schedule: [{at: '10:30Z', add_symbol: X}]\nintervals:",
        "schedule[0].at",
        "exchange",
    ),
    "action of nothing": ("intervals:", "schedule: [{at: 10:30}]\nintervals:", "schedule[0]", "exactly one of"),
    "unknown limit": ("intervals:", limited("{gros: 1}"), "account.limits.gros", "did you mean gross?"),
    "negative limit": ("intervals:", limited("{gross: -1}"), "account.limits.gross: -1", "greater than 0"),
    "endless limit": ("intervals:", limited("{net: .inf}"), "account.limits.net: inf", "finite"),
    "group of nothing": (
        "intervals:",
        limited("{groups: {a: {symbols: [], most: 1}}}"),
        "groups.a.symbols",
        "at least",
    ),
    "group without limit": ("intervals:", limited("{groups: {a: {symbols: [SPY]}}}"), "groups.a.most", "is missing"),
    "strange group": (
        "intervals:",
        limited("{groups: {a: {symbols: [SPY, TSLA], most: 1}}}"),
        "account.limits.groups.a has TSLA, which is none of symbols",
        "add it there",
    ),
    "limits of own accounts": (
        "intervals:",
        "account: {limits: {gross: 1}}\nintervals:",
        "account: limits are of a shared account",
        "set shared: true",
    ),
    "bad name": ("symbols:", "name: a/b\nsymbols:", "name: 'a/b'", "pattern"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_names_file_key_value_and_what_would_be_right(written: Path, case: str) -> None:
    old, new, key, right = WRONG[case]
    message = refused(written, changed(old, new))
    assert key in message
    assert right in message.partition(key)[2]
    assert "tuple" not in message
    assert message.count("\n") == 0  # one thing is wrong, one thing is said


def test_all_that_is_wrong_is_said_at_once(written: Path) -> None:
    message = refused(written, "session: {start: x}\nsymbols: [A, 1]\nintervals: [0m]\nsource: []\n")
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        "session.start",
        "symbols[1]",
        "intervals[0]",
        "sources",
        "source",
    ]


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "- AAPL\n- SPY\n", "just text\n", "42\n"])
def test_what_is_no_mapping_holds_no_keys(written: Path, text: str) -> None:
    assert "holds no keys; start from examples/session.yaml" in refused(written, text)


def test_a_key_that_stands_twice_is_named_with_its_place(written: Path) -> None:
    assert "line 7, column 1: the key 'symbols' stands twice" in refused(written, GOOD + "symbols: [X]\n")
    twice = refused(written, changed("end: 2024-07-03", "start: 2024-07-03"))
    assert "line 2, column 30: the key 'start' stands twice" in twice


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("symbols: [A\n", "line 2, column 1"),
        ("a: b: c\n", "line 1, column 5"),
        ("\tsymbols: [A]\n", "line 1, column 1"),
    ],
)
def test_broken_yaml_is_named_with_its_place(written: Path, text: str, place: str) -> None:
    written.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(written)
    assert f"{written} {place}" in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9\n".encode("latin-1"))
    nul = tmp_path / "nul.yaml"
    nul.write_bytes(b"name: \x00\n")
    for path, said in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "Is a directory"),
        (latin, "UTF-8"),
        (nul, "special characters are not allowed"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_config(path)
        assert str(path) in str(caught.value)
        assert said in str(caught.value)
        assert caught.value.remedy


def bomb(levels: int) -> str:
    """Each list names the one before nine times: 9 ** levels values in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(bomb(12), "line 6, column 15: holds more than 200,000 values, which is the bound", id="aliases"),
        pytest.param(
            "a: &a [*a]\n", "line 1, column 8: an alias stands inside what it names", id="a list within itself"
        ),
        pytest.param("a: " + "[" * 60, "column 43: is nested deeper than 40 levels, which is the bound", id="nested"),
        pytest.param("#" * 4_000_001, "holds more than 4,000,000 characters, which is the bound", id="characters"),
    ],
)
def test_what_is_beyond_a_bound_is_refused_with_the_bound(written: Path, text: str, said: str) -> None:
    message = refused(written, text)
    assert said in message
    assert "give barray.Session a mapping: only files are bounded" in message


@pytest.mark.long
def test_forty_thousand_keys_are_looked_through_once(written: Path) -> None:
    message = refused(written, "\n".join(f"key{n}: 1" for n in range(40_000)))
    assert "key0: unknown key" in message
    assert message.endswith("… and 39983 more")
    again = refused(written, "\n".join(f"key{n}: 1" for n in [*range(40_000), 7]))
    assert "line 40001, column 1: the key 'key7' stands twice" in again


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("9" * 5000, "is no int that can be read"),
        ("!!timestamp soon", "soon is no timestamp that can be read"),
        ("!!bool perhaps", "perhaps is no bool that can be read"),
        ("{[a, b]: c}", "['a', 'b'] is no key"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_place(written: Path, value: str, said: str) -> None:
    message = refused(written, f"name: {value}\n")
    assert "line 1, column" in message
    assert said in message


def test_a_mapping_can_be_parsed_without_a_file() -> None:
    settings = {"session": {"start": date(2024, 7, 1)}, "symbols": ["A"], "intervals": ["1m"]}
    config = parse_config({**settings, "sources": [{"root": "bars"}]})
    assert config.sources[0].root == "bars"
    with pytest.raises(ConfigError, match=r"config: sources: is missing"):
        parse_config(settings)


def test_a_config_knows_the_file_it_is_of(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "session: {start: 2024-07-01}\nname: a\nsymbols: [AAPL]\nintervals: [1m]\nsources: [{root: bars}]\n"
    )
    found = read_config(path)
    assert (found.where, found.resolved(tmp_path).where) == (str(path), str(path))
    assert pickle.loads(pickle.dumps(found)).where == str(path)
    given = {"session": {"start": "2024-07-01"}, "symbols": ["A"], "intervals": ["1m"], "sources": [{"root": "b"}]}
    assert parse_config({"name": "a", **given}).where == "config"
