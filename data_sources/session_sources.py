"""Which source serves which sessions of a range: for each session the first, by priority, that passes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from itertools import groupby

from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.protocol import DataSource
from barray.market.interval import Interval
from barray.market.session_range import SessionRange, SourceSpan
from barray.market.validation import Reason


def dataset_difference(source: DataSource, other: DataSource) -> str:
    """How two vendors' bars differ in feed or adjustment, as the beginning of a sentence; "" where they don't."""
    if not isinstance(source, VendorSource) or not isinstance(other, VendorSource):
        return ""
    mine, theirs = source.account.dataset, other.account.dataset
    return f"has {mine.folder} bars, while {other.name} with {theirs.folder} bars" if mine != theirs else ""


class SessionSources:
    """Of one symbol. The bars of a range are one series: its sources share the base interval, and vendors the dataset.

    Files of one's own go with everything, since nothing is known of how they were made.
    """

    def __init__(self, session_range: SessionRange) -> None:
        self._range = session_range
        self._served: dict[int, DataSource] = {}
        self._refused: dict[int, list[Reason]] = {}
        self._missing: dict[str, frozenset[date]] = {}
        self._base: Interval | None = None

    @property
    def whole(self) -> bool:
        """Whether every session is served."""
        return len(self._served) == len(self._range.rows)

    @property
    def first_row(self) -> int:
        """Where the history of the first session begins that isn't served yet; ValueError where all are."""
        return min([self._range.history[row] for row in self._range.rows.tolist() if row not in self._served])

    @property
    def skipped(self) -> dict[date, tuple[Reason, ...]]:
        """Sessions that no source serves, with what each said."""
        days = zip(self._range.rows.tolist(), self._range.dates, strict=True)
        return {day: tuple(self._refused[row]) for row, day in days if row not in self._served}

    def offer(
        self,
        source: DataSource,
        base: Interval | None,
        refused: Mapping[date, tuple[Reason, ...]],
        missing: Collection[date],
    ) -> None:
        """Let a source serve the sessions that are left, but for those that it `refused`, with `base` bars.

        `missing`: days, of sessions or history, that it has no bars of.
        """
        self._missing[source.name] = frozenset(missing)
        clash = self._clash(source, base)
        for row, day in zip(self._range.rows.tolist(), self._range.dates, strict=True):
            if row in self._served:
                continue
            if reasons := refused.get(day) or clash:
                self._refused.setdefault(row, []).extend(reasons)
            else:
                self._served[row], self._base = source, base

    def _clash(self, source: DataSource, base: Interval | None) -> tuple[Reason, ...]:
        """Why the source's bars can't stand in one series with those of the sources before it."""
        for other in {one.name: one for one in self._served.values()}.values():
            difference = self._difference(source, base, other)
            if difference:
                message = f"{difference} serves other sessions of the range"
                remedy = "have one source serve the whole range, or make them alike"
                return (Reason("mixed_sources", message, remedy, source.name),)
        return ()

    def _difference(self, source: DataSource, base: Interval | None, other: DataSource) -> str:
        if base != self._base:
            return f"has {base} bars, while {other.name} with {self._base} bars"
        if base is not None and base.unit == "w":
            return f"has weekly bars, which sessions share, while {other.name}"
        return dataset_difference(source, other)

    @property
    def spans(self) -> tuple[SourceSpan, ...]:
        """All sessions that are loaded, in order, by the source that they are read from; () where none serves any."""
        names = {source.name for source in self._served.values()}
        dates = self._range.loaded.dates
        if len(names) < 2:
            return tuple(SourceSpan(name, dates[-1].item()) for name in names)
        chosen: list[tuple[str, date]] = []
        for row, stamp in enumerate(dates, self._range.first_row):
            day: date = stamp.item()
            before = chosen[-1][0] if chosen else None
            chosen.append((self._name_at(row, day) or before or next(iter(self._served.values())).name, day))
        groups = (list(group) for _, group in groupby(chosen, key=lambda entry: entry[0]))
        return tuple(SourceSpan(*group[-1]) for group in groups)

    def _name_at(self, row: int, day: date) -> str | None:
        """The source of a session that is run, or of the first one that has this session among its history."""
        if row in self._served:
            return self._served[row].name
        needing = [source.name for later, source in self._served.items() if self._range.history[later] <= row < later]
        holding = [name for name in needing if day not in self._missing[name]]
        return next(iter(holding or needing), None)
