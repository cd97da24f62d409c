"""Columns that a process publishes once, in Ray's object store, and that others map where they are, without a copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from barray.trading.strategy.data import SymbolData


def publish(data: Mapping[str, SymbolData]) -> Any:
    """Publish symbols' columns together: a handle, which may stand in any command or report, and is small.

    The columns stay as long as any process has the handle, and this one lives.
    """
    return ray.put(dict(data))


def collected(handles: Iterable[Any]) -> dict[str, SymbolData] | None:
    """What was published, by symbol, mapped read-only; None where a publisher has died, and its columns with it."""
    try:
        parts: list[dict[str, SymbolData]] = ray.get(list(dict.fromkeys(handles)))
    except RayError:
        return None
    return {symbol: data for part in parts for symbol, data in part.items()}


def put(value: Any) -> Any:
    """Publish anything else: a handle, which `got` takes."""
    return ray.put(value)


def got(handle: Any) -> Any:
    """What was published; errors of Ray where its publisher has died."""
    return ray.get(handle)
