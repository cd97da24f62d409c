"""Checks of a symbol's bars and indicators: bars given have to be possible, all others are computed from them again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.dump.checks.names import read_indicator, read_interval
from barray.dump.checks.schema import bad_stamps, parse_stamps
from barray.dump.checks.session import SessionFacts
from barray.dump.schema import DERIVED_KEYS, IndicatorJson, SeriesJson, bars_dumped, digest, values_dumped
from barray.dump.violations import Findings
from barray.market.bars import COLUMNS, Bars, IntArray, format_ns, value_problem
from barray.market.calendar import Sessions
from barray.market.daily import between, derive_beside
from barray.market.errors import DataError
from barray.market.indicators import compute
from barray.market.interval import DAY, Interval
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions

Place = Callable[[int], str]


def is_given(interval: Interval, base: Interval | None) -> bool:
    """Whether bars of `interval` come from outside: those of the base interval, and those it does not serve (adhoc)."""
    return base is None or interval == base or not base.derives(interval)


def rebuild_bars(
    entries: dict[str, SeriesJson],
    place: str,
    base: Interval | None,
    adhoc: dict[Interval, IntArray],
    facts: SessionFacts,
    out: Findings,
) -> dict[Interval, IntervalBars]:
    """The whole series of every interval (more rows than a dump holds), computed from the bars given.

    Deviations go to `out`. An interval is left out where the bars it is computed from are broken.
    """
    intervals = {text: read_interval(text, f"{place}.{text}", out) for text in entries}
    known = {interval: entries[text] for text, interval in intervals.items() if interval}
    series: dict[Interval, IntervalBars] = {}
    for interval, entry in known.items():
        if is_given(interval, base):
            laid = _lay(entry, f"{place}.{interval}", interval, facts, out)
            if laid is not None:
                _check_history(laid, f"{place}.{interval}", adhoc.get(interval), facts, out)
                series[interval] = laid
    if base is None or base not in series:
        return series
    context = facts.context
    daily = _daily(known.get(DAY), f"{place}.{DAY}", facts, out)
    for interval, entry in known.items():
        if not is_given(interval, base):
            whole = derive_beside(series[base], daily, interval, context.sessions, context.row)
            series[interval] = whole = whole.take(slice(0, whole.closed_by(facts.now_ns)))
            _check_derived(entry, whole.take(bars_dumped(whole)), f"{place}.{interval}", out)
    return series


def _daily(entry: SeriesJson | None, place: str, facts: SessionFacts, out: Findings) -> IntervalBars | None:
    """The daily bars that a source gave, which stand before those that are derived."""
    context = facts.context
    if context.daily_row is None:
        return None
    count = entry.get("given", 0) if entry else 0
    starts = _stamps(entry, place, COLUMNS, Findings()) if entry else None
    nothing = _no_days(context)
    if entry is None or starts is None or not 0 < count <= len(starts):
        return nothing
    bars = Bars(starts[:count], *(np.array(entry[name][:count], np.float64) for name in COLUMNS))  # type: ignore[literal-required]
    try:
        laid = lay_on_sessions(
            bars, DAY, context.sessions, context.row, symbol="", source="dump", prices=context.prices
        )
    except DataError:
        laid = nothing
    if len(between(laid, context.daily_row, context.history_row)) < count:
        before = len(out)
        _diagnose(bars, place, DAY, facts, out)
        if len(out) == before:
            days = f"{context.daily_dates[0]} to {context.daily_dates[-1]}"
            out.add(f"{place}.given", "bad_bars", f"{count} bars", f"bars of sessions from {days}")
        return nothing
    if entry.get("digest") != digest(bars):
        out.add(f"{place}.digest", "digest", entry.get("digest"), f"{digest(bars)}, computed from the bars given")
    return laid


def _no_days(context: SessionContext) -> IntervalBars:
    return lay_on_sessions(Bars.empty(), DAY, context.sessions, context.row, symbol="", source="dump")


def days_given(series: dict[Interval, IntervalBars], context: SessionContext) -> IntervalBars | None:
    """Of rebuilt series: the daily bars that a source gave, None where the session has no such history."""
    days = series.get(DAY)
    if context.daily_row is None:
        return None
    return days.take(slice(0, days.given)) if days is not None else _no_days(context)


def _lay(entry: SeriesJson, place: str, interval: Interval, facts: SessionFacts, out: Findings) -> IntervalBars | None:
    _check_keys(entry, place, needed=("digest",), foreign=(*DERIVED_KEYS, "given"), out=out)
    starts = _stamps(entry, place, COLUMNS, out)
    if starts is None:
        return None
    bars = Bars(starts, *(np.array(entry[name], np.float64) for name in COLUMNS))  # type: ignore[literal-required]
    context = facts.context
    try:
        laid = lay_on_sessions(
            bars, interval, context.sessions, context.row, symbol="", source="dump", prices=context.prices
        )
    except DataError:
        laid = None
    if laid is None or len(laid) < len(bars) or laid.closed_by(facts.now_ns) < len(bars):
        before = len(out)
        _diagnose(bars, place, interval, facts, out)
        if len(out) == before:
            out.add(place, "bad_bars", f"{len(bars)} bars", "bars inside the sessions, in order")
        return None
    if "digest" in entry and entry["digest"] != digest(bars):
        out.add(f"{place}.digest", "digest", entry["digest"], f"{digest(bars)}, computed from these bars")
    return laid


def _check_history(laid: IntervalBars, place: str, adhoc: IntArray | None, facts: SessionFacts, out: Findings) -> None:
    """Bars older than the history asked for can only be adhoc ones."""

    def no_row(row: int) -> str:
        return "no bar before the history, but for adhoc ones"

    context, starts = facts.context, laid.bars.start_ns
    first = int(np.searchsorted(context.sessions.week, context.sessions.week[context.history_row]))
    early = laid.session < (first if laid.interval.unit == "w" else context.history_row)
    if early.any():
        early &= ~np.isin(starts, adhoc if adhoc is not None else starts[:0])
        out.rows(early, _stamp_place(place), "before_history", lambda row: format_ns(starts[row]), no_row)


def _check_keys(
    entry: SeriesJson, place: str, *, needed: Collection[str], foreign: Collection[str], out: Findings
) -> bool:
    """Given and derived bars have different keys; whether the needed ones are there."""
    for name in foreign:
        if name in entry:
            out.add(f"{place}.{name}", "unknown_key", "this key", "no such key on these bars")
    missing = [name for name in needed if name not in entry]
    for name in missing:
        out.add(f"{place}.{name}", "missing", "nothing", "this key")
    return not missing


def _stamps(entry: SeriesJson, place: str, columns: Collection[str], out: Findings) -> IntArray | None:
    """The stamps; None where they are malformed or a column has another length."""
    rows = len(entry["timestamp"])
    lengths = {name: len(entry[name]) for name in columns}  # type: ignore[literal-required]
    wrong = {name: length for name, length in lengths.items() if length != rows}
    for name, length in wrong.items():
        out.add(f"{place}.{name}", "length", f"{length} values", f"{rows}, one a timestamp")
    starts = parse_stamps(entry["timestamp"])
    if starts is None:
        bad_stamps(entry["timestamp"], _stamp_place(place), out)
    return None if wrong else starts


def _stamp_place(place: str) -> Place:
    return lambda row: f"{place}[{row}].timestamp"


def _diagnose(bars: Bars, place: str, interval: Interval, facts: SessionFacts, out: Findings) -> None:
    """Name every bar that cannot be where or what it is."""
    sessions, starts, at = facts.context.sessions, bars.start_ns, _stamp_place(place)

    def stamp(row: int) -> str:
        return format_ns(starts[row])

    steps = np.diff(starts, prepend=starts[:1] - 1)
    out.rows(steps == 0, at, "duplicate_stamp", stamp, lambda _: "every stamp once")
    out.rows(steps < 0, at, "unsorted_stamp", stamp, lambda row: f"a stamp after {stamp(row - 1)}")
    row = np.searchsorted(sessions.open_ns, starts, side="right") - 1
    session = np.maximum(row, 0)
    inside = (row >= 0) & (starts < sessions.close_ns[session])
    if interval.is_intraday:
        inside &= (starts < sessions.break_start_ns[session]) | (starts >= sessions.break_end_ns[session])
    hours = f"a stamp in the {facts.context.hours} hours of a session from {sessions.dates[0]} to {sessions.dates[-1]}"
    out.rows(~inside, at, "outside_session", stamp, lambda _: hours)
    offset = starts - sessions.open_ns[session]
    off_grid = inside & ((offset % interval.ns if interval.is_intraday else offset) != 0)
    out.rows(off_grid, at, "off_grid", stamp, lambda _: f"a whole number of {interval} after the session open")
    late = inside & ~off_grid & (_ends(starts, session, interval, sessions) > facts.now_ns)
    out.rows(late, at, "after_now", stamp, lambda _: f"a bar closed by {format_ns(facts.now_ns)}")
    prices = facts.context.prices
    problems = {row: problem for row in range(len(bars)) if (problem := value_problem(bars[row], prices))}
    out.each(
        list(problems),
        lambda row: f"{place}[{row}].{problems[row].split()[0]}",  # the sentence begins with the column at fault
        "bad_values",
        lambda row: problems[row],
        lambda _: "low <= open, close <= high, nothing negative",
    )


def _ends(starts: IntArray, session: NDArray[np.intp], interval: Interval, sessions: Sessions) -> IntArray:
    if interval.unit == "w":
        return sessions.close_ns[np.searchsorted(sessions.week, sessions.week[session], side="right") - 1]
    if interval.unit == "d":
        return sessions.close_ns[session]
    return np.minimum(starts + interval.ns, sessions.close_ns[session])


def _check_derived(entry: SeriesJson, expected: IntervalBars, place: str, out: Findings) -> None:
    code = "derived_bar"
    check_history_count(entry, expected, place, out)
    foreign = () if expected.given else ("digest", "given")
    needed = (*DERIVED_KEYS, "digest", "given") if expected.given else DERIVED_KEYS
    if not _check_keys(entry, place, needed=needed, foreign=foreign, out=out):
        return
    if entry["derived_from"] != str(expected.derived_from):
        out.add(f"{place}.derived_from", code, entry["derived_from"], str(expected.derived_from))
    starts = _stamps(entry, place, (*COLUMNS, *DERIVED_KEYS[:-1]), out)
    if starts is None or not _same_stamps(starts, expected.bars.start_ns, place, out):
        return
    ends = parse_stamps(entry["end"])
    if ends is None:
        bad_stamps(entry["end"], lambda row: f"{place}[{row}].end", out)
    else:
        out.values(ends, expected.end_ns, lambda row: f"{place}[{row}].end", code, format_ns)
    for name in COLUMNS:
        _compare(entry, name, getattr(expected.bars, name), place, out)
    for name in ("expected", "actual", "complete"):
        _compare(entry, name, getattr(expected, name), place, out)


def _compare(entry: SeriesJson, name: str, expected: NDArray[Any], place: str, out: Findings) -> None:
    kind = np.int64 if expected.dtype.kind == "i" else expected.dtype
    found = np.array(entry[name], kind)  # type: ignore[literal-required]
    out.values(found, expected, lambda row: f"{place}[{row}].{name}", "derived_bar", lambda value: value)


def check_history_count(entry: SeriesJson, expected: IntervalBars, place: str, out: Findings) -> None:
    """`history` counts the leading bars that closed before the session opened."""
    if entry["history"] != expected.history:
        out.add(f"{place}.history", "history", entry["history"], expected.history)


def _same_stamps(found: IntArray, expected: IntArray, place: str, out: Findings) -> bool:
    if np.array_equal(found, expected):
        return True
    at = _stamp_place(place)
    lacking = np.flatnonzero(~np.isin(expected, found)).tolist()
    out.each(lacking, at, "missing_bar", lambda row: "no such bar", lambda row: format_ns(expected[row]))
    foreign = ~np.isin(found, expected)
    out.rows(
        foreign, at, "unexpected_bar", lambda row: format_ns(found[row]), lambda _: "no bar: no base bars lie in it"
    )
    steps = np.diff(found, prepend=found[:1] - 1)
    out.rows(steps == 0, at, "duplicate_stamp", lambda row: format_ns(found[row]), lambda _: "every stamp once")
    out.rows(steps < 0, at, "unsorted_stamp", lambda row: format_ns(found[row]), lambda _: "stamps in order")
    return False


def check_indicators(
    entries: dict[str, IndicatorJson], place: str, series: dict[Interval, IntervalBars], out: Findings
) -> None:
    """Every value of every indicator, computed again over the rebuilt series of its interval."""
    for key, entry in entries.items():
        spec = read_indicator(key, f"{place}.{key}", out)
        bars = series.get(spec.interval) if spec else None
        if spec is None or bars is None:
            continue  # the missing or broken bars are a violation already
        rows = values_dumped(bars)
        try:
            values = compute(spec, bars).take(rows).values
        except Exception as error:  # TA-Lib raises bare Exception
            out.add(f"{place}.{key}", "not_computable", str(error), "an indicator of bars")
            continue
        facts = {"interval": str(spec.interval), "convention": spec.convention, "outputs": list(values)}
        shown = {"interval": entry["interval"], "convention": entry["convention"], "outputs": list(entry["values"])}
        first_bar = rows.start - bars_dumped(bars).start
        out.tree(
            {**shown, "first_bar": entry["first_bar"]}, {**facts, "first_bar": first_bar}, f"{place}.{key}", "indicator"
        )
        for output, column in values.items():
            _check_values(entry["values"].get(output), column, f"{place}.{key}.values.{output}", out)


def _check_values(entry: list[float | None] | None, column: NDArray[np.float64], place: str, out: Findings) -> None:
    if entry is None:
        return  # named among the outputs already
    if len(entry) != len(column):
        out.add(place, "length", f"{len(entry)} values", f"{len(column)}, one a bar")
        return
    found = np.array(entry, np.float64)  # null becomes NaN
    expected = np.where(np.isfinite(column), column, np.nan)
    out.values(found, expected, lambda row: f"{place}[{row}]", "indicator", lambda value: value)
