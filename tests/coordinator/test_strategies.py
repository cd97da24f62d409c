"""What barray.backtest(strategy, config) means, before anything runs."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from barray.coordinator.config.file import parse_config
from barray.coordinator.strategies import asked_for, plan_of
from barray.market.errors import ConfigError
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.class_source import ClassSource
from barray.trading.strategy.context import Context
from barray.trading.strategy.parameter import parameter

CONFIG: dict[str, Any] = {
    "session": {"start": "2024-07-02"},
    "symbols": ["AAPL"],
    "sources": [{"root": "bars"}],
}
WITH_STRATEGY = {**CONFIG, "strategy": {"path": "other.py", "class": "Other", "parameters": {"fast": 4, "slow": 9}}}


class Cross(Strategy):
    fast: int = parameter(10, low=2)
    slow: int = 30

    def on_bar(self, ctx: Context) -> None:
        pass


class Locked(Strategy):
    lock = threading.Lock()

    def on_bar(self, ctx: Context) -> None:
        pass


class Formless(Strategy):
    pass


class Big(Strategy):
    table = bytes(33_000_000)

    def on_bar(self, ctx: Context) -> None:
        pass


def parameters(*arguments: Any, **options: Any) -> dict[str, Any]:
    settings, source = asked_for(*arguments, options.get("parameters"))
    return dict(plan_of(settings, source).parameters)


def test_a_class_needs_no_strategy_and_no_interval_in_the_config() -> None:
    assert parameters(Cross, CONFIG) == {"fast": 10, "slow": 30}


@pytest.mark.long
def test_the_configs_parameters_hold_for_a_class_below_those_of_the_object_and_the_call() -> None:
    assert parameters(Cross, WITH_STRATEGY) == {"fast": 4, "slow": 9}
    assert parameters(Cross(fast=6), CONFIG) == {"fast": 6, "slow": 30}
    assert parameters(Cross, WITH_STRATEGY, parameters={"fast": 5}) == {"fast": 5, "slow": 9}
    assert parameters(Cross(fast=6), WITH_STRATEGY, parameters={"slow": 7}) == {"fast": 6, "slow": 7}


def test_a_class_stands_in_place_of_the_configs_own() -> None:
    settings, source = asked_for(Cross, WITH_STRATEGY, None)
    assert source.load() is Cross
    assert settings.strategy is not None
    assert (settings.strategy.path, settings.strategy.name) == (None, None)


def test_a_ready_config_may_be_given_too() -> None:
    assert parameters(Cross, parse_config({**CONFIG, "intervals": ["1m"]})) == {"fast": 10, "slow": 30}


def test_the_path_of_a_file_is_a_strategy(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("import barray\nclass One(barray.Strategy):\n    n: int = 3\n    def on_bar(self, ctx): pass\n")
    assert parameters(str(path), CONFIG) == parameters(path, CONFIG) == {"n": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Cross, None), "there is no config"),
        ((None, None), "there is no config"),
        (("cross.py", None), "there is no config"),
        ((CONFIG, None), "config: there are no intervals"),
        ((int, CONFIG), "int is no strategy"),
        ((Formless, CONFIG), "Formless has no form; write on_bar"),
        ((Locked, CONFIG), r"Locked can't be sent .*lock.*; make locks, files and connections inside"),
        ((Big, CONFIG), "Big names 33 MB of values, .*; read big data from a file"),
        (("nowhere.py", CONFIG), "nowhere.py: No such file"),
        (({**CONFIG, "strategy": {"form": "on_bar"}}, None), "give either path"),
    ],
)
def test_what_can_not_be_meant_is_said_before_anything_starts(arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked_for(*arguments, None)


SEND = f"""
import pickle, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import mine.cross
from barray.coordinator.strategies import asked_for
source = asked_for(mine.cross.Cross, {CONFIG!r}, None)[1]
assert source.load() is mine.cross.Cross
Path("sent").write_bytes(pickle.dumps(source))
"""
RECEIVE = """
import pickle, sys
from pathlib import Path
sys.path[1:1] = sys.argv[1:]
kind = pickle.loads(Path("sent").read_bytes()).load()
print(kind().on_bar(None), sorted(kind.parameters()), "mine.cross" in sys.modules)
"""


def python(code: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


def package(folder: Path) -> Path:
    """A strategy in a package, with a base class in another file of it and a helper beside it."""
    (folder / "mine").mkdir(parents=True)
    (folder / "helper.py").write_text("FACTOR = 3\ndef lots(n): return FACTOR * n\n")
    (folder / "mine/__init__.py").touch()
    (folder / "mine/base.py").write_text("import barray\nclass Base(barray.Strategy):\n    n: int = 2\n")
    (folder / "mine/cross.py").write_text(
        "from __future__ import annotations\nimport helper\nfrom mine.base import Base\n"
        "class Cross(Base):\n    def on_bar(self, ctx): return helper.lots(self.n)\n"
    )
    return folder


@pytest.mark.long
def test_a_class_travels_by_value_with_what_it_names_beside_it(tmp_path: Path) -> None:
    """To a process that has never seen its package."""
    assert python(SEND, package(tmp_path / "made"), cwd=tmp_path).returncode == 0
    assert python(RECEIVE, cwd=tmp_path).stdout.strip() == "6 ['n'] False"


@pytest.mark.long
def test_a_class_of_an_installed_package_is_imported_where_it_runs(tmp_path: Path) -> None:
    folder = package(tmp_path / "site-packages")
    assert python(SEND, folder, cwd=tmp_path).returncode == 0
    assert python(RECEIVE, folder, cwd=tmp_path).stdout.strip() == "6 ['n'] True"
    lacking = python(RECEIVE, cwd=tmp_path)
    assert "No module named 'mine'; install the modules it imports on every node" in lacking.stderr


def test_a_class_that_needs_a_module_which_is_not_there_says_so() -> None:
    pickled = pickle.dumps(Cross).replace(b"test_strategies", b"test_strategiez")
    with pytest.raises(ConfigError, match=r"mine\.Cross can't be made .*test_strategiez.*install the modules"):
        ClassSource("mine.Cross", None, "Cross", pickled=pickled).load()
