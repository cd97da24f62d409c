"""Errors keep their parts, also through pickling."""

from __future__ import annotations

import pickle

import pytest

from barray.market.errors import (
    ActorFailed,
    BarrayError,
    ConfigError,
    DataError,
    IllegalTransition,
    NoDataError,
    SourceUnavailable,
    ValidationFailed,
    shorten,
)

KINDS = [ConfigError, DataError, NoDataError, SourceUnavailable, IllegalTransition, ValidationFailed, ActorFailed]
PARTS = {
    "symbol": "SPY",
    "interval": "5m",
    "source": "parquet",
    "reason": "high below low",
    "remedy": "mend the file",
    "code": "bad_values",
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_with_all_its_parts(kind: type[BarrayError]) -> None:
    back = pickle.loads(pickle.dumps(kind(**PARTS)))
    assert type(back) is kind
    assert {name: getattr(back, name) for name in PARTS} == PARTS
    assert str(back) == "SPY 5m [parquet]: high below low; mend the file"
    assert back.args == ("high below low",)


def test_an_error_of_a_subclass_with_more_attributes_survives_pickling() -> None:
    error = ConfigError("no")
    error.add_note("while reading config.yaml")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["while reading config.yaml"]


def test_every_kind_has_a_code_of_its_own_unless_one_is_given() -> None:
    assert len({kind("x").code for kind in KINDS}) == len(KINDS)
    assert DataError("x", code="off_grid").code == "off_grid"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "no"),
        ({"symbol": "SPY"}, "SPY: no"),
        ({"source": "alpaca"}, "[alpaca]: no"),
        ({"remedy": "do so"}, "no; do so"),
        ({"symbol": "A" * 1_000}, "A" * 39 + "…: no"),
        ({"symbol": "A\nB"}, r"'A\nB': no"),
    ],
)
def test_a_message_names_the_subject_that_is_known(parts: dict[str, str], text: str) -> None:
    assert str(BarrayError("no", **parts)) == text


@pytest.mark.parametrize(
    ("text", "shown"), [(None, None), ("", "''"), ("SPY", "SPY"), ("x" * 41, "x" * 39 + "…"), ("a\tb", r"'a\tb'")]
)
def test_what_a_user_typed_is_made_fit_for_a_message(text: str | None, shown: str | None) -> None:
    assert shorten(text) == shown
