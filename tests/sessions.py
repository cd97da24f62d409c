"""What tests of whole sessions share: configs, and looking at the processes there really are."""

from __future__ import annotations

import os
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


def family(pid: int) -> list[psutil.Process]:
    """Every process that `pid` has brought about and that is alive: its descendants, and its raylets' workers, which
    are nobody's children where they were forked.
    """
    descendants = psutil.Process(pid).children(recursive=True)
    raylets = {str(process.pid) for process in descendants if process.name() == "raylet"}
    found = {process.pid: process for process in descendants}
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAY_RAYLET_PID") in raylets:
                found[process.pid] = process
        except psutil.Error:  # gone, a zombie, or somebody else's
            continue
    return [process for process in found.values() if _alive(process)]


def without_agents(members: list[psutil.Process]) -> list[psutil.Process]:
    """The processes but for Ray's two agents, which notice up to a minute later that a killed raylet is gone."""
    return [process for process in members if _alive(process) and not process.name().endswith("Agent")]


def symbol_processes(driver: int | None = None) -> list[psutil.Process]:
    """Processes of symbol actors of a driver's Ray, by default ours (a forked worker has room for a short title)."""
    return [process for process in family(driver or os.getpid()) if _title(process).startswith("ray::Symbol")]


def trader_processes() -> list[psutil.Process]:
    """Processes that trade in sessions of this process's Ray."""
    return [process for process in family(os.getpid()) if _title(process).startswith("ray::Trader")]


def scan_processes() -> list[psutil.Process]:
    """Processes that hold a universe for scans of this process's Ray."""
    return [process for process in family(os.getpid()) if _title(process).startswith("ray::Scan")]


def actor_processes() -> list[psutil.Process]:
    """Processes of all actors of this process's Ray, the coordinator's included."""
    titles = {process: _title(process) for process in family(os.getpid())}
    ours = ("ray::Symbol", "ray::Session", "ray::Failing", "ray::Trader")
    return [process for process, title in titles.items() if title.startswith(ours)]


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_until(condition: Any, timeout_s: float = 60.0) -> None:
    """Poll until `condition()` is true; the processes that Ray ends take a moment to go."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)
