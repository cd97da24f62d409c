"""The house is as it says: names lead somewhere, imports go round in no circle, docstrings tell what is raised."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict

import pytest

import barray
from tests import house

NAME = re.compile(r"(?<![\w./-])barray(?:\.[A-Za-z]\w*)+")
"""What may be a module of ours, or a name in one: in code, in strings, in comments and in prose."""
LOGGERS = ("barray.dropped", "barray.forkserver")
QUOTED = re.compile(r"`[^`\n]+`")
IN_BACKTICKS = re.compile(r"`([a-z_][a-z0-9_]{2,})`(?!\w)")
BARE = re.compile(rf"\bfrom (?:{'|'.join(house.FLOORS)})[\w.]* import\b|\bimport (?:{'|'.join(house.FLOORS)})\b")
THE_USERS_OWN = "tests/test_wheel.py"  # in which they are modules beside a user's program

COMMANDS = "barray.cli."
"""Their docstrings are what `--help` prints; errors end them with an exit code."""
OTHERS_NAMES = "plan_names"
"""The page with the names of the plan that the session was built by, beside ours."""


def leads_somewhere(name: str) -> bool:
    """Whether a dotted name is a module, or begins with one and goes on with something that it defines."""
    module, rest = name, ""
    while module not in house.modules():
        module, _, rest = module.rpartition(".")
    return not rest or rest in house.defined(module)


def test_every_name_of_ours_that_is_written_anywhere_leads_somewhere() -> None:
    lost = {
        (str(path.relative_to(house.ROOT)), name)
        for path in house.project_files()
        for name in NAME.findall(path.read_text(errors="replace"))
        if name not in LOGGERS and not leads_somewhere(name)
    }
    assert lost == set()


def test_what_stands_in_backticks_is_the_name_of_something() -> None:
    """Of a module, a function, an option, a key, or a part of one: it is written somewhere outside of backticks too."""
    texts = {path: path.read_text(errors="replace") for path in house.project_files()}
    known = {word for path, text in texts.items() for word in (*re.findall(r"\w+", QUOTED.sub("", text)), path.stem)}
    known |= {part for word in known for part in word.split("_")}
    lost = {
        (str(path.relative_to(house.ROOT)), name)
        for path, text in texts.items()
        if ("docs" not in path.parts or "inside" in path.parts) and path.stem != OTHERS_NAMES
        for name in IN_BACKTICKS.findall(text)
        if not known & {name, name.strip("_")}
    }
    assert lost == set()


@pytest.mark.long
def test_every_module_can_be_imported_and_so_can_what_forked_workers_find_loaded() -> None:
    """In a process of its own, whose modules are nobody else's."""
    from barray.actors.ray_start.forked_workers import DEFAULT_PRELOAD

    names = [*house.modules(), *DEFAULT_PRELOAD]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)\nprint('all')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "all\n", done.stderr


def test_no_floor_is_imported_by_its_bare_name_not_even_in_code_within_a_string() -> None:
    found = {
        (str(path.relative_to(house.ROOT)), name)
        for path in house.project_files()
        if path.suffix == ".py" and not path.match(THE_USERS_OWN)
        for name in BARE.findall(path.read_text())
    }
    assert found == set()


def test_every_public_name_is_defined_where_it_is_looked_for() -> None:
    assert sorted(barray._MODULE_OF) == barray.__all__
    for name, module in barray._MODULE_OF.items():
        assert name in house.defined(module), f"{module}.{name}"


def test_type_checkers_find_the_public_names_in_the_same_places() -> None:
    block = next(node for node in house.modules()["barray"].body if isinstance(node, ast.If))
    imported = {
        name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names
    }
    assert imported == barray._MODULE_OF


@pytest.mark.long
def test_every_public_name_can_be_had() -> None:
    for name in barray.__all__:
        assert getattr(barray, name).__module__.startswith("barray."), name


def test_no_files_import_each_other_in_a_circle() -> None:
    assert house.circle({module: house.imports(module) for module in house.modules()}) == []


@pytest.mark.parametrize("package", house.packages())
def test_nothing_that_stands_in_one_folder_imports_in_a_circle(package: str) -> None:
    graph: dict[str, set[str]] = {child: set() for child in house.children(package)}

    def child_of(module: str) -> str:
        return module.removeprefix(f"{package}.").partition(".")[0] if module.startswith(f"{package}.") else ""

    for module in house.modules():
        if child := child_of(module):
            graph[child] |= {child_of(other) for other in house.imports(module)} - {child, ""}
    assert house.circle(graph) == []


@pytest.mark.parametrize("package", house.packages())
def test_no_three_in_a_folder_begin_alike_without_a_folder_of_their_own(package: str) -> None:
    alike = defaultdict(list)
    for name in house.children(package):
        if not name.startswith("_"):
            alike[name.partition("_")[0]].append(name)
    assert [names for names in alike.values() if len(names) > 2] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, tree in house.modules().items() if not ast.get_docstring(tree)] == []


def test_public_functions_name_the_errors_that_they_raise() -> None:
    silent = {
        f"{name}: {kind}"
        for name, function, docstring in house.public_functions()
        if not name.startswith(COMMANDS)
        for kind in house.raised(function) & house.errors().keys()
        if not any(re.search(rf"\b{known}\b", docstring) for known in house.errors()[kind])
    }
    assert silent == set()
