"""Every command with its arguments and options, from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from barray.cli.app import app
from docs.generate.markdown import code, table


def cli_reference() -> str:
    """A section of the page for each command."""
    return "\n\n".join(_section(name, command) for name, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, groups and what is hidden left out."""
    yield from _below("barray", typer.main.get_command(app))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for part, found in command.commands.items():
        if found.hidden:
            continue
        yield from _below(f"{name} {part}", found)


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([name, *(_named(argument) for argument in arguments), *(["[OPTIONS]"] if options else [])])
    rows = [(code(_named(one)), one.help or "", _default(one)) for one in arguments]
    rows += [(", ".join(map(code, one.opts)), one.help or "", _default(one)) for one in options]
    parts = [f"## `{name}`", f"```text\n{usage}\n```", command.help or ""]
    return "\n\n".join([*parts, table(("argument or option", "what it is", "default"), rows)] if rows else parts)


def _named(argument: Any) -> str:
    shown = argument.metavar or argument.name.upper()
    return shown if argument.required else f"[{shown}]"


def _default(one: Any) -> str:
    if one.required:
        return "*required*"
    return "" if one.default in (None, False, "") or callable(one.default) else code(one.default)
