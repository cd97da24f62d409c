from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from barray.local import calendar_cache
from barray.local.calendar_cache import cached_sessions
from barray.market.calendar import RegularSessions, exchange_sessions
from barray.market.errors import ConfigError

FIRST, LAST = date(2024, 6, 24), date(2024, 7, 7)


@pytest.fixture(autouse=True)
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, date, date]]:
    """An empty cache for each test, and a list of what the library was asked for."""
    calls: list[tuple[str, date, date]] = []

    def source(name: str, first: date, last: date) -> RegularSessions:
        calls.append((name, first, last))
        return exchange_sessions(name, first, last)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(calendar_cache, "_library_is_loaded", lambda: False)
    monkeypatch.setattr(calendar_cache, "exchange_sessions", source)
    return calls


def same(one: RegularSessions, other: RegularSessions) -> bool:
    return (one.name, one.timezone, one.half_days) == (other.name, other.timezone, other.half_days) and all(
        np.array_equal(getattr(one.sessions, field.name), getattr(other.sessions, field.name))
        and getattr(one.sessions, field.name).dtype == getattr(other.sessions, field.name).dtype
        for field in fields(one.sessions)
    )


@pytest.mark.long
@pytest.mark.parametrize("name", ["XNYS", "NYSE", "XHKG", "XTKS", "XLON", "CMES", "24/7"])
def test_the_cache_gives_what_the_library_gives_before_and_after_it_is_filled(
    name: str, asked: list[tuple[str, date, date]]
) -> None:
    exact = exchange_sessions(name, FIRST, LAST)
    assert same(cached_sessions(name, FIRST, LAST), exact)
    asked.clear()
    assert same(cached_sessions(name, FIRST, LAST), exact)
    assert asked == []


@pytest.mark.long
def test_a_year_asked_for_joins_those_that_are_kept(asked: list[tuple[str, date, date]]) -> None:
    for year in (2024, 2022, 2023):
        cached_sessions("XNYS", date(year, 3, 4), date(year, 3, 10))
    assert asked == [
        ("XNYS", date(2024, 1, 1), date(2024, 12, 31)),
        ("XNYS", date(2022, 1, 1), date(2024, 12, 31)),
    ]


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    cached_sessions("24/7", FIRST, LAST)
    folder = tmp_path / "barray"
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _as_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.long
@pytest.mark.parametrize(
    "spoil",
    [
        _flip,
        _as_a_folder,
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80\x04K\x01."),
        lambda path: path.write_bytes(calendar_cache._checksum(b"[1]") + b"\n[1]"),
    ],
)
def test_a_spoilt_file_is_made_anew(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    exact = cached_sessions("XNYS", FIRST, LAST)
    (file,) = (tmp_path / "barray").iterdir()
    spoil(file)
    assert same(cached_sessions("XNYS", FIRST, LAST), exact)
    assert file.is_dir() or same(cached_sessions("XNYS", FIRST, LAST), exact)


def test_another_version_of_the_library_is_asked_again(
    asked: list[tuple[str, date, date]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_sessions("XNYS", FIRST, LAST)
    monkeypatch.setattr(calendar_cache, "version", lambda name: "99.0")
    cached_sessions("XNYS", FIRST, LAST)
    assert len(asked) == 2


def test_it_does_without_a_place_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert same(cached_sessions("XNYS", FIRST, LAST), exchange_sessions("XNYS", FIRST, LAST))


def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BARRAY_NO_CACHE", "1")
    cached_sessions("XNYS", FIRST, LAST)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["NOPE", "../../etc/passwd", "x" * 300])
def test_an_unknown_calendar_is_an_error_and_leaves_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not an exchange calendar"):
        cached_sessions(name, FIRST, LAST)
    assert list(tmp_path.rglob("*")) == []


def test_where_whole_years_are_not_to_be_had_the_exact_dates_are(tmp_path: Path) -> None:
    first, last = date(1990, 12, 24), date(1990, 12, 31)  # the library's XSHG begins on 1990-12-03
    assert same(cached_sessions("XSHG", first, last), exchange_sessions("XSHG", first, last))
    assert list(tmp_path.iterdir()) == []


def test_a_week_without_sessions_is_the_librarys_error() -> None:
    with pytest.raises(ConfigError, match="cannot cover"):
        cached_sessions("XSHG", date(2024, 10, 1), date(2024, 10, 6))


@pytest.mark.long
def test_neither_pandas_nor_the_library_is_imported_once_it_is_filled() -> None:
    script = (
        "import sys, datetime; from barray.local.calendar_cache import cached_sessions;"
        "cached_sessions('XNYS', datetime.date(2024, 7, 1), datetime.date(2024, 7, 7));"
        "print([name for name in ('pandas', 'exchange_calendars') if name in sys.modules])"
    )
    for expected in ("['pandas', 'exchange_calendars']", "[]"):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
