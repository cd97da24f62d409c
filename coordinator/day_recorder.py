"""Writes a live day down as it goes, beside the session's exports."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from barray.coordinator.config.model import SessionConfig
from barray.market.bars import Bars, IntArray
from barray.market.requirements import SessionContext
from barray.trading.engine import recording
from barray.trading.engine.notes import Pages
from barray.trading.strategy.data import SymbolData

logger = logging.getLogger(__name__)
MOST_BYTES = 1_000_000_000
"""Beyond this nothing more is recorded, and that is said."""
_SECTIONS = {"name", "session", "symbols", "strategy", "account", "costs", "tables"}


class DayRecorder:
    """`{directory}/{name}-{date}-recording.jsonl`, or `…-2.jsonl` where that is there already: a file is only added to.

    A disk that fails ends the recording, not the session.
    """

    def __init__(self, config: SessionConfig, context: SessionContext, timezone: str, code: str, base: str) -> None:
        self._versions: Counter[tuple[str, int]] = Counter()
        self._file: BinaryIO | None = None
        self.path = _free(Path(config.export.directory), f"{config.name}-{context.session_date}-recording")
        told = config.model_dump(mode="json", by_alias=True, include=_SECTIONS)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        except OSError as error:
            logger.warning("the day is not recorded: %s", error)
        self._write(recording.header_line(told, context, timezone, code, base))

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

    def step(self, kind: str, at_ns: int, *, joined: tuple[str, ...] = (), left: tuple[str, ...] = ()) -> None:
        """What the trader is told now."""
        self._write(recording.step_line(kind, at_ns, joined=joined, left=left))

    def pages(self, pages: Pages) -> None:
        """What came of it."""
        if pages.decisions or pages.fills:
            self._write(recording.pages_line(pages))
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _count(self, symbol: str, bars: Bars) -> list[int]:
        """Which time each of these bars has come, counted from 1."""
        versions = []
        for start_ns in bars.start_ns.tolist():
            self._versions[symbol, start_ns] += 1
            versions.append(self._versions[symbol, start_ns])
        return versions

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        try:
            if self._file.tell() + len(line) > MOST_BYTES:
                raise OSError(f"{self.path} has {MOST_BYTES:,} bytes, which is the bound")
            self._file.write(line)
        except OSError as error:
            logger.warning("the day is recorded no further: %s", error)
            self.close()


def _free(folder: Path, stem: str) -> Path:
    paths = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.jsonl" for number in range(1, 1000))
    return next((path for path in paths if not path.exists()), folder / f"{stem}-1000.jsonl")
