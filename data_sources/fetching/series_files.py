"""What a store asks of the place where one symbol's bars of an interval lie: a folder, or a bucket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from pyarrow import fs

from barray.data_sources.fetching.manifest import Manifest
from barray.data_sources.fetching.vendor import Dataset
from barray.data_sources.parquet.file import BarFile, Columns
from barray.market.arrow_arrays import arrow_numbers
from barray.market.bars import COLUMNS, Bars
from barray.market.errors import DataError
from barray.market.interval import Interval

_STAMP = pa.timestamp("ns", tz="UTC")


@dataclass(frozen=True)
class Series:
    """One symbol's bars of an interval, of a dataset."""

    dataset: Dataset
    symbol: str
    interval: Interval


class SeriesFiles(Protocol):
    """Files by name, without `.parquet`, which begins with the month; and the manifest that counts them."""

    def known(self) -> Manifest:
        """What is known; nothing of files that aren't those that were written."""
        ...

    def held(self, months: list[str]) -> list[Bars]:
        """The bars of each of these months that has any."""
        ...

    def read(self, name: str) -> Bars:
        """A file's bars; DataError where they can't be read."""
        ...

    def put(self, month: str, bars: Bars) -> tuple[str, int]:
        """Write a month's bars, sorted; the file's name and bytes. Only within `change`."""
        ...

    def change(self, changed: Callable[[Manifest], Manifest | None]) -> None:
        """Put what `changed` makes of what is known in its place, if anything; nobody else changes it meanwhile.

        It may be called more than once, and puts the files that its manifest counts.
        """
        ...


def bars_of(filesystem: fs.FileSystem, path: str, shown: str, series: Series) -> Bars:
    """A file's bars, all of them; DataError with what would mend it."""
    try:
        file = BarFile(filesystem, path, shown, series.dataset.vendor, Columns())
        return file.read(None, *file.stamp_range())
    except DataError as error:
        raise DataError(
            error.reason,
            symbol=series.symbol,
            interval=str(series.interval),
            source=series.dataset.vendor,
            remedy=f"remove {shown}: it will be fetched again",
            code=error.code,
        ) from error


def table_of(bars: Bars) -> pa.Table:
    """The rows of a file, sorted."""
    order = np.argsort(bars.start_ns, kind="stable")
    stamps = arrow_numbers(bars.start_ns[order]).cast(_STAMP)
    columns = {name: arrow_numbers(getattr(bars, name)[order]) for name in COLUMNS}
    return pa.table({"timestamp": stamps, **columns})
