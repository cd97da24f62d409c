"""The table of the plan's names in docs/inside points at what there is."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from tests.shared_data import REPO

TABLE = (REPO / "docs/inside/plan_names.md").read_text(encoding="utf-8")
PLACES = sorted({name for row in re.findall(r"^\|.*\|(.*)\|$", TABLE, re.M) for name in re.findall(r"`([\w.]+)`", row)})


def under(found: Any, name: str) -> Any:
    if isinstance(found, ModuleType) and not hasattr(found, name):
        return import_module(f"{found.__name__}.{name}")
    return getattr(found, name)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_in_the_table_is_there(place: str) -> None:
    assert callable(reduce(under, place.split("."), import_module("barray")))


def test_the_table_is_read() -> None:
    assert len(PLACES) > 20
