"""Checks of a CSV dump: columns, stamps, values, the truth table, and the quality computed again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from barray.dump.checks.schema import bad_stamps, parse_stamps
from barray.dump.digest import digest_of_texts
from barray.dump.readers.csv import SymbolColumns, read_csv, says_what_it_is
from barray.dump.schema import SCHEMA
from barray.dump.violations import Findings
from barray.dump.writers.csv import FILE_COLUMNS, METADATA_COLUMNS, quality_so_far
from barray.local.calendar_cache import cached_sessions
from barray.market.bars import COLUMNS, Bars, FloatArray, IntArray, format_ns, sane_rows, value_problem
from barray.market.calendar import ExtendedHours, Sessions, load_calendar
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.symbol_data import metadata_problems

_STEPS = tuple(
    Interval.parse(text) for text in ("1m", "5m", "1s", "10s", "30s", "2m", "15m", "30m", "1h", "2h", "4h", "1d")
)


@dataclass(frozen=True)
class _Sheet:
    """The file: names and text cells of all columns, the stamps (n,), and the session they lie in."""

    names: list[str]
    cells: list[Any]
    stamps: IntArray
    sessions: Sessions
    row: int

    def place(self, column: int) -> Callable[[int], str]:
        """Place of a cell: the column and the line of the file (the header is line 1)."""
        return lambda row: f"{self.names[column]}[line {row + 2}]"

    def empty(self, column: int) -> NDArray[np.bool_]:
        """Mask (n,) of the rows in which a cell says nothing."""
        return np.asarray(pa.compute.equal(self.cells[column], ""))

    def text(self, column: int) -> Callable[[int], str]:
        """What a cell says."""
        return lambda row: str(self.cells[column][row])


def check_csv(path: Path, calendar: str, hours: str, out: Findings) -> tuple[str, ...]:
    """Add everything wrong with the CSV to `out`; UnreadableDump where it is no table at all.

    The symbols that are missing because the machine failed, as the file says it.
    """
    names, layout, cells = read_csv(path, out)
    if len(out) or not len(cells[0]):
        return ()
    _check_content(names, layout, cells, calendar, hours, out)
    lost = cells[len(names) + FILE_COLUMNS.index("degraded") - len(FILE_COLUMNS)][0] if says_what_it_is(names) else ""
    return tuple(str(lost).split())


def _check_content(
    names: list[str], layout: list[SymbolColumns], cells: list[Any], calendar: str, hours: str, out: Findings
) -> None:
    texts = cells[0].to_pylist()
    stamps = parse_stamps(texts)
    if stamps is None:
        bad_stamps(texts, lambda row: f"timestamp[line {row + 2}]", out)
        return
    extended: ExtendedHours | None = None
    if says_what_it_is(names):
        calendar, hours, extended = _check_file(names, layout, cells, out)
    found = _session(stamps, calendar, hours, extended, out)
    if found is None:
        return
    sheet = _Sheet(names, cells, stamps, *found)
    used = np.zeros(len(stamps), bool)
    usual: Interval | None = None
    for columns in layout:
        present = _check_bars(sheet, columns, out)
        _check_indicators(sheet, columns, present, out)
        _check_metadata(sheet, columns, out)
        usual = _check_quality(sheet, columns, present, usual, out)
        used |= present
    out.rows(
        ~used, sheet.place(0), "empty_row", lambda row: texts[row], lambda _: "a row in which some symbol has a bar"
    )


def _check_file(
    names: list[str], layout: list[SymbolColumns], cells: list[Any], out: Findings
) -> tuple[str, str, ExtendedHours | None]:
    """Calendar and hours that the file says it is of, once layout and digest are checked."""
    columns = range(len(names) - len(FILE_COLUMNS), len(names))
    said = (_same_throughout(names, cells, column, out) for column in columns)
    schema, calendar, hours, _, warnings, digest = said
    if schema != SCHEMA:
        out.add("schema[line 2]", "schema", schema, SCHEMA)
    for symbol in sorted({*warnings.split()} - {block.symbol for block in layout}):
        out.add("warnings[line 2]", "unexpected", symbol, "symbols of the file")
    total = digest_of_texts(names[:-1], cells[:-1])
    if digest != total:
        out.add("digest[line 2]", "digest", digest, f"{total}, computed from all other cells")
    kind, _, times = hours.partition(" ")
    try:
        extended = ExtendedHours(*map(time.fromisoformat, times.split())) if times else None
    except (TypeError, ValueError):
        out.add("hours[line 2]", "bad_time", hours, "extended, with three times of day or none")
        return calendar, kind, None
    return calendar, kind, extended


def _session(
    stamps: IntArray, name: str, hours: str, extended: ExtendedHours | None, out: Findings
) -> tuple[Sessions, int] | None:
    """The session that the middle stamp lies in; all others have to lie in it too."""
    middle = np.datetime64(int(stamps[len(stamps) // 2]), "ns").astype("datetime64[D]").item()
    try:
        around = (middle - timedelta(days=1), middle + timedelta(days=1))
        calendar = load_calendar(name, *around, hours=hours, extended=extended, source=cached_sessions)
    except (BarrayError, OverflowError, ValueError) as error:
        out.add("timestamp", "calendar", str(middle), str(error))
        return None
    sessions = calendar.sessions
    row = max(int(np.searchsorted(sessions.open_ns, np.sort(stamps)[len(stamps) // 2], side="right")) - 1, 0)
    steps = np.diff(stamps, prepend=stamps[:1] - 1)

    def place(nth: int) -> str:
        return f"timestamp[line {nth + 2}]"

    def stamp(nth: int) -> str:
        return format_ns(stamps[nth])

    out.rows(steps == 0, place, "duplicate_stamp", stamp, lambda _: "every stamp once")
    out.rows(steps < 0, place, "unsorted_stamp", stamp, lambda nth: f"a stamp after {stamp(nth - 1)}")
    outside = (stamps < sessions.open_ns[row]) | (stamps >= sessions.close_ns[row])
    outside |= (stamps >= sessions.break_start_ns[row]) & (stamps < sessions.break_end_ns[row])
    expected = f"a stamp in the {hours} hours of {calendar.name} on {sessions.dates[row]}"
    out.rows(outside, place, "outside_session", stamp, lambda _: expected)
    return None if outside.any() or (steps <= 0).any() else (sessions, row)


def _numbers(sheet: _Sheet, column: int, out: Findings) -> FloatArray:
    """float64 (n,), NaN where the cell is empty or no number (a violation)."""
    texts = sheet.cells[column]
    empty = pa.compute.equal(texts, "")
    try:
        numbers = pa.compute.if_else(empty, None, texts).cast(pa.float64())
        values: FloatArray = numbers.to_numpy(zero_copy_only=False)
        wrong = ~np.isfinite(values) & ~np.asarray(empty)
    except pa.ArrowInvalid:
        values = np.array([_number(text) for text in texts.to_pylist()])
        wrong = ~np.isfinite(values) & ~np.asarray(empty)
    if wrong.any():
        out.rows(wrong, sheet.place(column), "bad_number", sheet.text(column), lambda _: "a number, or nothing")
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_bars(sheet: _Sheet, columns: SymbolColumns, out: Findings) -> NDArray[np.bool_]:
    """Mask (n,) of the rows in which the symbol has a bar: all five values or none, and sane ones."""
    table = [_numbers(sheet, columns.first + nth, out) for nth in range(len(COLUMNS))]
    empty = [sheet.empty(columns.first + nth) for nth in range(len(COLUMNS))]
    none: NDArray[np.bool_] = np.logical_and.reduce(empty)
    for nth, lacking in enumerate(empty):
        partly = lacking & ~none
        out.rows(
            partly, sheet.place(columns.first + nth), "missing", lambda _: "nothing", lambda _: "a value, as beside it"
        )
    bars = Bars(sheet.stamps.copy(), *table)
    wrong = np.flatnonzero(~sane_rows(bars) & np.isfinite(table).all(axis=0)).tolist()
    problems = {row: str(value_problem(bars[row])) for row in wrong}
    out.each(
        list(problems),
        lambda row: sheet.place(columns.first + COLUMNS.index(problems[row].split()[0]))(row),
        "bad_values",
        lambda row: problems[row],
        lambda _: "low <= open, close <= high, nothing negative",
    )
    return ~none


def _check_indicators(sheet: _Sheet, columns: SymbolColumns, present: NDArray[np.bool_], out: Findings) -> None:
    for column in columns.indicators:
        stray = ~np.isnan(_numbers(sheet, column, out)) & ~present
        if stray.any():
            out.rows(
                stray, sheet.place(column), "unexpected", sheet.text(column), lambda _: "nothing: no bar in this row"
            )


def _check_metadata(sheet: _Sheet, columns: SymbolColumns, out: Findings) -> None:
    texts = range(columns.quality + 1, columns.last)
    values = [_same_throughout(sheet.names, sheet.cells, column, out) for column in texts]
    place = f"{columns.symbol}_{{{','.join(METADATA_COLUMNS)}}}"
    for problem in metadata_problems(*({"true": True, "false": False}.get(value, value) for value in values)):
        out.add(place, "truth_table", problem, "one of the states of a symbol")


def _same_throughout(names: list[str], cells: list[Any], column: int, out: Findings) -> str:
    """The text in the first row, which all others have to repeat."""
    texts = cells[column]
    first = str(texts[0])
    changed = np.asarray(pa.compute.not_equal(texts, first))
    out.rows(
        changed,
        lambda row: f"{names[column]}[line {row + 2}]",
        "metadata",
        lambda row: str(texts[row]),
        lambda _: f"{first}, as in line 2",
    )
    return first


def _check_quality(
    sheet: _Sheet, columns: SymbolColumns, present: NDArray[np.bool_], usual: Interval | None, out: Findings
) -> Interval | None:
    """Compute the share again for the symbol's interval, which the file does not tell: the one that fits. Gives it."""
    column = columns.quality
    found = _numbers(sheet, column, out)
    if not present.any() and np.isnan(found).all():
        return usual
    best: tuple[int, Interval, FloatArray] | None = None
    for interval in _candidates(sheet, present, usual):
        starts = sheet.stamps[present]
        close_ns = int(sheet.sessions.close_ns[sheet.row])
        ends = np.minimum(starts + interval.ns, close_ns) if interval.is_intraday else np.full(len(starts), close_ns)
        share = quality_so_far(sheet.stamps, ends, interval, sheet.sessions, sheet.row)
        wrong = int(np.count_nonzero((found != share) & ~(np.isnan(found) & np.isnan(share))))
        if wrong == 0:
            return interval
        if best is None or wrong < best[0]:
            best = wrong, interval, share
    if best:
        _, interval, share = best
        out.values(found, share, sheet.place(column), "quality", lambda value: value)
    return usual


def _candidates(sheet: _Sheet, present: NDArray[np.bool_], usual: Interval | None) -> list[Interval]:
    """Intervals on whose grid the symbol's bars lie, the likeliest first."""
    offsets = sheet.stamps[present] - sheet.sessions.open_ns[sheet.row]
    step_s = int(np.gcd.reduce(offsets)) // 1_000_000_000 if len(offsets) else 0
    own = [Interval.parse(f"{step_s}s")] if 0 < step_s < 86_400 else []
    fitting = [step for step in _STEPS if (step_s * 1_000_000_000) % step.ns == 0 or (step_s == 0 and step.unit == "d")]
    return list(dict.fromkeys([*([usual] if usual and usual in fitting else []), *own, *fitting]))
