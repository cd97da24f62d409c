"""The words that scans are written in: each gives a term."""

from __future__ import annotations

from typing import Any

from barray.market.bars import COLUMNS
from barray.market.errors import ConfigError
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.trading.scans.terms import Column, DayValue, Indicator, Kind, LastBars, SessionValue, TableColumn, Term

_MOST_DAYS = 10_000


def col(what: Any, output: str | None = None) -> Term:
    """A column of the newest closed bar, `"close"` or `"close@5m"`, or an indicator's newest value, `"RSI(14)@5m"`.

    An own indicator: `col(spread @ "5m")`. `output`: which of an indicator's, `col("MACD(12,26,9)@1m", "macdhist")`; by
    default the first. A symbol that does not trade keeps its last bar, also one of a session before. ConfigError where
    there is no such column or indicator.
    """
    if isinstance(what, str) and (found := _bar_column(what)) is not None:
        return Column(*found)
    spec = parse_indicator(what)
    if output is not None and output not in spec.outputs:
        raise ConfigError(
            f"{spec.key} has no output {output!r}", remedy=f"it has: {', '.join(spec.outputs)}", code="bad_indicator"
        )
    return Indicator(spec, None if output == spec.outputs[0] else output)


def bars(name: str, n: int, interval: str | None = None) -> Term:
    """The last `n` bars of a column that the calendar expects, for `scan(self, panel)`: (n, symbols), oldest first, NaN
    where a symbol has none. ConfigError where there is no such column, or for weeks.
    """
    of = None if interval is None else Interval.parse(interval)
    if of is not None and of.unit == "w":
        raise ConfigError("bars of 1w can't be laid side by side", remedy="look at bars of 1d")
    return LastBars(_column(name), _whole(n, "bars"), of)


def gap() -> Term:
    """The session's first open against the close of the last daily bar before it: 0.02 is 2 % above."""
    return SessionValue("gap")


def change_since_open() -> Term:
    """The newest close against the session's first open: -0.01 is 1 % below."""
    return SessionValue("change_since_open")


def change() -> Term:
    """The newest close against the close of the last daily bar before the session."""
    return SessionValue("change")


def session_open() -> Term:
    """The open of the session's first bar."""
    return SessionValue("session_open")


def session_high() -> Term:
    """The session's high so far."""
    return SessionValue("session_high")


def session_low() -> Term:
    """The session's low so far."""
    return SessionValue("session_low")


def session_volume() -> Term:
    """Units traded in the session so far."""
    return SessionValue("session_volume")


def session_range() -> Term:
    """The session's high less its low so far, against its first open."""
    return SessionValue("session_range")


def vwap() -> Term:
    """The session's VWAP so far: the indicator SESSION_VWAP on bars of the base interval."""
    return SessionValue("vwap")


def relative_volume(n: int) -> Term:
    """Units traded in the session so far, against the mean of what was traded up to the same time after the open in
    those of the `n` sessions before it that had traded by then; NaN where none had.
    """
    return SessionValue("relative_volume", _whole(n, "relative_volume"))


def new_high(n: int) -> Term:
    """Whether the session's high so far is above the highs of the last `n` daily bars before it."""
    return session_high() > highest(n)


def new_low(n: int) -> Term:
    """Whether the session's low so far is below the lows of the last `n` daily bars before it."""
    return session_low() < lowest(n)


def close(n: int) -> Term:
    """The close of the `n`th last daily bar before the session: `close(1)` is the last."""
    return DayValue("close", _whole(n, "close"))


def adv(n: int) -> Term:
    """Average daily dollar volume: close times volume, the mean of the last `n` daily bars before the session; NaN
    where there are fewer.
    """
    return DayValue("adv", _whole(n, "adv"))


def average_volume(n: int) -> Term:
    """Mean volume, in units, of the last `n` daily bars before the session; NaN where there are fewer."""
    return DayValue("average_volume", _whole(n, "average_volume"))


def highest(n: int) -> Term:
    """The highest high of the last `n` daily bars before the session; NaN where there are fewer."""
    return DayValue("highest", _whole(n, "highest"))


def lowest(n: int) -> Term:
    """The lowest low of the last `n` daily bars before the session; NaN where there are fewer."""
    return DayValue("lowest", _whole(n, "lowest"))


def table(name: str, column: str, kind: Kind = "label") -> Term:
    """What a table of yours says of each symbol, as known at the time: `table("sectors", "sector")`.

    `kind`: `number` for one to compute with. ConfigError where it is neither label nor number.
    """
    if kind not in ("label", "number"):
        raise ConfigError(f"table({name!r}, {column!r}) is {kind!r}", remedy="choose label or number")
    return TableColumn(name, column, kind)


def _bar_column(what: str) -> tuple[str, Interval | None] | None:
    name, at, interval = what.partition("@")
    if name.strip() not in COLUMNS:
        return None
    return name.strip(), Interval.parse(interval) if at else None


def _column(name: Any) -> str:
    if name not in COLUMNS:
        raise ConfigError(f"there is no column {name!r}", remedy=f"use one of {', '.join(COLUMNS)}")
    return str(name)


def _whole(n: Any, where: str) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= _MOST_DAYS:
        raise ConfigError(f"{where} takes a whole number above 0, not {n!r}", remedy=f"write {where}(10)")
    return n
