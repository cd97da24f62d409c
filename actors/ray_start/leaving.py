"""Leaving Ray without what it would import to do so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_GRAPHS = "ray.dag.compiled_dag_node"


@contextmanager
def without_compiled_graphs() -> Iterator[None]:
    """For `ray.shutdown`, which ends compiled graphs: where there was none it would import 25 modules for 16 ms,
    to find that out.
    """
    if _GRAPHS in sys.modules:
        yield
        return
    stand_in = ModuleType(_GRAPHS)
    stand_in._shutdown_all_compiled_dags = lambda: None  # type: ignore[attr-defined]
    sys.modules[_GRAPHS] = stand_in
    try:
        yield
    finally:
        del sys.modules[_GRAPHS]
