"""Modules beside a strategy travel with it: which, and how they are imported where there is no such file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from barray.market.errors import ConfigError
from barray.trading.strategy.code_digest import code_digest
from barray.trading.strategy.siblings import Sibling, serve, siblings_of
from barray.trading.strategy.source import StrategySource

STRATEGY = """
from barray import Strategy
import {helper}
class Own(Strategy):
    def on_bar(self, ctx): pass
    def value(self):
        from later import LATE
        return {helper}.HALF, LATE
"""


@pytest.fixture(autouse=True)
def _nothing_served_afterwards() -> Iterator[None]:
    yield
    serve(())


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def names(code: str, folder: Path) -> list[str]:
    return [sibling.name for sibling in siblings_of(code, folder)]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import helper_a", ["helper_a", "helper_b"]),
        ("from helper_b import x", ["helper_b"]),
        ("def f():\n    import helper_b", ["helper_b"]),
        ("import pack_a.deep.leaf", ["helper_b", "pack_a", "pack_a.deep", "pack_a.deep.leaf", "pack_a.other"]),
        ("from pack_a import other", ["pack_a", "pack_a.other"]),
        ("from loose_a.part import x", ["loose_a", "loose_a.part"]),
        ("import numpy, random, barray, nowhere_a", []),
        ("this is no Python", []),
    ],
)
def test_what_is_imported_from_the_folder_is_found_and_what_that_imports(
    tmp_path: Path, code: str, found: list[str]
) -> None:
    files = {
        "helper_a.py": "import helper_b, numpy",
        "helper_b.py": "x = 1\nimport helper_a" if code == "import helper_a" else "x = 1",
        "unused_a.py": "",
        "pack_a/__init__.py": "",
        "pack_a/other.py": "",
        "pack_a/deep/__init__.py": "",
        "pack_a/deep/leaf.py": "from ..other import y\nfrom . import nothing\nimport helper_b",
        "loose_a/part.py": "",
        "numpy.py": "",
        "random.py": "",
        "barray/__init__.py": "",
    }
    write(tmp_path, files)
    assert names(code, tmp_path) == found


def test_a_strategy_runs_without_its_folder_and_each_has_its_own_helper(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        write(folder, {"helper_c.py": f"HALF = {number}", "later.py": f"LATE = {10 * number}"})
    text = STRATEGY.format(helper="helper_c")
    first, second = (
        StrategySource("own.py", text, None, siblings_of(text, tmp_path / number)) for number in ("1", "2")
    )
    for folder in ("1", "2"):
        for file in (tmp_path / folder).iterdir():
            file.unlink()
    assert first.load()().value() == (1, 10)  # type: ignore[attr-defined]
    assert second.load()().value() == (2, 20)  # type: ignore[attr-defined]
    assert first.load()().value() == (1, 10)  # type: ignore[attr-defined]
    assert code_digest(first) != code_digest(second)
    StrategySource("other.py", "from barray import Strategy\nclass A(Strategy):\n    def on_bar(self, ctx): 1\n").load()
    assert "helper_c" not in sys.modules


def test_a_module_is_imported_as_what_it_is_in_its_package() -> None:
    inner = "from barray import Strategy\nfrom .tools_d import NAME\nclass Own(Strategy):\n    title: str = NAME\n"
    siblings = (
        Sibling("pack_d", "pack_d/__init__.py", "", True),
        Sibling("pack_d.own", "pack_d/own.py", inner + "    def on_bar(self, ctx): pass\n"),
        Sibling("pack_d.tools_d", "pack_d/tools_d.py", "NAME = 'd'"),
    )
    kind = StrategySource("pack_d.own", None, None, siblings).load()
    assert (kind.__module__, kind().title) == ("pack_d.own", "d")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        (StrategySource("nowhere_e.own"), "install it, or begin in the folder that it lies in"),
        (
            StrategySource("own.py", "import nowhere_e.part"),
            "install nowhere_e, or put nowhere_e.py beside the code",
        ),
    ],
)
def test_what_is_nowhere_says_where_it_is_looked_for(source: StrategySource, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        source.load()
    assert caught.value.remedy == remedy


def test_a_mistake_in_a_helper_names_its_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, {"helper_f.py": "x = 1\ndef f(:\n"})
    text = STRATEGY.format(helper="helper_f")
    with pytest.raises(ConfigError, match=r"own.py line 3: SyntaxError: .*helper_f.py, line 2"):
        StrategySource("own.py", text, None, siblings_of(text, tmp_path)).load()
