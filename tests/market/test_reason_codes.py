"""Every code that an error or a reason carries is one of the list, and the list has no others."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from barray.data_sources.fetching.vendor import TooRecent
from barray.market.errors import BarrayError, ConfigError, NoDataError
from barray.market.reason_codes import MEANINGS, ReasonCode
from barray.market.validation import Reason

ROOT = Path(__file__).parents[2]
FLOORS = ("market", "data_sources", "trading", "actors", "coordinator", "barray")
CODES = set(get_args(ReasonCode))
FILES = {path.resolve() for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}


@cache
def modules() -> dict[Path, ast.Module]:
    """Every file but the list itself, parsed."""
    return {path: ast.parse(path.read_text()) for path in FILES if path.name != "reason_codes.py"}


def texts(node: ast.AST) -> set[str]:
    """The strings written anywhere in an expression, but for those that it compares with something or looks up by."""
    if isinstance(node, ast.Compare | ast.Subscript):
        return set()
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    return set().union(*map(texts, ast.iter_child_nodes(node)))


def produced(module: ast.AST) -> set[str]:
    """What stands as an error's `code=`, as a class's `default_code`, or first in a Reason."""
    found: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            found |= set().union(*(texts(keyword.value) for keyword in node.keywords if keyword.arg == "code"))
            if isinstance(node.func, ast.Name) and node.func.id == "Reason" and node.args:
                found |= texts(node.args[0])
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "default_code" for target in targets):
            found |= texts(node.value)  # type: ignore[attr-defined]
    return found


def test_every_code_says_what_it_means_in_a_sentence() -> None:
    assert set(MEANINGS) == CODES
    assert [code for code, meaning in MEANINGS.items() if not meaning.endswith(".")] == []
    assert list(MEANINGS) == sorted(MEANINGS)


@pytest.mark.long
def test_every_code_that_the_program_produces_is_listed() -> None:
    unlisted = {path.name: found for path, module in modules().items() if (found := produced(module) - CODES)}
    assert unlisted == {}
    assert len(set().union(*map(produced, modules().values()))) > 40


@pytest.mark.long
def test_no_code_is_listed_that_nothing_produces() -> None:
    written = {
        node.value for module in modules().values() for node in ast.walk(module) if isinstance(node, ast.Constant)
    }
    assert CODES - written == set()


def test_every_kind_of_error_has_a_listed_code() -> None:
    assert TooRecent in kinds(BarrayError)
    assert {kind.default_code for kind in kinds(BarrayError)} <= CODES


def kinds(of: type[BarrayError]) -> set[type[BarrayError]]:
    return {of}.union(*(kinds(below) for below in of.__subclasses__()))


@pytest.mark.parametrize(
    ("error", "source", "reason"),
    [
        (
            NoDataError("no file", source="parquet", remedy="add it", code="no_session_data"),
            "",
            Reason("no_session_data", "no file", "add it", "parquet"),
        ),
        (ConfigError("no key", source="files"), "alpaca", Reason("config", "no key", "", "alpaca")),
        (ConfigError("no key"), "", Reason("config", "no key", "", None)),
        (ZeroDivisionError("by zero"), "", Reason("error", "ZeroDivisionError: by zero", "", None)),
        (ZeroDivisionError("by zero"), "mine", Reason("error", "ZeroDivisionError: by zero", "", "mine")),
    ],
)
def test_a_reason_of_an_error_says_what_the_error_says(error: Exception, source: str, reason: Reason) -> None:
    assert Reason.of(error, source) == reason
