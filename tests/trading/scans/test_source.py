"""Scans from files."""

from __future__ import annotations

import pickle

import pytest

from barray.market.errors import ConfigError
from barray.trading.scans.evaluate import evaluate
from barray.trading.scans.plan import make_plan
from barray.trading.scans.source import ScanSource
from tests.trading.scans.universes import universe

FILE = """
from barray.scans import Scan, at, gap

class Up(Scan):
    least: float = 0.0
    at = at("10:00")

    def where(self):
        return gap() > self.least

class Odd(Up):
    def scan(self, panel):
        return panel["rsi"]
"""


def test_a_class_is_found_in_a_file_and_travels_with_what_it_finds() -> None:
    source = pickle.loads(pickle.dumps(ScanSource("ups.py", FILE, "Up")))
    plan = make_plan(source.load()(least=-0.5), "ups")
    session = evaluate(plan, universe(1).bars)
    (hits,) = pickle.loads(pickle.dumps(session)).hits
    assert hits.symbols == session.hits[0].symbols
    assert len(hits) > 0
    assert pickle.loads(pickle.dumps(plan)).where.local[0].text == "gap() > -0.5"


def test_an_error_in_a_scan_names_the_files_line() -> None:
    session = evaluate(make_plan(ScanSource("ups.py", FILE, "Odd").load()()), universe(1).bars)
    assert session.failure is not None
    assert "ups.py line 13" in session.failure.reason


@pytest.mark.parametrize(("text", "name", "told"), [
    (FILE, None, "defines 2 scans (Up, Odd)"),
    (FILE, "Down", "has no scan 'Down'"),
    ("x = 1", None, "defines 0 scans"),
    ("from barray.scans import Scan, gap\nx = gap() and 1", None, "scan ups.py line 2: ConfigError"),
    ("import nowhere_at_all", None, "ModuleNotFoundError"),
    ("def f(:", None, "scan ups.py line 1: SyntaxError"),
])  # fmt: skip
def test_a_file_without_the_scan_is_told(text: str, name: str | None, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ScanSource("ups.py", text, name).load()
    assert told in str(caught.value)
