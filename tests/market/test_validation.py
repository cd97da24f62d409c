"""Step 0: each check by itself, all reasons together, and going on to the next source."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from barray.market.interval import Interval
from barray.market.symbols import symbol_problem
from barray.market.validation import (
    Coverage,
    Reason,
    SourceAnswers,
    check_available_intervals,
    check_data_source_for_symbol,
    check_historical_data_availability,
    check_session_data,
    failures,
    validate_interval_compatibility,
    validate_symbol,
)
from tests.market.builders import context_for, intervals, require

WANTED = require("1m", "5m", specs=("RSI(14)@15m",), trailing_days=2)
CONTEXT = context_for(WANTED)
MONDAY, TUESDAY = CONTEXT.history_dates
COVERED = Coverage(date(2024, 1, 2), date(2024, 6, 5))
GOOD = SourceAnswers("parquet", has_symbol=True, intervals=intervals("1m"), coverage=COVERED, elapsed_s=0.25)
NO_SESSION = Reason("no_session_data", "has no 1m bars on 2024-06-05", "add the file", "parquet")


def codes(reasons: object) -> list[str]:
    return [reason.code for reason in reasons]  # type: ignore[attr-defined]


def test_check_1_passes_where_the_source_has_the_symbol() -> None:
    assert check_data_source_for_symbol("SPY", GOOD) == []


def test_check_1_fails_where_the_source_has_not() -> None:
    (reason,) = check_data_source_for_symbol("SPY", replace(GOOD, has_symbol=False))
    assert (reason.code, reason.source) == ("no_data_source", "parquet")
    assert "SPY" in reason.message
    assert reason.remedy


def test_check_1_hands_on_why_the_source_could_not_be_asked() -> None:
    problem = Reason("source_unavailable", "did not answer within 5 s", "raise the deadline", "alpaca")
    assert check_data_source_for_symbol("SPY", SourceAnswers("alpaca", problem)) == [problem]


@pytest.mark.parametrize(
    ("available", "wanted"),
    [
        ("1m", None),
        ("1s", None),
        ("1s 1m 1d", None),
        ("5m", "1m"),
        ("15m 1d", "1m, 5m"),
        ("", "1m, 5m, 15m"),
        ("7m", "1m, 5m, 15m"),
    ],
)
def test_check_2_asks_for_intervals_that_serve_all(available: str, wanted: str | None) -> None:
    reasons = check_available_intervals(replace(GOOD, intervals=intervals(*available.split())), WANTED)
    if wanted is None:
        assert reasons == []
    else:
        offered = ", ".join(available.split()) or "none"
        assert [reason.message for reason in reasons] == [f"{wanted} cannot be built from {offered}"]
        assert codes(reasons) == ["interval_unavailable"]


def test_the_base_is_the_coarsest_interval_that_serves_all() -> None:
    found = validate_interval_compatibility(intervals("5m", "15m"), intervals("1s", "1m", "5m", "15m"))
    assert found
    assert (found.base, found.unserved) == (Interval.parse("5m"), ())


def test_where_no_single_base_serves_all_everything_is_unserved() -> None:
    found = validate_interval_compatibility(intervals("5m", "7m"), intervals("5m", "7m"))
    assert not found
    assert found.unserved == intervals("5m", "7m")


@pytest.mark.parametrize(
    ("coverage", "allowed", "message"),
    [
        (COVERED, 0, None),
        (Coverage(MONDAY, TUESDAY, (MONDAY,)), 0, "lacks 1 of the 2 trailing sessions (2024-06-03)"),
        (Coverage(MONDAY, TUESDAY, (MONDAY,)), 1, None),
        (
            Coverage(MONDAY, TUESDAY, (MONDAY, TUESDAY)),
            1,
            "has no history; 2 sessions from 2024-06-03 to 2024-06-04 are needed",
        ),
        (None, 0, "has no history; 2 sessions from 2024-06-03 to 2024-06-04 are needed"),
        (Coverage(None, None), 1, "has no history; 2 sessions from 2024-06-03 to 2024-06-04 are needed"),
        (Coverage(None, None), 2, None),
    ],
)
def test_check_3_asks_for_the_trailing_days(coverage: Coverage | None, allowed: int, message: str | None) -> None:
    wanted = replace(WANTED, max_missing_days=allowed)
    reasons = check_historical_data_availability(replace(GOOD, coverage=coverage), wanted, [MONDAY, TUESDAY])
    assert [reason.message for reason in reasons] == ([] if message is None else [message])
    assert all(reason.code == "no_history" and "history.trailing_days" in reason.remedy for reason in reasons)


def test_check_3_shortens_a_long_list_of_missing_days() -> None:
    days = [date(2024, 5, day) for day in range(1, 11)]
    (reason,) = check_historical_data_availability(
        replace(GOOD, coverage=Coverage(days[0], days[-1], tuple(days[:-1]))), WANTED, days
    )
    assert reason.message.endswith("(2024-05-01, 2024-05-02, 2024-05-03, 2024-05-04, 2024-05-05 …)")


def test_check_3_asks_for_nothing_where_no_history_is_wanted() -> None:
    assert check_historical_data_availability(replace(GOOD, coverage=None), WANTED, []) == []


@pytest.mark.parametrize("missing", [(), (MONDAY,), (MONDAY, TUESDAY)])
def test_what_else_a_source_holds_changes_no_result(missing: tuple[date, ...]) -> None:
    """Bars of years before and of later days are no matter of this session's: the same session, the same dump."""
    wanted = replace(WANTED, max_missing_days=1)
    last = Coverage(MONDAY, TUESDAY, missing)
    more = Coverage(date(2019, 1, 2), date(2024, 12, 31), missing)
    results = [
        validate_symbol("SPY", wanted, CONTEXT, [replace(GOOD, coverage=coverage)]).to_dict()
        for coverage in (last, more)
    ]
    assert results[0] == results[1]
    held = {0: ["2024-06-03", "2024-06-04"], 1: ["2024-06-04", "2024-06-04"], 2: None}
    assert results[0]["historical_date_range"] == held[len(missing)]


