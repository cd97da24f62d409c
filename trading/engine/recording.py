"""A live day's recording, as lines of JSON: each bar as it came, windows' ends, who came and went, what was decided.

Append-only; a line that was cut off is the last, and is left out. It has no code and no secret in it: the strategy is
named by its file, with a digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import orjson

from barray.market.bars import COLUMNS, Bars, IntArray
from barray.market.calendar import Sessions
from barray.market.errors import DataError
from barray.market.requirements import SessionContext
from barray.trading.engine.notes import Decision, Filled, Pages

SCHEMA = "barray.day_again/1"


def header_line(config: Mapping[str, Any], context: SessionContext, timezone: str, code: str, base: str) -> bytes:
    """What day of which config; `code`: digest of the strategy's code; `base`: the finest interval."""
    sessions = {one.name: getattr(context.sessions, one.name) for one in fields(Sessions)}
    sessions["dates"] = [str(label) for label in context.sessions.dates]
    day = {
        "calendar": context.calendar,
        "hours": context.hours,
        "date": context.session_date.isoformat(),
        "row": context.row,
        "history_row": context.history_row,
        "daily_row": context.daily_row,
        "prices": context.prices,
        "sessions": sessions,
    }
    return _line("recording", schema=SCHEMA, config=config, day=day, timezone=timezone, code=code, base=base)


def columns_line(symbol: str, interval: str, bars: Bars, at_ns: int) -> bytes:
    """Base bars that a symbol had when it joined."""
    return _line("columns", at=at_ns, symbol=symbol, interval=interval, **_columns(bars))


def bars_line(symbol: str, bars: Bars, versions: list[int], received_ns: IntArray, at_ns: int) -> bytes:
    """Bars that came before the window's end `at_ns`: which time each did, and when (UTC ns)."""
    return _line("bars", at=at_ns, symbol=symbol, **_columns(bars), version=versions, received=received_ns)


def step_line(kind: str, at_ns: int, **more: Any) -> bytes:
    """What the trader was told: `open`, `arrive`, `change` or `go`."""
    return _line(kind, at=at_ns, **more)


def pages_line(pages: Pages) -> bytes:
    """What was decided and filled."""
    return _line("pages", decisions=[asdict(one) for one in pages.decisions], fills=[list(one) for one in pages.fills])


def _line(kind: str, **values: Any) -> bytes:
    return orjson.dumps({"kind": kind, **values}, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"


def _columns(bars: Bars) -> dict[str, Any]:
    return {"start": bars.start_ns, **{name: getattr(bars, name) for name in COLUMNS}}


@dataclass(frozen=True, eq=False)
class Step:
    """One thing that the trader was told, at session time `at_ns`. `bars`: that came before it, by symbol."""

    kind: str
    at_ns: int
    bars: Mapping[str, Bars]
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording, read. `columns`: base bars by symbol, as they were when it joined, time after time."""

    config: Mapping[str, Any]
    context: SessionContext
    timezone: str
    code: str
    base: str
    columns: Mapping[str, list[Bars]] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    pages: Pages = field(default_factory=Pages)


def read_recording(lines: Iterable[bytes], where: str) -> Recording:
    """The recording in these lines; DataError where they are none."""
    found = _parsed(lines, where)
    try:
        head = next(found)
        if head.get("schema") != SCHEMA:
            raise DataError(f"{where}: its schema is {head.get('schema')!r}", remedy=f"give a recording, {SCHEMA}")
        return _read(head, found)
    except (StopIteration, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where} is no recording of a day: {error!r}", remedy="give one of a live session") from error


def _parsed(lines: Iterable[bytes], where: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):  # it was cut off
            return
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise DataError(f"{where} line {number}: {error}", remedy="give a recording as it was written") from error


def _read(head: Mapping[str, Any], lines: Iterator[dict[str, Any]]) -> Recording:
    columns: dict[str, list[Bars]] = {}
    steps, decisions, fills = list[Step](), list[Decision](), list[Filled]()
    waiting: dict[str, list[Bars]] = {}
    for line in lines:
        match line["kind"]:
            case "columns":
                columns.setdefault(line["symbol"], []).append(_bars(line))
            case "bars":
                waiting.setdefault(line["symbol"], []).append(_bars(line))
            case "pages":
                decisions += [Decision(**one) for one in line["decisions"]]
                fills += [Filled(*one) for one in line["fills"]]
            case kind:
                bars = {symbol: Bars.concat(parts) for symbol, parts in waiting.items()}
                steps.append(Step(kind, line["at"], bars, tuple(line.get("joined", ())), tuple(line.get("left", ()))))
                waiting = {}
    pages = Pages(tuple(decisions), tuple(fills))
    told = head["config"], _context(head["day"]), head["timezone"], head["code"], head["base"]
    return Recording(*told, columns, tuple(steps), pages)


def _bars(line: Mapping[str, Any]) -> Bars:
    return Bars(np.array(line["start"], np.int64), *(np.array(line[name], np.float64) for name in COLUMNS))


def _context(day: Mapping[str, Any]) -> SessionContext:
    told = dict(day["sessions"])
    dates = np.array(told.pop("dates"), "datetime64[D]")
    sessions = Sessions(dates=dates, **{name: np.array(values, np.int64) for name, values in told.items()})
    label = dates[day["row"]].item()
    return SessionContext(
        day["calendar"],
        day["hours"],
        label,
        sessions,
        day["row"],
        day["history_row"],
        live=True,
        prices=day["prices"],
        daily_row=day["daily_row"],
    )
