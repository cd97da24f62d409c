"""Shared fixtures: one Ray for each module that wants it, one sample universe for all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import settings

# `make check` asks for the profile "check". Tests that set a number of their own take no more than the profile's.
settings.register_profile("check", max_examples=15, deadline=None)
settings.register_profile("full", max_examples=100, deadline=None)
settings.load_profile("full")

os.environ["RAY_AUTH_MODE"] = "token"  # explicit, whatever the machine's default; read when Ray's library is loaded
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
# notes of running sessions: this run's own, whatever else runs on the machine
os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="barray-tests-")
os.environ["XDG_CACHE_HOME"] = os.environ["XDG_RUNTIME_DIR"]

FIRST, LAST = date(2024, 6, 24), date(2024, 7, 3)
GOOD = ("AAPL", "MSFT", "NVDA", "SPY", "TSLA", "AMZN")
BROKEN = {"GME": "no_history", "NFLX": "nan", "AMD": "truncated"}


@pytest.fixture(scope="session", autouse=True)
def _runtime_folder() -> Iterator[None]:
    yield
    shutil.rmtree(os.environ["XDG_RUNTIME_DIR"], ignore_errors=True)


@pytest.fixture(scope="session")
def universe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minutes of GOOD symbols from FIRST to LAST (2024-07-03 is a half day), and of BROKEN ones, spoilt on LAST."""
    from barray.sample.universe import write_sample_data

    root = tmp_path_factory.mktemp("universe")
    write_sample_data(root, symbols=[*GOOD, *BROKEN], start=FIRST, end=LAST, broken=BROKEN)
    return root


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """A Ray with 2 CPUs on loopback, for the module."""
    from barray.coordinator import runtime

    runtime.start_ray(num_cpus=2)
    yield
    runtime.leave_ray()
