"""A live session kept as Parquet, so that the day can be run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barray.data_sources.atomic_file import made, replacing
from barray.data_sources.object_store.publish import Place, published
from barray.data_sources.object_store.store import ObjectStore, is_object_uri
from barray.market.arrow_arrays import arrow_numbers
from barray.market.bars import COLUMNS
from barray.market.calendar import Sessions
from barray.market.interval import DAY
from barray.market.series import IntervalBars
from barray.market.symbol_data import SymbolSessionData


def record(directory: str | Path, day: date, snapshots: Iterable[SymbolSessionData], sessions: Sessions) -> list[Place]:
    """`write_recording` of the session on `day` to a folder, which may be in an object store: see `published`."""
    if not is_object_uri(directory):
        return list(write_recording(Path(directory), snapshots, sessions))
    listed = cache(ObjectStore(str(directory)).names)

    def write(folder: Path) -> list[Path]:
        def is_there(path: Path) -> bool:
            return path.name in listed(path.parent.relative_to(folder).as_posix())

        return write_recording(folder, snapshots, sessions, is_there)

    return published(directory, f"recording-{day}", write)


def write_recording(
    folder: Path,
    snapshots: Iterable[SymbolSessionData],
    sessions: Sessions,
    is_there: Callable[[Path], bool] = Path.exists,
) -> list[Path]:
    """Base bars of full symbols, history and session, as `{symbol}/{interval}/{date}.parquet`.

    With them the daily bars that a source gave of sessions before these. Returns the session's files. `sessions` are
    those the bars lie in. A day of history that `is_there` already is left as it is. ConfigError where they
    can't be written.
    """
    written: list[Path] = []
    for data, series in ((one, given) for one in snapshots for given in _given(one)):
        place = folder / data.symbol / str(series.interval)
        for row in range(len(sessions)):
            path = place / f"{sessions.dates[row]}.parquet"
            is_today = sessions.dates[row].item() == data.session_date
            starts = series.bars.start_ns
            held = (starts >= sessions.open_ns[row]) & (starts < sessions.close_ns[row])
            if held.any() and (is_today or not is_there(path)):
                _write(path, series, held)
                written += [path] if is_today else []
    return written


def _given(data: SymbolSessionData) -> list[IntervalBars]:
    """What its sources gave."""
    if data.base_interval is None:
        return []
    days = data.bars.get(str(DAY))
    return [data.bars[str(data.base_interval)], *([days.take(slice(0, days.given))] if days and days.given else [])]


def _write(path: Path, series: IntervalBars, rows: NDArray[np.bool_]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    bars = series.bars.take(rows)
    columns = {name: arrow_numbers(getattr(bars, name)) for name in COLUMNS}
    stamps = arrow_numbers(bars.start_ns).cast(pa.timestamp("ns", "UTC"))
    made(path.parent)
    with replacing(path) as temporary:
        pq.write_table(pa.table({"timestamp": stamps, **columns}), temporary, compression="zstd")
