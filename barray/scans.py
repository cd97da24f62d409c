"""The words that scans are written in: `from barray.scans import Scan, col, every, full, gap, listed, top`."""

from barray.trading.scans.keeping import Keep, Promote, full, top
from barray.trading.scans.language import (
    adv,
    average_volume,
    bars,
    change,
    change_since_open,
    close,
    col,
    gap,
    highest,
    lowest,
    new_high,
    new_low,
    relative_volume,
    session_high,
    session_low,
    session_open,
    session_range,
    session_volume,
    table,
    vwap,
)
from barray.trading.scans.panel import ScanPanel
from barray.trading.scans.scan import Scan
from barray.trading.scans.terms import Term
from barray.trading.scans.times import Times, at, every
from barray.trading.scans.universe import Universe, everything, listed, symbols, symbols_in
from barray.trading.strategy.parameter import parameter

__all__ = [
    "Keep",
    "Promote",
    "Scan",
    "ScanPanel",
    "Term",
    "Times",
    "Universe",
    "adv",
    "at",
    "average_volume",
    "bars",
    "change",
    "change_since_open",
    "close",
    "col",
    "every",
    "everything",
    "full",
    "gap",
    "highest",
    "listed",
    "lowest",
    "new_high",
    "new_low",
    "parameter",
    "relative_volume",
    "session_high",
    "session_low",
    "session_open",
    "session_range",
    "session_volume",
    "symbols",
    "symbols_in",
    "table",
    "top",
    "vwap",
]
