"""The dumps of a session: which formats there are and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from barray.coordinator.summary import SessionSummary
from barray.data_sources.atomic_file import clear_leftovers
from barray.market.errors import ConfigError
from barray.market.symbol_data import SymbolSessionData

FORMATS = ("json", "csv", "parquet")


def write_dumps(
    directory: str | Path,
    name: str,
    formats: Sequence[str],
    summary: SessionSummary,
    snapshots: Callable[[], Iterable[SymbolSessionData]],
) -> list[Path]:
    """Write `{name}-{date}.json`, `.csv` and a folder `{name}-{date}-parquet` as `formats` ask; returns their paths.
    Beside `.csv`, where a strategy traded, `-trading.csv` with its orders and fills; where there are scans,
    `-scans.csv` with what they found.

    What else stands in `formats` is not written here. `snapshots` is called once a format: symbols stream through, in
    order. ConfigError where nothing can be written.
    """
    from barray.dump.writers.csv import write_csv
    from barray.dump.writers.json import write_json
    from barray.dump.writers.parquet import write_parquet
    from barray.dump.writers.scans_csv import write_scans_csv
    from barray.dump.writers.trading_csv import write_trading_csv

    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}", remedy="correct export.directory") from error
    clear_leftovers(folder)
    stem = f"{name}-{summary.session_date}"
    written: list[Path] = []
    if "json" in formats:
        written.append(write_json(folder / f"{stem}.json", summary, snapshots()))
    if "csv" in formats:
        written.append(write_csv(folder / f"{stem}.csv", summary, snapshots()))
        if summary.trading is not None:
            written.append(write_trading_csv(folder / f"{stem}-trading.csv", summary.trading))
        if summary.scanned is not None:
            written.append(write_scans_csv(folder / f"{stem}-scans.csv", summary.scanned))
    if "parquet" in formats:
        written.append(write_parquet(folder / f"{stem}-parquet", summary, snapshots()))
    return written
