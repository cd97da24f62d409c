"""A run's checkpoint: what it is of, what of it is done, and where its strategy stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import orjson

from barray.checkpoint.bucket import Bucket
from barray.checkpoint.folder import Folder
from barray.checkpoint.frames import framed, opening, read_journal
from barray.checkpoint.kinds import KINDS, Done, Finished, unit_of
from barray.checkpoint.made_of import Made, require_same
from barray.checkpoint.seal import Seal
from barray.checkpoint.shelf import Shelf
from barray.checkpoint.values import Codec
from barray.data_sources.object_store.publish import Place
from barray.data_sources.object_store.store import is_object_uri
from barray.market.errors import ConfigError, DataError

_CODEC = Codec(KINDS)
_STATES = 2
"""States that are kept: the one before the last is there until the record that names the last is."""


@dataclass(frozen=True)
class Run:
    """What a checkpoint is of. `command`: run, backtest, sweep or scan; `options`: how it was called, in JSON types;
    `made`: see made_of; `id`: of this checkpoint alone.
    """

    command: str
    options: Mapping[str, Any]
    made: Made
    id: str = field(default_factory=lambda: uuid4().hex)

    def told(self) -> bytes:
        """As the journal's first record."""
        return orjson.dumps({"id": self.id, "command": self.command, "options": self.options, "made": self.made})

    @classmethod
    def of(cls, told: bytes, where: str) -> Run:
        """From `told`; DataError where it is no such record."""
        try:
            return cls(**orjson.loads(told))
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{where}: its first record says of no run", remedy="begin anew", code="checkpoint_damaged"
            ) from error


@dataclass(frozen=True)
class Stored:
    """A checkpoint as it is read: the run, and what of it is done, in order."""

    run: Run
    done: tuple[Any, ...]

    @property
    def names(self) -> dict[str, list[str]]:
        """What of it is done: names of symbols or sets, ISO dates of sessions, by which of these it is."""
        found: dict[str, list[str]] = {}
        for one in self.done:
            unit, names = unit_of(one.what if isinstance(one, Done) else one)
            found.setdefault(unit, []).extend(names)
        return {unit: names for unit, names in found.items() if unit}

    @property
    def told(self) -> str:
        """How much of it is done, for people."""
        counts = [f"{unit}: {len(names)} done" for unit, names in self.names.items()]
        return ", ".join(counts) or "nothing is done yet"

    @property
    def finished(self) -> Finished | None:
        """Where its results are, if it is done."""
        return next((one for one in reversed(self.done) if isinstance(one, Finished)), None)


def shelf_at(place: Place) -> Shelf:
    """Where a checkpoint lies; ConfigError where none can."""
    return Bucket(str(place)) if is_object_uri(place) else Folder(Path(place))


def stored(place: Place) -> Stored:
    """What lies there, whoever has it now; ConfigError where there is nothing, DataError where it is damaged."""
    shelf = shelf_at(place)
    read = read_journal(shelf.segments(), shelf.where)
    if not read.records:
        raise ConfigError(
            f"there is nothing to resume in {place}",
            remedy="name the folder that --checkpoint was given; if its run died as it began, run the command again",
        )
    return Stored(Run.of(read.records[0], shelf.where), tuple(map(_CODEC.decode, read.records[1:])))


class Checkpoint:
    """A checkpoint that this process has, and writes to. `run`: what it is of. One that is there already goes on, and
    `done` is what of it is done. `files`: says, at the end, what was written of the run.

    ConfigError where another process has it (`checkpoint_held`), it is of another run (`checkpoint_differs`), or it
    can't be written; DataError where it is damaged.
    """

    def __init__(self, place: Place, run: Run, files: Callable[[], Sequence[Place]] = tuple) -> None:
        self._shelf, self._files = shelf_at(place), files
        self._shelf.take()
        try:
            self.run, self.done = self._opened(run)
        except BaseException:
            self.close()
            raise

    def _opened(self, run: Run) -> tuple[Run, tuple[Any, ...]]:
        shelf = self._shelf
        read = read_journal(shelf.segments(), shelf.where)
        if read.records:
            begun = Run.of(read.records[0], shelf.where)
            if begun.command != run.command:
                raise ConfigError(
                    f"{shelf.where} is of barray {begun.command}, not of barray {run.command}",
                    remedy="give --checkpoint another folder",
                    code="checkpoint_differs",
                )
            require_same(begun.made, run.made, shelf.where)
            run = begun
        done = tuple(map(_CODEC.decode, read.records[1:]))
        self._seal = Seal(run.id)
        self._states = [one.state for one in done if isinstance(one, Done) and one.state][-_STATES:]
        content, self._end = opening(read.last + 1, read.end, uuid4().hex)
        if not read.records:
            first, self._end = framed([run.told()], self._end)
            content += first
        shelf.begin(read.last + 1, content)
        return run, done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, values: Iterable[Any]) -> None:
        """Write down what is done: on disk, all of it, before this returns; errors as of the class."""
        content, end = framed([_CODEC.encode(value) for value in values], self._end)
        if content:
            self._shelf.append(content)
        self._end = end

    def add_with_state(self, what: Any, state: bytes) -> None:
        """The same of one thing, with where the strategy stands after it; errors as of the class."""
        name = f"state-{self._end.segment}-{self._end.size}"
        self._shelf.put(name, self._seal.seal(name, state))
        self.add([Done(what, name)])
        self._states.append(name)
        while len(self._states) > _STATES:
            self._shelf.remove(self._states.pop(0))

    def state(self, name: str) -> bytes:
        """Where the strategy stood; DataError where that was written by another key, or is damaged."""
        return self._seal.opened(name, self._shelf.get(name))

    def finish(self) -> None:
        """All is done, and its results are there; errors as of the class."""
        self.add([Finished(tuple(map(str, self._files())))])

    def close(self) -> None:
        """Let others have it."""
        with suppress(OSError):
            self._shelf.release()
