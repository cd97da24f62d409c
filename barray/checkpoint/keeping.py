"""The checkpoint that a run is asked to keep, from before it is known what the run is made of to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from barray.checkpoint.checkpoint import Checkpoint, Run
from barray.checkpoint.made_of import Made
from barray.data_sources.object_store.publish import Place

PATIENCE_S = 30.0
"""Waited for the coordinator of a run that is resumed to end: Ray has to find that its driver is dead."""


@dataclass
class Keeping:
    """Where a checkpoint is to be. `options`: how the command was called, in JSON types, so that it can be called
    again; nothing where a program asks. `files`: that were written of the run, known at its end; `run`: what it turned
    out to be of.
    """

    place: Place
    options: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Place] = ()
    run: Run | None = None

    def finish(self, files: Sequence[Place]) -> None:
        """Say that the run is finished whose checkpoint this process had; errors as of Checkpoint."""
        if self.run is not None:
            with Checkpoint(self.place, self.run, lambda: files) as kept:
                kept.finish()


@contextmanager
def keeping(asked: Keeping | Place | None, command: str, made: Callable[[], Made]) -> Iterator[Checkpoint | None]:
    """The checkpoint that is asked for, if one is, of a run that is made so; errors as of Checkpoint."""
    if asked is None:
        yield None
        return
    if not isinstance(asked, Keeping):
        asked = Keeping(asked)
    asked.run = Run(command, asked.options, made())
    with Checkpoint(asked.place, asked.run, lambda: asked.files) as kept:
        yield kept
