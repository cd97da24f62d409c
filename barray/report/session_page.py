"""A session as one HTML file that opens anywhere, offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from barray.coordinator.summary import SessionSummary
from barray.dump.writers.json import in_order
from barray.export.symbol_row import SymbolRow
from barray.market.symbol_data import SymbolSessionData
from barray.report.document import document, write_document
from barray.report.markup import join
from barray.report.sections import session, trading


def write_session(path: str | Path, name: str, summary: SessionSummary, symbols: Iterable[SymbolSessionData]) -> Path:
    """Write the report to `path`, whole or not at all, and give the path. The same session gives the same bytes.

    `symbols` come sorted by name, each standing at `summary.now_ns`, as for a dump; ValueError otherwise. One at a time
    is held. ConfigError where `path` cannot be written.
    """
    rows = [SymbolRow.of(data) for data in in_order(symbols, summary.now_ns)]
    return write_document(Path(path), render_session(name, summary, rows))


def render_session(name: str, summary: SessionSummary, rows: Sequence[SymbolRow]) -> bytes:
    """The page, UTF-8."""
    body = join(
        (
            session.headline(name, summary, rows),
            session.validation(summary, rows),
            session.symbols(summary, rows),
            trading.strategy(summary),
            trading.fills(summary),
            session.events(summary),
            session.conflicts(summary, rows),
            session.settings(summary),
        )
    )
    return document(f"{name} · {summary.session_date} · session", body)
