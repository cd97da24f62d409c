"""A running session watched from a second terminal: a table written anew, or lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from barray.cli.console import note, stdout
from barray.market.bars import format_ns
from barray.market.errors import BarrayError, shorten
from barray.market.reason_codes import ALL_IS_LOST

if TYPE_CHECKING:
    from barray.attached import AttachedSession
    from barray.market.symbol_data import SymbolSessionData

_COUNTED = ("full", "adhoc", "pending", "dropped")
_MOST_DROPS = 5


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
        now = status if as_json else [status[key] for key in ("session_date", "phase", "pace")]
        if now == before:
            continue
        before = now
        text = json.dumps(status) if as_json else " ".join(_headline(status).values())
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    note(f"{attached.name} has ended")


def show_table(attached: AttachedSession, every_s: float, rows: int) -> None:
    """Where it stands, and the last bars of its first `rows` symbols."""
    with Live(console=stdout, auto_refresh=False, transient=False) as live:
        for status in statuses(attached, every_s):
            live.update(table(status, _snapshots(attached, status, rows)), refresh=True)
    note(f"{attached.name} has ended")


def _snapshots(attached: AttachedSession, status: Mapping[str, Any], rows: int) -> list[SymbolSessionData]:
    symbols = sorted([*status["full"], *status["adhoc"]])[:rows]
    if status["phase"] not in ("running", "ended") or not symbols:
        return []
    try:
        return attached.snapshots_of(symbols)
    except BarrayError:  # the session may have gone on to another phase, or ended, which the next status says
        return []


def _headline(status: Mapping[str, Any]) -> dict[str, str]:
    done, total = status["progress"]
    told = {
        "session": status["name"],
        "date": status["session_date"] or "",
        "phase": status["phase"] + (f" {done}/{total}" if total and status["phase"] != "running" else ""),
        "pace": status["pace"],
        "now": status["now"] or "",
        **{what: f"{len(status[what])} {what}" for what in _COUNTED if status[what]},
        "processes": f"{status['processes']} processes",
    }
    if fetching := status.get("fetching"):
        told["fetching"] = f"fetching {fetching['requests']}/{fetching['planned_requests']}, {fetching['rows']:,} bars"
    if live := status.get("live"):
        told["live"] = f"stream {'stale' if live['stale'] else 'flows' if live['connected'] else 'is not connected'}"
    return {key: value for key, value in told.items() if value}


def table(status: Mapping[str, Any], snapshots: list[SymbolSessionData]) -> Group:
    """What a terminal shows of a status; whatever is in it is text, never markup."""
    head = Table(title=escape(f"Session {status['name']}"), title_justify="left", show_header=False)
    for key, value in _headline(status).items():
        head.add_row(key, escape(value))
    bars = Table("symbol", "interval", "bar", "open", "high", "low", "close", "volume")
    for data in snapshots:
        name, series = next(iter(data.bars.items()), ("", None))
        if series is None or len(series) == 0:
            bars.add_row(escape(data.symbol))
            continue
        last = series.bars
        prices = (f"{getattr(last, column)[-1]:g}" for column in ("open", "high", "low", "close", "volume"))
        bars.add_row(escape(data.symbol), name, format_ns(int(last.start_ns[-1])), *prices)
    dropped = [
        f"{escape(symbol)}: dropped: {escape(shorten('; '.join(reasons)) or '')}"
        for symbol, reasons in list(status["dropped"].items())[:_MOST_DROPS]
    ]
    return Group(head, *([bars] if snapshots else []), *dropped)
