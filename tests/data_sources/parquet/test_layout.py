"""Layouts: a template read in both directions."""

from __future__ import annotations

import re
from datetime import date

import pytest

from barray.data_sources.parquet.layout import Layout
from barray.market.errors import ConfigError
from tests.shared_data import REPO


def read(template: str, component: int, name: str) -> dict[str, str] | None:
    match = Layout(template).patterns[component].fullmatch(name)
    return match.groupdict() if match else None


@pytest.mark.parametrize(
    ("template", "text", "first", "last"),
    [
        ("{symbol}/{interval}/{date}.parquet", "2024-02-29", date(2024, 2, 29), date(2024, 2, 29)),
        ("{interval}/{symbol}/{month}.parquet", "2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("{interval}/{symbol}/{month}.parquet", "2023-12", date(2023, 12, 1), date(2023, 12, 31)),
        ("{symbol}-{interval}-{year}.parquet", "2024", date(2024, 1, 1), date(2024, 12, 31)),
    ],
)
def test_a_period_is_named_after_its_days(template: str, text: str, first: date, last: date) -> None:
    layout = Layout(template)
    assert layout.period_of(first) == layout.period_of(last) == text
    assert layout.days_of(text) == (first, last)


def test_a_file_without_a_period_holds_all_days() -> None:
    layout = Layout("{interval}/{symbol}.parquet")
    assert layout.period is None
    assert layout.period_of(date(2024, 7, 1)) == ""


def test_a_day_that_no_calendar_has_is_no_period() -> None:
    with pytest.raises(ValueError, match="day"):
        Layout("{symbol}/{interval}/{date}.parquet").days_of("2024-02-30")


def test_a_name_is_filled_in_where_all_its_placeholders_are_known() -> None:
    layout = Layout("bars/{symbol}_{interval}/{date}.parquet")
    assert layout.known(0, {}) == "bars"
    assert layout.known(1, {"symbol": "SPY"}) is None
    assert layout.known(1, {"symbol": "SPY", "interval": "1m"}) == "SPY_1m"


def test_names_give_back_what_they_were_made_of() -> None:
    assert read("{symbol}/{interval}/{date}.parquet", 2, "2024-07-01.parquet") == {"date": "2024-07-01"}
    assert read("{symbol}_{interval}_{year}.parquet", 0, "SPY_1m_2024.parquet") == {
        "symbol": "SPY",
        "interval": "1m",
        "year": "2024",
    }


@pytest.mark.parametrize(
    ("template", "name", "symbol"),
    [
        ("{symbol}.{interval}.parquet", "BRK.B.1m.parquet", "BRK.B"),
        ("{symbol}-{interval}.parquet", "BF-B-1m.parquet", "BF-B"),
        ("{interval}_{symbol}.parquet", "1m_A_B.parquet", "A_B"),
    ],
)
def test_a_symbol_may_contain_the_mark_that_separates_it(template: str, name: str, symbol: str) -> None:
    assert read(template, 0, name) == {"symbol": symbol, "interval": "1m"}


@pytest.mark.parametrize(
    ("template", "path", "period"),
    [
        ("{symbol}/{interval}/{date}.parquet", "SPY/1m/20240701.parquet", "2024-07-01"),
        ("{interval}/{symbol}/{month}.parquet", "1m/SPY/202407.parquet", "2024-07"),
        ("{year}/{month}/{day}/{symbol}.parquet", "2024/7/1/SPY.parquet", "2024-07-01"),
        ("{year}/{month}/{day}/{symbol}.parquet", "2024/07/01/SPY.parquet", "2024-07-01"),
        ("year={year}/month={month}/{symbol}-*.parquet", "year=2024/month=7/SPY-0.parquet", "2024-07"),
        ("{month}/{day}/{symbol}.parquet", "2024-07/01/SPY.parquet", "2024-07-01"),
        ("{symbol}/{symbol}_{date}.parquet", "SPY/SPY_20240701.parquet", "2024-07-01"),
        ("symbol={symbol}/date={date}/*.parquet", "symbol=SPY/date=2024-07-01/part-0.parquet", "2024-07-01"),
        ("*/{symbol}.parquet", "stocks/SPY.parquet", ""),
    ],
)
def test_dates_are_read_as_trees_write_them(template: str, path: str, period: str) -> None:
    layout = Layout(template)
    values = {}
    for nth, name in enumerate(path.split("/")):
        read_ = read(template, nth, name)
        assert read_ is not None, f"{name} does not fit"
        values |= read_
    assert layout.read_period(values) == period
    assert values.get("symbol", "SPY") == "SPY"


@pytest.mark.parametrize("path", ["2024/13/1", "2024/2/30", "2024/0/1"])
def test_what_no_calendar_has_is_no_date(path: str) -> None:
    year, month, day = path.split("/")
    with pytest.raises(ValueError, match=r"month|day"):
        Layout("{symbol}/{year}/{month}/{day}.parquet").read_period({"year": year, "month": month, "day": day})


@pytest.mark.parametrize("name", [".part-0.parquet.crc", "_metadata", ".hidden.parquet", "_temporary.parquet"])
def test_a_star_means_nothing_hidden(name: str) -> None:
    assert read("{symbol}/{interval}/*.parquet", 2, name) is None


def test_the_layouts_in_the_documentation_are_layouts_of_the_paths_beside_them() -> None:
    table = re.findall(r"^\| `([^`]+)`.* \| `([^`]*parquet)`", (REPO / "docs" / "data.md").read_text(), re.MULTILINE)
    assert len(table) == 10
    for path, template in table:
        layout = Layout(template)
        names = path.split("/")
        assert len(names) == len(layout.components), template
        assert all(p.fullmatch(name) for p, name in zip(layout.patterns, names, strict=True)), template


@pytest.mark.parametrize(
    "name", ["2024-07-01.csv", "2024-7-1.parquet", "x2024-07-01.parquet", "2024-07-01.parquet.tmp"]
)
def test_other_names_do_not_fit(name: str) -> None:
    assert read("{symbol}/{interval}/{date}.parquet", 2, name) is None


def test_a_dot_in_the_template_is_only_a_dot() -> None:
    assert read("{symbol}/{interval}/{date}.parquet", 2, "2024-07-01xparquet") is None


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{symbol}/{hour}.parquet", "unknown placeholder {hour}"),
        ("{date}/{interval}/{date}.parquet", "twice"),
        ("{symbol}_{symbol}/{date}.parquet", "twice"),
        ("{symbol}/{month}/{date}.parquet", "{month} with {date}"),
        ("{symbol}/{year}/{day}.parquet", "{year} with {day}"),
        ("{symbol}/{day}.parquet", "{day}"),
        ("/{symbol}/{interval}/{date}.parquet", "relative"),
        ("../{symbol}/{interval}/{date}.parquet", "relative"),
        ("{symbol}/{interval}/{date}.parquet/", "relative"),
        ("{symbol}//{date}.parquet", "relative"),
        ("", "relative"),
        ("{symbol}/{interval}/{date.parquet", "braces"),
        ("{symbol}/{interval}/{date:%Y%m%d}.parquet", "braces"),
    ],
)
def test_a_template_that_cannot_be_meant_is_refused(template: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Layout(template)
    assert problem in caught.value.reason
    assert repr(template) in caught.value.reason
    assert caught.value.remedy
