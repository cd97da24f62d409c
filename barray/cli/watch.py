"""A running session watched from a second terminal: a table written anew, or lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from barray.cli.console import note, stdout
from barray.market.bars import format_ns
from barray.market.errors import BarrayError, shorten
from barray.market.reason_codes import ALL_IS_LOST

if TYPE_CHECKING:
    from barray.attached import AttachedSession
    from barray.market.symbol_data import SymbolSessionData

_COUNTED = ("full", "adhoc", "pending", "dropped")
_MOST_DROPS = 5
_AROUND = 4
"""Lines beside the head, symbols and drops: the table's own, that there are more, and where the cursor stands."""
_COLUMNS = ((64, ("open", "high", "low", "close", "volume")), (40, ("close", "volume")), (0, ("close",)))
"""By the terminal's width."""


def statuses(attached: AttachedSession, every_s: float) -> Iterator[dict[str, Any]]:
    """What the session says of itself, again and again, until it has ended with what drives it."""
    while True:
        try:
            yield attached.status()
        except BarrayError as error:
            if error.code in ALL_IS_LOST:
                return
            raise
        time.sleep(every_s)


def show_lines(attached: AttachedSession, every_s: float, *, as_json: bool) -> None:
    """A line for each status that differs from the one before in date, phase or pace; with `as_json`, in anything."""
    before: object = None
    for status in statuses(attached, every_s):
        now = status if as_json else [status.get(key) for key in ("session_date", "phase", "pace")]
        if now == before:
            continue
        before = now
        text = json.dumps(status) if as_json else " ".join(_headline(status).values())
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    note(f"{attached.name} has ended")


def show_table(attached: AttachedSession, every_s: float, rows: int) -> None:
    """Where it stands, and the last bars of its first `rows` symbols, as far as the terminal has room."""
    with Live(console=stdout, auto_refresh=False) as live:
        for status in statuses(attached, every_s):
            size = stdout.size  # it may change at any time
            shown = _snapshots(attached, status, min(rows, size.height))
            live.update(table(status, shown, size.width, size.height), refresh=True)
    note(f"{attached.name} has ended")


def _snapshots(attached: AttachedSession, status: Mapping[str, Any], rows: int) -> list[SymbolSessionData]:
    symbols = _symbols(status)[:rows]
    if status["phase"] not in ("running", "ended") or not symbols:
        return []
    try:
        return attached.snapshots_of(symbols)
    except BarrayError:  # the session may have gone on to another phase, or ended, which the next status says
        return []


def _symbols(status: Mapping[str, Any]) -> list[str]:
    return sorted([*status.get("full", ()), *status.get("adhoc", ())])


def _headline(status: Mapping[str, Any]) -> dict[str, str]:
    done, total = status["progress"]
    counts = total and (status["phase"] != "running" or "full" not in status)  # a session's is of its start
    told = {
        "session": status["name"],
        "date": status["session_date"] or "",
        "phase": status["phase"] + (f" {done}/{total}" if counts else ""),
        "pace": status.get("pace", ""),
        "now": status["now"] or "",
        **{what: f"{len(status[what])} {what}" for what in _COUNTED if status.get(what)},
        "processes": f"{status['processes']} processes",
    }
    if status["restarts"]:
        told["restarts"] = f"{status['restarts']} restarted"
    if fetching := status.get("fetching"):
        told["fetching"] = f"fetching {fetching['requests']}/{fetching['planned_requests']}, {fetching['rows']:,} bars"
    if live := status.get("live"):
        told["live"] = f"stream {'stale' if live['stale'] else 'flows' if live['connected'] else 'is not connected'}"
    return {key: value for key, value in told.items() if value}


def table(status: Mapping[str, Any], snapshots: Sequence[SymbolSessionData], width: int, height: int) -> Group:
    """What a terminal of so many columns and lines shows of a status; whatever is in it is text, never markup."""
    lines = Text(" · ".join(_headline(status).values())).wrap(stdout, width)
    dropped = [
        Text(f"{shorten(symbol)}: dropped: {'; '.join(reasons)}", no_wrap=True, overflow="ellipsis")
        for symbol, reasons in list(status.get("dropped", {}).items())[:_MOST_DROPS]
    ]
    room = height - len(lines) - len(dropped) - _AROUND
    shown, symbols = snapshots[: max(room, 0)], len(_symbols(status))
    more = [Text(f"and {symbols - len(shown)} more symbols", "dim")] if 0 < len(shown) < symbols else []
    return Group(*lines, *([_bars(shown, width)] if shown else []), *more, *dropped)


def _bars(snapshots: Sequence[SymbolSessionData], width: int) -> Table:
    """The last bar of each: of its columns those that there is room for."""
    columns = next(columns for least, columns in _COLUMNS if width >= least)
    bars = Table(box=SIMPLE_HEAD, show_edge=False)
    for name in ("symbol", "bar", *columns):
        bars.add_column(name, justify="left" if name in ("symbol", "bar") else "right", no_wrap=True)
    for data in snapshots:
        name, series = next(iter(data.bars.items()), ("", None))
        if series is None or len(series) == 0:
            bars.add_row(escape(data.symbol))
            continue
        last = series.bars
        stamp = format_ns(int(last.start_ns[-1]))
        values = {column: float(getattr(last, column)[-1]) for column in columns}
        numbers = (f"{value:,.0f}" if column == "volume" else f"{value:.10g}" for column, value in values.items())
        bars.add_row(escape(data.symbol), f"{name} {stamp[11:16]}Z", *numbers)
    return bars
