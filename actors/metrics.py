"""Measures on the Prometheus endpoint of this node's Ray, where it has one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray.util.metrics import Counter, Gauge

_SESSION = "session"


def node_exports() -> bool:
    """Whether this node's Ray has an endpoint: it was installed as `ray[default]`, and its agent runs."""
    if not ray.is_initialized():
        return False
    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return any(node["NodeID"] == here and node.get("MetricsExportPort", 0) > 0 for node in nodes)


class Metric:
    """One measure of a session's coordinator. A counter is told what it has come to, and adds what is new."""

    def __init__(self, name: str, kind: str, meaning: str, tags: Iterable[str], session: str) -> None:
        keys = (_SESSION, *tags)
        self._gauge = Gauge(name, meaning, keys) if kind == "gauge" else None
        self._counter = Counter(name, meaning, keys) if kind == "counter" else None
        self._session = {_SESSION: session}
        self._told: dict[tuple[tuple[str, str], ...], float] = {}

    def record(self, value: float, tags: Mapping[str, str]) -> None:
        """It is `value` now."""
        every = {**self._session, **tags}
        if self._gauge is not None:
            self._gauge.set(value, every)
        key = tuple(sorted(tags.items()))
        if self._counter is not None and value > self._told.get(key, 0.0):
            self._counter.inc(value - self._told.get(key, 0.0), every)
            self._told[key] = value
