"""Who is looked at on a day."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from barray.market.errors import ConfigError, DataError
from barray.market.listings import Listings
from barray.trading.scans.universe import everything, listed, symbols, symbols_in

ROWS = {
    "symbol": ["FB", "META", "AAPL", "DEAD", "BACK", "BACK", "NEW"],
    "start": ["2012-05-18", date(2022, 6, 9), None, "", "2000-01-03", "2015-01-02", datetime(2024, 7, 2)],
    "end": ["2022-06-08", None, float("nan"), "2024-07-02", "2009-12-31", None, None],
    "renamed_to": ["META", None, "", None, None, None, None],
    "name": ["a", "b", "c", "d", "e", "f", "g"],
}


def listings() -> Listings:
    return Listings.of(ROWS, "listings.csv")


@pytest.mark.parametrize(("day", "there"), [
    (date(2005, 1, 3), "AAPL BACK DEAD"),
    (date(2012, 1, 3), "AAPL DEAD"),
    (date(2022, 6, 8), "AAPL BACK DEAD FB"),
    (date(2022, 6, 9), "AAPL BACK DEAD META"),
    (date(2024, 7, 2), "AAPL BACK DEAD META NEW"),
    (date(2024, 7, 3), "AAPL BACK META NEW"),
])  # fmt: skip
def test_a_symbol_is_in_from_its_first_day_to_its_last(day: date, there: str) -> None:
    assert " ".join(listings().on(day)) == there


def test_members_that_have_no_bars_are_told_and_why_another_is_none() -> None:
    members = listed().on(date(2024, 7, 3), ["AAPL", "DEAD", "META", "FB", "OTC"], lambda name: listings())
    assert (members.symbols, members.missing) == (("AAPL", "META"), ("BACK", "NEW"))
    assert members.why_not("AAPL") is None
    assert members.why_not("NEW") == "the store has no bars of it"
    assert members.why_not("DEAD") == "listed until 2024-07-02"
    assert members.why_not("FB") == "listed until 2022-06-08, renamed to META"
    assert members.why_not("OTC") == "listings.csv does not list it"
    early = listed().on(date(2024, 7, 1), ["NEW"], lambda name: listings())
    assert early.why_not("NEW") == "listed from 2024-07-02 on"


def test_other_universes() -> None:
    day, stored = date(2024, 7, 3), ["B", "A", "C"]
    assert everything().on(day, stored).symbols == ("A", "B", "C")
    named = symbols("A", "X", "A").on(day, stored)
    assert (named.symbols, named.missing) == (("A",), ("X",))
    assert named.why_not("B") == "symbols(2 of them) does not name it"
    file = Listings.of_lines(["# mine\n", "C\n", "\n", " B  # the other\n"], "some.txt")
    assert symbols_in("some.txt").on(day, stored, lambda name: file).symbols == ("B", "C")
    with pytest.raises(ConfigError, match="needs a table"):
        listed("sp500.csv").on(day, stored)
    with pytest.raises(ConfigError, match="A/B"):
        symbols("A/B")
    with pytest.raises(ConfigError, match="names none"):
        symbols()


@pytest.mark.parametrize(("rows", "told"), [
    ({"symbol": ["A", "A"], "start": ["2020-01-02", "2020-01-02"]}, "A stands twice, in rows 1 and 2"),
    ({"symbol": ["A", "A"], "start": ["2020-01-02", "2021-01-04"]}, "A is listed twice at a time, in rows 1 and 2"),
    ({"symbol": ["A"], "start": ["2020-01-02"], "end": ["2019-01-02"]}, "A ends on 2019-01-02, before it starts"),
    ({"symbol": ["A"], "start": ["02.01.2020"]}, "row 1: start is '02.01.2020', no date"),
    ({"symbol": ["A B"]}, "row 1: a symbol consists of"),
    ({"symbol": ["A"], "renamed_to": ["B"]}, "A is renamed to B without an end"),
    ({"symbol": ["A"], "end": ["2020-01-02"], "renamed_to": ["A"]}, "A is renamed to A itself"),
    ({"symbol": [None]}, "row 1: a symbol is text"),
    ({"symbol": list("AABBCCDDEEFFGG")}, "(and 2 more)"),
])  # fmt: skip
def test_rows_that_can_not_be_right_are_told(rows, told: str) -> None:
    with pytest.raises(DataError) as caught:
        Listings.of(rows, "listings.csv")
    assert told in str(caught.value)


def test_a_table_without_symbols_is_none() -> None:
    with pytest.raises(ConfigError, match="no column symbol"):
        Listings.of({"ticker": ["A"]}, "listings.csv")
