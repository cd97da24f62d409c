"""One S3 server for all tests of a process that ask for it, empty and sound at the beginning of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vendors.s3_server import S3Server, s3_server


@pytest.fixture(scope="session")
def s3_running() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_running: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Server:
    """The server; this process's environment leads to it, with an empty cache of its own."""
    for name, value in s3_running.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("BARRAY_NO_CACHE", raising=False)
    monkeypatch.setenv("BARRAY_SHARDS", str(tmp_path / "shards"))
    s3_running.clear()
    return s3_running
