"""`barray logs`: what runs have logged, on this machine or on all of a cluster's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import typer

from barray.cli.console import note, reporting, stdout
from barray.cli.options import AsJson

_COLUMNS = ("at", "level", "session", "phase")


@reporting
def logs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of the run; default: of all.")] = None,
    level: Annotated[str, typer.Option(help="Leave out what is below: debug, info, warning, error.")] = "info",
    symbol: Annotated[str | None, typer.Option(help="Only what is about this symbol.")] = None,
    last: Annotated[bool, typer.Option("--last", help="Only of the run that began last.")] = False,
    address: Annotated[str | None, typer.Option(help="Collect from the nodes of this Ray: host:port, or auto.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what runs have logged, also those that have ended, oldest first; with --json each line as it was written."""
    from barray.coordinator.log_files import collect_logs, level_number, logs_folder, read_logs

    least = level_number(level)
    if address is None:
        found = read_logs(name)
    else:
        from barray.coordinator.runtime import join_ray, leave_ray

        join_ray(address)
        try:
            found = collect_logs(name)
        finally:
            leave_ray()
    if last and found:
        newest = max(found, key=lambda one: str(one["file"].split(".")[1]))["file"]
        found = [one for one in found if one["file"] == newest]
    shown = [one for one in found if level_number(one["level"]) >= least and symbol in (None, *_symbols(one))]
    for one in shown:
        if as_json:
            sys.stdout.write(orjson.dumps(one).decode() + "\n")
        else:
            stdout.print(_line(one), highlight=False, markup=False)
    if not shown:
        note(f"nothing was logged{f' by {name}' if name else ''} at {level} or above; see {logs_folder()}")


def _symbols(line: Mapping[str, Any]) -> list[str]:
    return str(line.get("symbol", "")).split(", ")


def _line(line: Mapping[str, Any]) -> str:
    where = " ".join(str(line.get(column, "")) for column in _COLUMNS)
    return f"{where} {line['now'] + ' ' if 'now' in line else ''}{line['message']}"
