"""The reference names everything that there is: it is written from the code, and compared with other views of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import barray
from barray.coordinator.config.fields import Section
from barray.dump import schema
from docs.generate.cli import cli_reference
from docs.generate.config import config_reference
from docs.generate.docstrings import to_rst
from docs.generate.dump import dump_reference
from docs.generate.errors import errors_reference, reason_codes
from tests.commands import run_command
from tests.docs.fences import ROOT, fences


def part(page: str, title: str) -> str:
    """What stands below a title."""
    return page.partition(f"## {title}\n")[2].partition("\n## ")[0]


def all_below(kind: type[Any]) -> Iterator[type[Any]]:
    for one in kind.__subclasses__():
        yield one
        yield from all_below(one)


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def test_every_key_of_every_section_is_on_the_page_of_the_configuration() -> None:
    page = config_reference()
    for section in all_below(Section):
        for name, field in section.model_fields.items():
            assert f"| `{field.alias or name}` |" in page, section


def test_every_key_of_the_examples_is_on_the_page_of_the_configuration() -> None:
    page = config_reference()
    free = {"parameters", "fast", "slow", "lookback", "hold", "minutes", "reward", "low", "high", "step"}
    free |= {"name", "timeperiod", "nbdevup", "least", "top", "sectors"}  # a strategy's, an indicator's, a scan's
    for path in (ROOT / "examples").glob("*.yaml"):
        for key in set(keys_of(yaml.safe_load(path.read_text()))) - free:
            assert f"| `{key}` |" in page, path


def test_limits_and_defaults_are_those_that_the_models_have() -> None:
    live = part(config_reference(), "`live`")
    assert "| `grace_s` | number, at least 0, at most 60 | `3.0` |" in live
    export = part(config_reference(), "`export`")
    assert "| `formats` | list of: `json` or `csv` or `parquet` or `html` | `[json]` |" in export
    assert "| `symbols` | list of: text | *required* |" in part(config_reference(), "The whole")
    assert "| `symbols_per_actor` | whole number or `auto` | `1` |" in part(config_reference(), "`actors`")


@pytest.mark.long
@pytest.mark.parametrize("command", re.findall(r"^## `barray (.*)`$", cli_reference(), re.MULTILINE))
def test_every_option_that_help_lists_is_on_the_page_of_commands(command: str) -> None:
    shown = run_command(*command.split(), "--help", env={"COLUMNS": "200"}).output
    for option in set(re.findall(r"(?<=[│,] )--[a-z-]+", shown)) - {"--help"}:
        assert f"`{option}`" in part(cli_reference(), f"`barray {command}`")


def test_every_command_is_on_the_page_of_commands() -> None:
    shown = run_command("--help", env={"COLUMNS": "200"}).output
    listed = set(re.findall(r"^│ ([a-z][a-z-]*) ", shown, re.MULTILINE))
    assert len(listed) > 12
    assert listed == {name.split()[0] for name in re.findall(r"^## `barray (.*)`$", cli_reference(), re.MULTILINE)}


def test_every_object_of_a_dump_is_on_the_page_of_dumps() -> None:
    page = dump_reference()
    objects = {name: kind for name, kind in vars(schema).items() if name.endswith("Json")}
    assert len(objects) > 12
    for name, kind in objects.items():
        for key in kind.__annotations__:
            assert f"| `{key}` |" in part(page, name.removesuffix("Json")), name


def test_every_error_that_is_exported_is_on_the_page_of_errors() -> None:
    for name in barray.__all__:
        kind = getattr(barray, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert f"| `{name}` |" in errors_reference()


def test_codes_that_a_reader_meets_are_on_the_page_of_errors() -> None:
    """Those that pages of these docs, and tests of bad files, name."""
    for code in ("no_data_source", "bulk_validation_failed", "source_unavailable", "bad_values", "unreadable_file"):
        assert f"| `{code}` |" in reason_codes()


def test_everything_exported_is_on_the_page_of_python() -> None:
    text = "".join(fence.text for fence in fences(ROOT / "docs/reference/python.md"))
    errors = {name for name in barray.__all__ if f"`{name}`" in errors_reference()}
    left_out = {"SessionCoordinator", "SessionConfig"}  # an actor's class; a page of its own
    assert {
        name for name in barray.__all__ if not re.search(rf"barray\.{name}$", text, re.MULTILINE)
    } == errors | left_out


def test_docstrings_become_restructured_text() -> None:
    assert to_rst(["Bars of `n` × m*, see `a|b`.", "", "    run(x)", "", "and `m`s"]) == [
        "Bars of ``n`` × m\\*, see ``a|b``.",
        "",
        ".. code-block:: python",
        "",
        "    run(x)",
        "",
        "and ``m``\\ s",
    ]
