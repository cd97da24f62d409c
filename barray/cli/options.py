"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from barray.data_sources.object_store.publish import Place
from barray.data_sources.object_store.store import is_object_uri

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see examples/session.yaml.")]
StrategyConfig = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see examples/sma_cross.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def place(text: str) -> Place:
    """A folder of this machine, or the URI of one in an object store."""
    return text if is_object_uri(text) else Path(text)
