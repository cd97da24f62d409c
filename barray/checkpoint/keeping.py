"""The checkpoint that a run is asked to keep, from before it is known what the run is made of to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from barray.checkpoint.checkpoint import Checkpoint, Run
from barray.checkpoint.made_of import Made
from barray.data_sources.object_store.publish import Place


@dataclass
class Keeping:
    """Where a checkpoint is to be. `options`: how the command was called, in JSON types, so that it can be called
    again; nothing where a program asks. `files`: that were written of the run, known at its end.
    """

    place: Place
    options: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Place] = ()


@contextmanager
def keeping(asked: Keeping | Place | None, command: str, made: Callable[[], Made]) -> Iterator[Checkpoint | None]:
    """The checkpoint that is asked for, if one is, of a run that is made so; errors as of Checkpoint."""
    if asked is None:
        yield None
        return
    if not isinstance(asked, Keeping):
        asked = Keeping(asked)
    with Checkpoint(asked.place, Run(command, asked.options, made()), lambda: asked.files) as kept:
        yield kept
