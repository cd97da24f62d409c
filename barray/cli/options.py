"""Arguments and options that several commands take."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from barray.checkpoint.keeping import Keeping
    from barray.coordinator.config.model import SessionConfig
    from barray.data_sources.object_store.publish import Place

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see examples/session.yaml.")]
StrategyConfig = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see examples/sma_cross.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Address = Annotated[
    str | None,
    typer.Option("--address", help="The Ray to run on: host:port, or auto on one of its nodes."),
]


def place(text: str) -> Place:
    """A folder of this machine, or the URI of one in an object store."""
    from barray.data_sources.object_store.store import is_object_uri

    return text if is_object_uri(text) else Path(text)


Kept = Annotated[
    Any,
    typer.Option(
        "--checkpoint",
        parser=place,
        metavar="DIR",
        help="Write down in this folder what is done, and go on from what is there; see barray resume.",
    ),
]
LogLevel = Annotated[
    str | None, typer.Option("--log-level", help="What is logged: debug, info, warning, error; see `barray logs`.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def on(settings: SessionConfig, address: str | None, log_level: str | None = None) -> SessionConfig:
    """The config, to be run on the Ray at `address`, if one is given, and to log from `log_level` on.

    That is what this process shows then, too. ConfigError where there is no such level.
    """
    if log_level is not None:
        from barray.coordinator.log_files import level_number

        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("barray").setLevel(level_number(log_level))
        settings = settings.model_copy(update={"log_level": log_level})
    if address is None:
        return settings
    return settings.model_copy(update={"ray": settings.ray.model_copy(update={"address": address})})


def asked_to_keep(checkpoint: Place | None, config: Path, **options: object) -> Keeping | None:
    """The checkpoint that a command on a config is to keep, if any; `options`: the others that it was called with."""
    from barray.checkpoint.keeping import Keeping

    if checkpoint is None:
        return None
    told = {name: str(value) for name, value in options.items() if value is not None}
    return Keeping(checkpoint, {"config": str(config.absolute()), **told})