def test_check_4_asks_for_the_session_date() -> None:
    assert check_session_data(GOOD) == []
    assert check_session_data(replace(GOOD, session_problem=NO_SESSION)) == [NO_SESSION]


def test_every_failure_is_collected_not_only_the_first() -> None:
    bad = SourceAnswers("parquet", None, True, intervals("1h"), Coverage(None, None), NO_SESSION)
    assert codes(failures("SPY", WANTED, CONTEXT, bad)) == ["interval_unavailable", "no_history", "no_session_data"]


def test_check_5_passes_where_all_others_do() -> None:
    result = validate_symbol("SPY", WANTED, CONTEXT, [GOOD])
    assert result.can_proceed
    assert result.meets_config_requirements
    assert (result.data_source, result.base_interval) == ("parquet", Interval.parse("1m"))
    assert result.intervals_supported == ("1m",)
    assert result.historical_date_range == (MONDAY, TUESDAY)
    assert (result.has_historical_data, result.has_session_data, result.data_source_available) == (True, True, True)
    assert (result.reason, result.reasons, result.sources_asked, result.elapsed_s) == ("", (), ("parquet",), 0.25)


@pytest.mark.parametrize(
    ("answers", "flags"),
    [
        (replace(GOOD, coverage=None), (True, False, True)),
        (replace(GOOD, session_problem=NO_SESSION), (True, True, False)),
        (replace(GOOD, has_symbol=False), (False, False, False)),
    ],
)
def test_the_result_says_which_part_is_missing(answers: SourceAnswers, flags: tuple[bool, bool, bool]) -> None:
    result = validate_symbol("SPY", WANTED, CONTEXT, [answers])
    assert not result.can_proceed
    assert not result.meets_config_requirements
    assert (result.data_source_available, result.has_historical_data, result.has_session_data) == flags
    assert result.reason == "; ".join(map(str, result.reasons)) != ""


