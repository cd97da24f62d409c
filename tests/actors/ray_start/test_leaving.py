"""Leaving Ray imports nothing that the process has not used."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import ray
from barray.actors.ray_start.leaving import without_compiled_graphs
with without_compiled_graphs():
    ray.shutdown()
assert not any(name.startswith("ray.dag") for name in sys.modules), "it was imported"
import ray.dag.compiled_dag_node as real
ended = []
real._shutdown_all_compiled_dags = lambda: ended.append(True)
with without_compiled_graphs():
    ray.shutdown()
assert ended, "graphs that may be there are ended"
"""


@pytest.mark.long
def test_compiled_graphs_are_ended_where_there_may_be_any_and_not_looked_for_elsewhere() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
