"""Reads a symbol's sessions from several sources, each from the one that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from barray.data_sources.protocol import DataSource
from barray.market.bars import Bars, Prices
from barray.market.calendar import Sessions
from barray.market.commands import prices_of
from barray.market.errors import NoDataError
from barray.market.interval import Interval
from barray.market.series import lay_on_sessions
from barray.market.session_range import SourceSpan


@dataclass(frozen=True)
class SpanReader:
    """See BarReader. `sources`: each with the label of the last session that it serves, in order of time.

    What lies before the first is read from the first, what lies after the last from the last.
    """

    sources: tuple[tuple[date, DataSource], ...]

    @property
    def name(self) -> str:
        """All sources' names."""
        return " + ".join(dict.fromkeys(source.name for _, source in self.sources))

    @property
    def spans(self) -> tuple[SourceSpan, ...]:
        """Which source serves up to when."""
        return tuple(SourceSpan(source.name, last, getattr(source, "dataset", None)) for last, source in self.sources)

    @property
    def prices(self) -> Prices:
        """`any` where one of the sources lets prices be zero or negative."""
        return "any" if any(prices_of(source) == "any" for _, source in self.sources) else "positive"

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        """Bars of these sessions and no others, oldest first; NoDataError where no source has any.

        DataError, SourceUnavailable as the sources raise them, and DataError for bars that can't be right.
        """
        parts: list[Bars] = []
        nothing: NoDataError | None = None
        for source, own in self._shares(sessions):
            try:
                bars = source.read_bars(symbol, interval, own)
            except NoDataError as error:
                nothing = error
                continue
            parts.append(
                lay_on_sessions(
                    bars, interval, own, 0, symbol=symbol, source=source.name, prices=prices_of(source)
                ).bars
            )
        if not parts and nothing is not None:
            raise nothing
        return Bars.concat(parts)

    def _shares(self, sessions: Sessions) -> list[tuple[DataSource, Sessions]]:
        ends = np.searchsorted(sessions.dates, [np.datetime64(last) for last, _ in self.sources], side="right").tolist()
        ends[-1] = len(sessions)
        starts = [0, *ends[:-1]]
        shares = zip(self.sources, starts, ends, strict=True)
        return [(source, sessions.take(slice(start, end))) for (_, source), start, end in shares if start < end]
