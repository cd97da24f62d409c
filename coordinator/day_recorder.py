"""Writes a live day down as it goes, beside the session's exports."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import orjson

from barray.coordinator.config.model import SessionConfig
from barray.market.bars import Bars, IntArray
from barray.market.errors import ConfigError
from barray.market.requirements import SessionContext
from barray.market.universe.growing import Tape
from barray.trading.engine import recording
from barray.trading.engine.notes import Pages
from barray.trading.engine.recording import Recording
from barray.trading.scans.follow import ScanStep
from barray.trading.scans.keeping import Rules
from barray.trading.strategy.data import SymbolData

logger = logging.getLogger(__name__)
K = TypeVar("K")
MOST_BYTES = 1_000_000_000
"""Beyond this nothing more is recorded, and that is said."""
_WHOLE = ("recording", "open", "arrive", "change", "go", "pages", "universe", "looked_at", "look", "scans_ended")
"""Kinds of lines that say something by themselves; others belong to one that follows."""
_TOLD = tuple(f'{{"kind":"{kind}"'.encode() for kind in _WHOLE)
_SECTIONS = {"name", "session", "symbols", "strategy", "account", "costs", "tables"}
OF_SCANS = {"scans", "sources", "listings", "intervals", "indicators", "history", "validation"}
"""Sections of a config by which scans find their bars."""


class DayRecorder:
    """`{directory}/{name}-{date}-recording.jsonl`, or `…-2.jsonl` where that is there already: a file is only added to.

    A disk that fails ends the recording, not the session. `earlier`: the recording of a day that is resumed, which goes
    on; ConfigError where it can't be read, DataError where it is none. `taken_up` is what it had.
    """

    def __init__(
        self,
        config: SessionConfig,
        context: SessionContext,
        timezone: str,
        code: str,
        base: str,
        earlier: Path | None = None,
    ) -> None:
        self._versions: Counter[tuple[str, int]] = Counter()
        self._file: BinaryIO | None = None
        self._looked_at: Counter[tuple[int, int]] = Counter()
        self._scans_ended = False
        self.taken_up: Recording | None = None
        if earlier is not None:
            self.path = earlier
            self._take_up()
            return
        self.path = _free(Path(config.export.directory), f"{config.name}-{context.session_date}-recording")
        told = _told(config)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        except OSError as error:
            logger.warning("the day is not recorded: %s", error)
        self._write(recording.header_line(told, context, timezone, code, base))

    def _take_up(self) -> None:
        """Leave off behind the last thing that trader or scans were told, or that came of it."""
        try:
            self._file = self.path.open("r+b")
            lines = list(self._file)
        except OSError as error:
            raise ConfigError(
                f"{self.path}: {error.strerror}", remedy="put the day's recording back, or begin in another folder"
            ) from error
        told = [line.startswith(_TOLD) and line.endswith(b"\n") for line in lines]
        kept = lines[: len(told) - told[::-1].index(True)] if any(told) else []
        self.taken_up = recording.read_recording(kept, str(self.path))
        for line in map(orjson.loads, kept):
            if line["kind"] in ("columns", "bars"):
                _counted(self._versions, ((line["symbol"], start_ns) for start_ns in line["start"]))
        for one in self.taken_up.scanned.looked_at:
            self._count_looked_at(one.tape)
        self._file.truncate(sum(map(len, kept)))
        self._file.seek(0, 2)

    def pop_taken_up(self) -> Recording | None:
        """What the recording of a day that is resumed had, once."""
        earlier, self.taken_up = self.taken_up, None
        return earlier

    def columns(self, data: Mapping[str, SymbolData], at_ns: int) -> None:
        """Base bars of symbols that join."""
        for symbol, one in sorted(data.items()):
            self._count(symbol, one.base.bars)
            self._write(recording.columns_line(symbol, str(one.base.interval), one.base.bars, at_ns))

    def bars(self, bars: Mapping[str, Bars], received_ns: Mapping[str, IntArray], at_ns: int) -> None:
        """Bars that came, in the order in which they did."""
        for symbol, own in sorted(bars.items()):
            received = received_ns.get(symbol, np.full(len(own), at_ns))
            self._write(recording.bars_line(symbol, own, self._count(symbol, own), received, at_ns))

    def universe(self, symbols: Sequence[str], rules: Sequence[Rules], at_ns: int) -> None:
        """Symbols that scans look at, from session time `at_ns` on, and which scans."""
        self._write(recording.universe_line(symbols, {one.name: one.digest for one in rules}, at_ns))

    def looked_at(self, tape: Tape, received_ns: IntArray, at_ns: int) -> None:
        """Bars of the universe that came, which scans look at from session time `at_ns` on; when each came."""
        self._write(recording.looked_at_line(tape, self._count_looked_at(tape), received_ns, at_ns), flush=True)

    def look(self, at_ns: int, step: ScanStep | None) -> None:
        """Scans were run at a time, by the bars so far; what came of it, None where none found or failed to."""
        self._write(recording.look_line(at_ns, step), flush=True)

    def scans_ended(self, reason: str, at_ns: int) -> None:
        """No scan runs any more; said once."""
        if not self._scans_ended:
            self._write(recording.scans_ended_line(reason, at_ns))
        self._scans_ended = True

    def step(self, kind: str, at_ns: int, *, joined: tuple[str, ...] = (), left: tuple[str, ...] = ()) -> None:
        """What the trader is told now."""
        self._write(recording.step_line(kind, at_ns, joined=joined, left=left))

    def pages(self, pages: Pages) -> None:
        """What came of it."""
        if pages.decisions or pages.fills:
            self._write(recording.pages_line(pages))
        self._write(b"", flush=True)

    def close(self) -> None:
        """Nothing more comes."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what is left in its buffer fails as the write before did
                file.close()

    def _count_looked_at(self, tape: Tape) -> list[int]:
        return _counted(self._looked_at, zip(tape.who.tolist(), tape.bars.start_ns.tolist(), strict=True))

    def _count(self, symbol: str, bars: Bars) -> list[int]:
        return _counted(self._versions, ((symbol, start_ns) for start_ns in bars.start_ns.tolist()))

    def _write(self, line: bytes, *, flush: bool = False) -> None:
        if self._file is None:
            return
        try:
            if self._file.tell() + len(line) > MOST_BYTES:
                raise OSError(f"{self.path} has {MOST_BYTES:,} bytes, which is the bound")
            self._file.write(line)
            if flush:
                self._file.flush()
        except OSError as error:
            logger.warning("the day is recorded no further: %s", error)
            self.close()


def _told(config: SessionConfig) -> dict[str, Any]:
    """What of the config a day is made of; where there are scans, that by which they find their history."""
    if not config.scans:
        return config.model_dump(mode="json", by_alias=True, include=_SECTIONS)
    named = tuple(spec for spec in config.indicators if spec.own is None)  # what scans look at they name themselves
    whole = config.model_copy(update={"indicators": named})
    return whole.model_dump(mode="json", by_alias=True, include=_SECTIONS | OF_SCANS, exclude_none=True)


def _free(folder: Path, stem: str) -> Path:
    paths = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.jsonl" for number in range(1, 1000))
    return next((path for path in paths if not path.exists()), folder / f"{stem}-1000.jsonl")


def _counted(counts: Counter[K], stamps: Iterable[K]) -> list[int]:
    """Which time each of these bars has come, counted from 1."""
    versions = []
    for stamp in stamps:
        counts[stamp] += 1
        versions.append(counts[stamp])
    return versions
