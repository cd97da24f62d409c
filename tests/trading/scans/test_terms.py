"""Terms as people write them, and what they are told where they can't be meant."""

from __future__ import annotations

import pytest

from barray.market.errors import ConfigError
from barray.trading.scans.language import adv, bars, close, col, gap, new_high, relative_volume, table
from barray.trading.scans.parts import conjuncts, parts_of


def test_a_term_is_shown_as_it_was_written() -> None:
    term = (gap() > 0.02) & ~(relative_volume(10) <= 3) & (col("RSI(14)@5m") - 5 > abs(-gap()))
    assert repr(term) == "((gap() > 0.02) & ~(relative_volume(10) <= 3)) & ((RSI(14)@5m - 5) > abs(-gap()))"
    assert [str(one) for one in conjuncts(term)] == [
        "gap() > 0.02", "~(relative_volume(10) <= 3)", "(RSI(14)@5m - 5) > abs(-gap())",
    ]  # fmt: skip


def test_numbers_stand_on_either_side() -> None:
    assert [repr(one) for one in (gap() > 0.02, 1 - gap(), 2 / gap(), 3 * gap() + 1)] == [
        "gap() > 0.02", "1 - gap()", "2 / gap()", "(3 * gap()) + 1",
    ]  # fmt: skip


def test_terms_written_alike_are_one() -> None:
    term = (gap() > 0.01) & (gap() < 0.05)
    assert [one.text for one in parts_of(term)].count("gap()") == 1


@pytest.mark.parametrize("written", [
    lambda: (gap() > 0.02) and (close(1) > 5),
    lambda: (gap() > 0.02) or (close(1) > 5),
    lambda: 0.02 < gap() < 0.05,
    lambda: not gap() > 0.02,
    lambda: bool(gap() == 0.02),
])  # fmt: skip
def test_and_or_not_and_chains_say_what_to_write(written) -> None:
    with pytest.raises(ConfigError, match="neither true nor false") as caught:
        written()
    assert "& for and" in str(caught.value.remedy)
    assert "between" in str(caught.value.remedy)


@pytest.mark.parametrize("written", [
    lambda: gap() > 0.02 & (close(1) > 5),
    lambda: (gap() > 0.02) & close(1),
    lambda: ~gap(),
])  # fmt: skip
def test_missing_parentheses_are_told(written) -> None:
    with pytest.raises(ConfigError, match="takes conditions") as caught:
        written()
    assert "parentheses" in str(caught.value.remedy)


@pytest.mark.parametrize(("written", "told"), [
    (lambda: table("sectors", "sector") > "Energy", "does not compare labels"),
    (lambda: table("sectors", "sector") == 5, "a label, with 5, a number"),
    (lambda: gap() + "a", "takes numbers"),
    (lambda: (gap() > 0) + 1, "takes numbers"),
    (lambda: (gap() > 0) > 1, "a truth, with 1"),
    (lambda: gap().is_in("abc"), "lists nothing"),
    (lambda: gap().is_in(["abc"]), "a number, with 'abc', a label"),
    (lambda: gap().top(0), "whole number above 0"),
    (lambda: gap().top(2.5), "whole number above 0"),
    (lambda: gap().zscore(groupby="sector"), "groupby is 'sector'"),
    (lambda: gap() > [1, 2], "can't be made of"),
    (lambda: adv(0), "adv takes a whole number"),
    (lambda: relative_volume(True), "relative_volume takes a whole number"),
    (lambda: bars("close", 10) > 3, "many bars"),
    (lambda: bars("price", 10), "no column 'price'"),
    (lambda: bars("close", 10, "1w"), "1w"),
    (lambda: col("RSO(14)@5m"), "RSO"),
    (lambda: col("RSI(14)"), "not an indicator"),
    (lambda: col("MACD@5m", "histo"), "no output 'histo'"),
    (lambda: table("sectors", "sector", "text"), "'text'"),
])  # fmt: skip
def test_what_can_not_be_meant_is_told_at_once(written, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written()
    assert told in str(caught.value)
    assert caught.value.remedy


def test_an_output_of_an_indicator_is_named() -> None:
    assert col("MACD(12,26,9)@5m", "macdhist").text == "MACD(12,26,9)@5m.macdhist"
    assert col("MACD(12,26,9)@5m", "macd").text == col("MACD(12,26,9)@5m").text
    assert (col("close@15m").text, col("volume").text) == ("close@15m", "volume")


def test_a_new_high_is_a_comparison() -> None:
    assert new_high(20).text == "session_high() > highest(20)"
