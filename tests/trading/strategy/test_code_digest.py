"""A strategy's code is known again by its text and by that of the user's own modules that it imports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from barray.trading.strategy.code_digest import code_digest
from barray.trading.strategy.source import StrategySource, _load

STRATEGY = """
import numpy as np
from barray import Strategy
from .rules import level

class Mine(Strategy):
    def on_bar(self, ctx):
        from helper_beside import size
        ctx.buy(size * level)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of a user's that can be imported, and a module beside it."""
    folder = tmp_path / "my_strategies"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "mine.py").write_text(STRATEGY)
    (folder / "rules.py").write_text("from my_strategies import numbers_of_mine\nlevel = 1\n")
    (folder / "numbers_of_mine.py").write_text("one = 1\n")
    (tmp_path / "helper_beside.py").write_text("size = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in ("my_strategies", "helper_beside")]:
        del sys.modules[name]
    _load.cache_clear()


@pytest.mark.parametrize("changed", ["mine.py", "rules.py", "numbers_of_mine.py", "__init__.py", "../helper_beside.py"])
def test_a_change_in_a_module_or_in_one_that_it_imports_changes_the_digest(package: Path, changed: str) -> None:
    source = StrategySource("my_strategies.mine")
    before = code_digest(source)
    assert code_digest(source) == before
    with (package / changed).open("a") as file:
        file.write("# changed\n")
    assert code_digest(source) != before


def test_a_file_is_known_by_its_text_and_what_it_imports_wherever_it_lies(package: Path) -> None:
    text = STRATEGY.replace("from .rules", "from my_strategies.rules")
    here, there = (code_digest(StrategySource(where, text)) for where in ("/here/mine.py", "/there/mine.py"))
    assert here == there
    (package / "rules.py").write_text("level = 2\n")
    assert code_digest(StrategySource("/here/mine.py", text)) != here
    assert code_digest(StrategySource("/here/mine.py", text + "# changed\n")) != here
