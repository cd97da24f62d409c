"""What a session leaves behind, in the formats asked for: its dumps, and its report beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from barray.coordinator.summary import SessionSummary
from barray.dump.files import FORMATS as DUMPS
from barray.dump.files import write_dumps
from barray.export.scan import write_scan
from barray.market.errors import ConfigError
from barray.market.symbol_data import SymbolSessionData
from barray.trading.scans.result import ScanResult

FORMATS = (*DUMPS, "html")


def write_exports(
    directory: str | Path,
    name: str,
    formats: Sequence[str],
    summary: SessionSummary,
    snapshots: Callable[[], Iterable[SymbolSessionData]],
) -> list[Path]:
    """Write the dumps that `formats` ask for, see `write_dumps`, and `{name}-{date}.html`; what scans found into the
    folder `{name}-{date}-scans`, see `write_scan`. Returns their paths.

    `snapshots` is called once a format: symbols stream through, in order. ConfigError where nothing can be written, or
    for what is no format.
    """
    from barray.report.session_page import write_session

    if unknown := [entry for entry in formats if entry not in FORMATS]:
        raise ConfigError(f"{unknown[0]!r} is no export format", remedy=f"choose from {', '.join(FORMATS)}")
    written = write_dumps(directory, name, formats, summary, snapshots)
    if "html" in formats:
        path = Path(directory) / f"{name}-{summary.session_date}.html"
        written.append(write_session(path, name, summary, snapshots()))
    if summary.scanned is not None:
        found = ScanResult.of_session(name, summary.scanned, summary.timezone)
        tables = [entry for entry in DUMPS if entry in formats]
        written += write_scan(found, Path(directory) / f"{name}-{summary.session_date}-scans", tables)
    return written
