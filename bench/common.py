"""What every measurement needs: medians, facts about the machine, and one JSON line."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any


def median_s(work: Callable[[], object], *, repeat: int = 5) -> float:
    """Median wall time of `work` in seconds, over `repeat` runs after one that doesn't count."""
    work()
    taken = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which the median lies, at 95 %, whatever the distribution: two of the values, the outermost if few."""
    ordered = sorted(values)
    outside = max(0, int((len(ordered) - 1.96 * len(ordered) ** 0.5) / 2))
    return ordered[outside], ordered[-1 - outside]


def machine_facts() -> dict[str, Any]:
    """What a figure depends on: `cores` are those that this process may use, `load` is the machine's over a minute."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def print_json_line(name: str, figures: dict[str, Any]) -> None:
    """Print the figures of measurement `name` with the machine's facts; floats to four digits that count."""
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in figures.items()}
    whole = {key: int(v) if isinstance(v, float) and v >= 1_000 else v for key, v in rounded.items()}
    print(json.dumps({"bench": name, **whole, **machine_facts()}), flush=True)
