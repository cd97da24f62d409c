"""Forked or started by Ray itself: the same dumps. Each way needs a Ray of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import barray
from tests.sessions import bar, config, symbol_processes

pytestmark = pytest.mark.ray


def dump(universe: Path, folder: Path, spawn: str) -> bytes:
    """A day with an addition, an upgrade and a lost process, in a Ray started and ended here."""
    settings = config(universe, "AAPL", "MSFT", session={"start": "2024-07-02"}, actors={"spawn": spawn})
    with barray.Session(settings | {"ray": {"num_cpus": 2}}) as session:
        session.begin()
        parents = {process.parent().name() for process in symbol_processes()}
        assert ("raylet" in parents) == (spawn == "stock")
        session.advance_to("11:00")
        assert session.add_adhoc_bar("TSLA", "1m", bar("2024-07-02T14:59:00Z"))
        assert session.add_symbol("TSLA")
        symbol_processes()[0].kill()
        session.advance_to()
        session.end()
        (path,) = session.export(folder, ["json"])
    return path.read_bytes()


def test_forked_or_not_the_dump_is_the_same_byte_for_byte(universe: Path, tmp_path: Path) -> None:
    assert dump(universe, tmp_path / "fork", "fork") == dump(universe, tmp_path / "stock", "stock")