def test_the_next_source_is_used_where_the_first_fails_a_check_and_the_result_says_so() -> None:
    first = replace(GOOD, session_problem=NO_SESSION)
    second = replace(GOOD, source="alpaca", elapsed_s=1.5)
    result = validate_symbol("SPY", WANTED, CONTEXT, [first, second])
    assert result.can_proceed
    assert result.data_source == "alpaca"
    assert result.sources_asked == ("parquet", "alpaca")
    assert result.reasons == (NO_SESSION,)
    assert result.reason == ""
    assert result.asked_s == (0.25, 1.5)
    assert result.elapsed_s == 1.75


def test_the_first_source_that_passes_is_used_whatever_others_have() -> None:
    assert validate_symbol("SPY", WANTED, CONTEXT, [GOOD, replace(GOOD, source="alpaca")]).data_source == "parquet"


def test_where_all_sources_fail_every_reason_of_every_source_is_told() -> None:
    first = replace(GOOD, has_symbol=False)
    second = replace(GOOD, source="alpaca", coverage=None, intervals=intervals("1d"))
    result = validate_symbol("SPY", WANTED, CONTEXT, [first, second])
    assert not result.can_proceed
    assert [(reason.source, reason.code) for reason in result.reasons] == [
        ("parquet", "no_data_source"),
        ("alpaca", "interval_unavailable"),
        ("alpaca", "no_history"),
    ]
    assert result.data_source == "alpaca"  # the one that knows the symbol


def test_without_sources_the_result_says_that_none_is_configured() -> None:
    result = validate_symbol("SPY", WANTED, CONTEXT, [])
    assert codes(result.reasons) == ["no_data_source"]
    assert "no source is configured" in result.reason


BAD_SYMBOLS = ["", "A" * 1_000, "../../x", "A/B", "a b", "ÄPL", "\x00", ".SPY", "SPY\n", "C:\\x", "Ａ"]


@pytest.mark.parametrize("symbol", BAD_SYMBOLS)
def test_what_cannot_be_a_symbol_is_dropped_whatever_a_source_says(symbol: str) -> None:
    result = validate_symbol(symbol, WANTED, CONTEXT, [GOOD])
    assert not result.can_proceed
    assert codes(result.reasons) == ["bad_symbol"]
    assert len(result.reason) < 200


@pytest.mark.parametrize("symbol", ["SPY", "BRK.B", "BF-B", "^GSPC", "ES=F", "7203", "a", "A" * 32])
def test_symbols_as_exchanges_write_them_are_accepted(symbol: str) -> None:
    assert symbol_problem(symbol) is None


@pytest.mark.parametrize("thing", [None, 7203, b"SPY"])
def test_a_symbol_is_text(thing: object) -> None:
    assert "a symbol is text" in str(symbol_problem(thing))


def test_the_report_holds_json_types_and_no_measured_time() -> None:
    report = validate_symbol("SPY", WANTED, CONTEXT, [replace(GOOD, session_problem=NO_SESSION)]).to_dict()
    assert not {"asked_s", "elapsed_s"} & set(report)
    assert report == {
        "can_proceed": False,
        "reason": "[parquet] has no 1m bars on 2024-06-05; add the file",
        "data_source": "parquet",
        "intervals_supported": ["1m"],
        "base_interval": "1m",
        "has_historical_data": True,
        "historical_date_range": ["2024-06-03", "2024-06-04"],
        "has_session_data": False,
        "meets_config_requirements": False,
        "sources_asked": ["parquet"],
        "reasons": [
            {
                "code": "no_session_data",
                "message": "has no 1m bars on 2024-06-05",
                "remedy": "add the file",
                "source": "parquet",
            }
        ],
    }
