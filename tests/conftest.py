"""Shared fixtures: one Ray for each module that wants it, one sample universe for all."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import settings

from barray.data_sources.environment import _taken

pytest_plugins = ["tests.vendors.s3_fixtures"]
# `make check` asks for the profile "check". Tests that set a number of their own take no more than the profile's.
settings.register_profile("check", max_examples=15, deadline=None)
settings.register_profile("full", max_examples=60, deadline=None)
settings.load_profile("full")

os.environ["RAY_AUTH_MODE"] = "token"  # explicit, whatever the machine's default; read when Ray's library is loaded
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
# Notes of running sessions, sockets, Ray's folder: this process's own, whatever else runs on the machine.
_PREFIX = "barray-tests-"
_OWN_FOLDER = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
for _name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "RAY_TMPDIR"):
    os.environ[_name] = str(_OWN_FOLDER)

FIRST, LAST = date(2024, 6, 24), date(2024, 7, 3)
GOOD = ("AAPL", "MSFT", "NVDA", "SPY", "TSLA", "AMZN")
BROKEN = {"GME": "no_history", "NFLX": "nan", "AMD": "truncated"}


def pytest_configure() -> None:
    """What is started here gets the default signals, also where this was started to ignore them (`nohup … &`)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # still ignored by this process, and by none that it starts


@pytest.fixture(autouse=True)
def _nothing_taken_stays() -> Iterator[None]:
    """Credentials that a test makes this process take are no other test's, whichever ran before it."""
    before = dict(_taken)
    yield
    _taken.clear()
    _taken.update(before)


def pytest_unconfigure() -> None:
    """Leave nothing: neither of this process nor of one that was killed."""
    shutil.rmtree(_OWN_FOLDER, ignore_errors=True)
    for folder in _OWN_FOLDER.parent.glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and folder.stat().st_uid == os.geteuid() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


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
