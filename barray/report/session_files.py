"""What a session leaves behind, in the formats asked for: its dumps, and its report beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from barray.coordinator.summary import SessionSummary
from barray.data_sources.object_store.publish import Place, published
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
) -> list[Place]:
    """Write the dumps that `formats` ask for, see `write_dumps`, and `{name}-{date}.html`; what scans found into the
    folder `{name}-{date}-scans`, see `write_scan`. Returns their paths.

    `directory` may be in an object store, see `published`. `snapshots` is called once a format: symbols stream through,
    in order. ConfigError where nothing can be written, or for what is no format.
    """
    if unknown := [entry for entry in formats if entry not in FORMATS]:
        raise ConfigError(f"{unknown[0]!r} is no export format", remedy=f"choose from {', '.join(FORMATS)}")
    stem = f"{name}-{summary.session_date}"

    def write(folder: Path) -> list[Path]:
        from barray.report.session_page import write_session

        written = write_dumps(folder, name, formats, summary, snapshots)
        if "html" in formats:
            written.append(write_session(folder / f"{stem}.html", name, summary, snapshots()))
        if summary.scanned is not None:
            found = ScanResult.of_session(name, summary.scanned, summary.timezone)
            written += write_scan(found, folder / f"{stem}-scans", [entry for entry in DUMPS if entry in formats])
        return written

    return published(directory, stem, write)
