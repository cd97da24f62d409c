"""What tests of whole sessions share: configs, and looking at the processes there really are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil


def config(universe: Path, *symbols: str, **changes: Any) -> dict[str, Any]:
    """A config mapping over the sample universe: 2024-07-02 and -03, 1m/5m/15m, two indicators, two days of history."""
    settings: dict[str, Any] = {
        "name": "test",
        "session": {"start": "2024-07-02", "end": "2024-07-03"},
        "symbols": list(symbols),
        "intervals": ["1m", "5m", "15m"],
        "indicators": ["RSI(14)@5m", "SMA(20)@1m"],
        "history": {"trailing_days": 2},
        "sources": [{"root": str(universe)}],
    }
    return {**settings, **changes}


def bar(stamp: str, price: float = 10.0, volume: float = 100.0) -> dict[str, Any]:
    """A flat bar."""
    return {"timestamp": stamp, "open": price, "high": price, "low": price, "close": price, "volume": volume}


def processes(*names: str) -> list[psutil.Process]:
    """Processes that descend from this one and have one of `names` in their command line."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if any(name in " ".join(process.cmdline()) for name in names):
                found.append(process)
        except psutil.NoSuchProcess:  # gone, or a zombie
            continue
    return found


def symbol_processes() -> list[psutil.Process]:
    """Processes of symbol actors."""
    return processes("SymbolActor")


def wait_until(condition: Any, timeout_s: float = 20.0) -> None:
    """Poll until `condition()` is true; the processes that Ray ends take a moment to go."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)
