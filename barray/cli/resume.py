"""`barray resume`: a run that died goes on from its checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from barray.cli.backtest import backtest
from barray.cli.console import note, print_json, reporting, stdout
from barray.cli.options import Address, AsJson, Quiet, place
from barray.cli.run import run
from barray.cli.scan import scan
from barray.cli.sweep import sweep
from barray.market.errors import ConfigError

_COMMANDS: dict[str, Callable[..., None]] = {"backtest": backtest, "run": run, "scan": scan, "sweep": sweep}


@reporting
def resume(
    checkpoint: Annotated[
        Any, typer.Argument(parser=place, metavar="DIR", help="What --checkpoint was given: a folder.")
    ],
    show: Annotated[bool, typer.Option("--show", help="Say what is done, and end there.")] = False,
    address: Address = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run whose processes died, from what its checkpoint says is done; it ends as it would have.

    Config, strategy, bars and versions have to be those that it began with. Exit code as of the command that began it;
    2 where there is nothing to resume, another process goes on with it, or something differs. Where it is finished, it
    says where the results are.
    """
    from barray.checkpoint.checkpoint import stored

    found = stored(checkpoint)
    if show:
        told = {"command": found.run.command, "finished": found.finished is not None, "done": found.names}
        if as_json:
            print_json(told)
        for unit, names in found.names.items() if not as_json else ():
            stdout.print(f"{unit}: {len(names)} done: {' '.join(names)}", highlight=False, markup=False)
        return
    if found.finished is not None:
        stdout.print(f"{checkpoint}: the run is finished", highlight=False, markup=False)
        for path in found.finished.files:
            stdout.print(f"  wrote {path}", highlight=False, markup=False)
        return
    options = dict(found.run.options)
    if "config" not in options:
        raise ConfigError(
            f"the run in {checkpoint} was begun by a program",
            remedy="run that again: its call goes on with what is done",
        )
    note(f"resuming barray {found.run.command} {options['config']}: {found.told}")
    config, out, begun_at = options.pop("config"), options.pop("out", None), options.pop("address", None)
    _COMMANDS[found.run.command](
        Path(config),
        **options,
        out=place(out) if out else None,
        checkpoint=checkpoint,
        address=address or begun_at,
        quiet=quiet,
        as_json=as_json,
    )
