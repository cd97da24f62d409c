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
    from barray.coordinator.log_files import level_number, logs_folder, run_of

    least = level_number(level)
    found = _found(name, address)
    if last and found:
        newest = max(found, key=lambda one: run_of(one["file"])[1])["file"]
        found = [one for one in found if one["file"] == newest]
    shown = [one for one in found if level_number(one["level"]) >= least and symbol in (None, *_symbols(one))]
    for one in shown:
        if as_json:
            sys.stdout.write(orjson.dumps(one).decode() + "\n")
        else:
            stdout.print(_line(one), highlight=False, markup=False)
    if not shown:
        note(f"nothing was logged{f' by {name}' if name else ''} at {level} or above; see {logs_folder()}")


def _found(name: str | None, address: str | None) -> list[dict[str, Any]]:
    """Lines of the runs that are meant; ConfigError where none of that name has logged."""
    from barray.coordinator.log_files import collect_logs, read_logs, run_of
    from barray.coordinator.runtime import join_ray, leave_ray
    from barray.market.errors import ConfigError

    read = read_logs if address is None else collect_logs
    if address is not None:
        join_ray(address)
    try:
        found = read(name)
        if name is None or found:
            return found
        known = sorted({run_of(line["file"])[0] for line in read(None)})
    finally:
        if address is not None:
            leave_ray()
    raise ConfigError(
        f"no run named {name!r} has logged anything", remedy=f"those that have: {', '.join(known) or 'none'}"
    )


def _symbols(line: Mapping[str, Any]) -> list[str]:
    return str(line.get("symbol", "")).split(", ")


def _line(line: Mapping[str, Any]) -> str:
    where = " ".join(str(line.get(column, "")) for column in _COLUMNS)
    return f"{where} {line['now'] + ' ' if 'now' in line else ''}{line['message']}"
