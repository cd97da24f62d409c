"""Which name has a company's bars of a day."""

from __future__ import annotations

import pickle
from datetime import date

import pytest

from barray.market.listings import Listings
from barray.market.renames import Renames

ROWS = """
A,2020-01-02,2020-12-31,B
B,2021-01-01,2021-12-31,C
C,2022-01-01,,
A,2021-03-01,2022-05-31,
A,2022-06-01,,
META,2021-06-30,2022-01-31,
META,2022-06-09,,
FB,,2022-06-08,META
OLD,,2022-02-01,NEW
GONE,,2021-02-01,
PLAIN,2015-01-02,,
"""


def renames(rows: str = ROWS) -> Renames:
    table = [line.split(",") for line in rows.split()]
    columns = {name: [row[i] for row in table] for i, name in enumerate(("symbol", "start", "end", "renamed_to"))}
    return Renames.in_listings(Listings.of(columns, "listings.csv"))


@pytest.mark.parametrize(
    ("symbol", "as_of", "day", "name"),
    [
        ("C", date(2023, 1, 3), date(2020, 5, 5), "A"),  # two names before
        ("C", date(2023, 1, 3), date(2021, 5, 5), "B"),
        ("C", date(2023, 1, 3), date(2022, 5, 5), "C"),
        ("B", date(2021, 1, 4), date(2020, 12, 31), "A"),
        ("A", date(2020, 6, 1), date(2019, 1, 3), "A"),  # nobody had it before
        ("A", date(2021, 6, 1), date(2020, 12, 31), None),  # another company's bars
        ("A", date(2021, 6, 1), date(2021, 6, 1), "A"),
        ("A", date(2022, 6, 1), date(2022, 5, 31), None),
        ("A", date(2021, 2, 1), date(2021, 2, 1), "B"),  # nobody's that day: who had it last
        ("META", date(2021, 12, 1), date(2021, 12, 1), "META"),
        ("META", date(2022, 3, 1), date(2021, 12, 1), "META"),
        ("META", date(2022, 6, 9), date(2022, 6, 8), "FB"),
        ("META", date(2022, 6, 9), date(2021, 12, 1), "FB"),  # which its name was of then
        ("META", date(2020, 6, 9), date(2020, 6, 9), "META"),
        ("FB", date(2022, 7, 1), date(2022, 7, 1), "META"),
        ("NEW", date(2022, 2, 2), date(2022, 2, 1), "OLD"),  # of which there is no row
        ("NEW", date(2022, 2, 2), date(2022, 2, 2), "NEW"),
        ("GONE", date(2022, 2, 2), date(2022, 2, 2), "GONE"),
        ("PLAIN", date(2022, 2, 2), date(2010, 2, 2), "PLAIN"),
        ("OTHER", date(2022, 2, 2), date(2010, 2, 2), "OTHER"),
    ],
)
def test_a_days_bars_are_stored_under_the_name_of_that_day(symbol: str, as_of: date, day: date, name: str) -> None:
    assert renames().name_on(day, symbol, as_of) == name


def test_of_a_symbol_that_only_one_company_ever_had_there_is_nothing() -> None:
    assert set(renames().of) == {"A", "B", "C", "META", "FB", "OLD", "NEW"}
    assert not renames("X,2020-01-02,2021-01-04,\nY,,,")
    assert pickle.loads(pickle.dumps(renames())) == renames()
    assert renames().every_name(["C", "PLAIN"]) == ("A", "B", "C", "PLAIN")


def test_a_company_that_takes_its_old_name_again_has_all_its_bars() -> None:
    found = renames("A,,2020-12-31,B\nB,2021-01-01,2021-12-31,A\nA,2022-01-01,,")
    for as_of in (date(2020, 1, 2), date(2022, 1, 3)):
        assert [found.name_on(date(year, 1, 5), "A", as_of) for year in (2020, 2021, 2022)] == ["A", "B", "A"]


def test_one_company_alone_goes_on_under_a_name() -> None:
    merged = renames("A,,2020-12-31,C\nB,,2021-12-31,C\nC,2021-01-01,,")
    assert merged.name_on(date(2021, 6, 1), "C", date(2022, 6, 1)) == "C"
    assert merged.name_on(date(2020, 6, 1), "C", date(2022, 6, 1)) == "A"
    assert merged.name_on(date(2022, 6, 1), "B", date(2022, 6, 1)) is None
    open_ended = renames("A,,2020-12-31,C\nB,,2021-12-31,C\nC,,,")
    assert open_ended.name_on(date(2020, 6, 1), "C", date(2022, 6, 1)) == "B"
    assert open_ended.name_on(date(2020, 6, 1), "A", date(2020, 6, 1)) == "A"
