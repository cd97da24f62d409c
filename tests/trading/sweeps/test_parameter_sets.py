"""Parameter sets: grids, random ones, conditions, and optuna's."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.errors import ConfigError
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.parameter import parameter
from barray.trading.sweeps.parameter_sets import Listed, ParameterSet, Sampler, grid, parse_space, random_sets, set_key


class Cross(Strategy):
    fast: int = parameter(10, low=2, high=100)
    slow: int = 30
    stop: float = 0.02
    kind: str = parameter("SMA", choices=["SMA", "EMA"])
    short: bool = False


def test_a_grid_has_every_combination_in_the_order_of_the_declared_parameters() -> None:
    sets = grid(Cross, {"slow": {"low": 20, "high": 45, "step": 10}, "fast": [10, 5]})
    assert sets == [{"fast": f, "slow": s} for f in (5, 10) for s in (20, 30, 40)]
    assert list(sets[0]) == ["fast", "slow"]


def test_steps_of_floats_are_as_written() -> None:
    sets = grid(Cross, {"stop": {"low": 0.1, "high": 0.4, "step": 0.1}})
    assert [one["stop"] for one in sets] == [0.1, 0.2, 0.3, 0.4]


def test_single_values_texts_and_repeated_ones() -> None:
    sets = grid(Cross, {"kind": "EMA", "short": [True, False, True], "fast": 7})
    assert sets == [{"fast": 7, "kind": "EMA", "short": s} for s in (False, True)]


def test_a_condition_sees_the_defaults_of_what_is_not_varied() -> None:
    assert [one["fast"] for one in grid(Cross, {"fast": [10, 29, 30, 40]}, where="fast < slow")] == [10, 29]


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("5 < fast <= 20", [10, 20]),
        ("not fast == 10 and (fast + 2) * 2 - 4 < 80", [5, 20]),
        ("fast / 4 == 5 or -fast == -5", [5, 20]),
        ("fast / (fast - 10) > 0", [20]),
    ],
)
def test_conditions(where: str, kept: list[int]) -> None:
    assert [one["fast"] for one in grid(Cross, {"fast": [5, 10, 20]}, where=where)] == kept


@pytest.mark.parametrize(
    "where",
    [
        "__import__('os').system('true')",
        "fast.real < 3",
        "[x for x in (1,)]",
        "fast ** slow",
        "9 << 9",
        "fast in (1, 2)",
        "'a' < 'b'",
        "kind == kind",
        "fast < sloww",
        "lambda: 1",
        "fast <",
        "True",
        "(fast := 3)",
        "f'{fast}'",
        "fast if slow else 1",
        "(" * 400 + "1" + ")" * 400,
        "1+" * 600 + "1",
    ],
)
def test_a_condition_is_arithmetic_and_comparisons_only(where: str) -> None:
    with pytest.raises(ConfigError, match="condition"):
        grid(Cross, {"fast": [5, 10]}, where=where)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"fst": [1]}, "no parameter 'fst'; it has: fast, slow"),
        ({}, "no parameters to vary"),
        ({"fast": []}, "parameter fast has no values"),
        ({"fast": [1]}, "parameter fast is 1; give at least 2"),
        ({"fast": ["x"]}, "parameter fast is 'x'; give a value of type int"),
        ({"kind": ["XMA"]}, "parameter kind is 'XMA'; choose from"),
        ({"kind": {"low": 1, "high": 2}}, "parameter kind is a str and has no range"),
        ({"fast": {"low": 5}}, "without high"),
        ({"fast": {"low": 5, "high": 9, "by": 1}}, "range with 'by'"),
        ({"fast": {"low": 9, "high": 5}}, "from 9 to 5"),
        ({"fast": {"low": 5, "high": 9, "step": 0}}, "step 0"),
        ({"fast": {"low": 5, "high": 9, "step": 0.5}}, "whole number"),
        ({"stop": {"low": 0, "high": 1, "step": "x"}}, "step 'x'"),
        ({"stop": {"low": 0, "high": 1}}, "parameter stop: a grid needs a step"),
        ({"stop": {"low": 0, "high": 1, "step": 1e-9}}, "larger step"),
        ({"stop": {"low": 0, "high": 1, "step": 1e-4}, "slow": {"low": 1, "high": 1000}}, "the grid has"),
    ],
)
def test_what_cannot_be_meant_is_named_with_what_would_be_right(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        grid(Cross, spec)


def test_a_condition_that_nothing_satisfies_is_refused() -> None:
    with pytest.raises(ConfigError, match="no parameter set satisfies 'fast > 99'"):
        grid(Cross, {"fast": [5, 10]}, where="fast > 99")


SPEC = {"fast": {"low": 5, "high": 50, "step": 5}, "slow": {"low": 20, "high": 200, "step": 20}}


@given(st.integers(1, 60), st.integers(0, 9))
def test_random_sets_are_distinct_sorted_of_the_grid_and_contain_those_of_fewer(n: int, seed: int) -> None:
    sets = random_sets(Cross, SPEC, n, seed, "fast < slow")
    every = grid(Cross, SPEC, "fast < slow")
    assert len(sets) == n
    assert [one for one in every if one in sets] == sets
    more = random_sets(Cross, SPEC, n + 5, seed, "fast < slow")
    assert all(one in more for one in sets)


def test_random_sets_do_not_change_between_versions() -> None:
    assert random_sets(Cross, SPEC, 3, 7) == [
        {"fast": 5, "slow": 180},
        {"fast": 30, "slow": 140},
        {"fast": 40, "slow": 180},
    ]
    assert random_sets(Cross, SPEC, 3, 8) != random_sets(Cross, SPEC, 3, 7)


def test_all_sets_where_fewer_than_asked_for_exist() -> None:
    assert random_sets(Cross, SPEC, 1_000) == grid(Cross, SPEC)


def test_random_floats_lie_between_their_ends() -> None:
    spec = {"stop": {"low": 0.01, "high": 0.05}, "fast": [3, 4]}
    sets = random_sets(Cross, spec, 50, 1, "stop > 0.02")
    assert len({one["stop"] for one in sets}) == 50
    assert all(0.02 < one["stop"] <= 0.05 for one in sets)
    assert {one["fast"] for one in sets} == {3, 4}
    assert sets == random_sets(Cross, spec, 50, 1, "stop > 0.02")


def test_a_key_is_the_same_whatever_the_order() -> None:
    assert set_key({"slow": 20, "fast": 5}) == set_key({"fast": 5, "slow": 20}) == '{"fast":5,"slow":20}'
    assert len({set_key(one) for one in grid(Cross, SPEC)}) == 100


def test_listed_sets_come_in_batches() -> None:
    sampler: Sampler = Listed([{"fast": n} for n in range(5)])
    assert [len(sampler.ask(2)) for _ in range(4)] == [2, 2, 1, 0]


def _value(parameters: ParameterSet) -> float:
    return -abs(parameters["fast"] - 35) - abs(parameters["slow"] - 160) / 4


def _search(seed: int, batches: int, spec: dict[str, Any], where: str | None = None) -> list[ParameterSet]:
    from barray.trading.sweeps.optuna_sampler import OptunaSampler

    sampler: Sampler = OptunaSampler(parse_space(Cross, spec, where), seed)
    asked: list[ParameterSet] = []
    for _ in range(batches):
        batch = sampler.ask(8)
        asked += batch
        for one in reversed(batch):
            sampler.tell(one, _value(one))
    return asked


@pytest.mark.long
def test_optuna_asks_for_distinct_sets_that_satisfy_the_condition_and_finds_good_ones() -> None:
    pytest.importorskip("optuna")
    asked = _search(3, 5, SPEC, "fast < slow")
    assert len({set_key(one) for one in asked}) == len(asked) == 40
    assert all(one["fast"] < one["slow"] for one in asked)
    every = sorted(map(_value, grid(Cross, SPEC, "fast < slow")), reverse=True)
    assert max(map(_value, asked)) >= every[2]
    assert asked == _search(3, 5, SPEC, "fast < slow")


def test_optuna_stops_when_a_space_is_exhausted_and_takes_every_kind_of_parameter() -> None:
    pytest.importorskip("optuna")
    from barray.trading.sweeps.optuna_sampler import OptunaSampler

    spec = {"fast": [3, 4], "kind": ["SMA", "EMA"], "short": [False, True]}
    sampler = OptunaSampler(parse_space(Cross, spec))
    sampler.tell({"fast": 3, "kind": "SMA", "short": True}, 1.0)
    sampler.tell({"fast": 3, "kind": "EMA", "short": True}, math.nan)
    asked = sampler.ask(6)
    for number, one in enumerate(asked):
        sampler.tell(one, math.nan if number == 0 else float(number))
    asked += sampler.ask(9)
    assert len({set_key(one) for one in asked}) == len(asked) == 6
    assert {"fast": 3, "kind": "SMA", "short": True} not in asked
    floats = OptunaSampler(parse_space(Cross, {"stop": {"low": 0.01, "high": 0.02}})).ask(3)
    assert all(0.01 <= one["stop"] <= 0.02 for one in floats)
