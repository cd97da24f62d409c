"""A live day's recording, as lines of JSON: each bar as it came, windows' ends, who came and went, what was decided,
and of scans the universe's bars, what was found and what was asked for.

Append-only; a line that was cut off is the last, and is left out. It has no code and no secret in it: the strategy is
named by its file, with a digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import orjson

from barray.market.bars import COLUMNS, Bars, IntArray
from barray.market.calendar import Sessions
from barray.market.errors import DataError
from barray.market.requirements import SessionContext
from barray.market.universe.growing import Tape
from barray.trading.engine.notes import Decision, Filled, Pages
from barray.trading.scans.follow import ScanStep
from barray.trading.scans.step_json import step_json

SCHEMA = "barray.day_again/2"
_SCHEMAS = ("barray.day_again/1", SCHEMA)
"""Those that can be read: 1 has no scans."""


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


def universe_line(symbols: Sequence[str], code: Mapping[str, str], at_ns: int) -> bytes:
    """Symbols that scans look at; what follows names them by their positions. `code`: digests of scans, by name."""
    return _line("universe", at=at_ns, symbols=list(symbols), code=code)


def looked_at_line(tape: Tape, versions: list[int], received_ns: IntArray, at_ns: int) -> bytes:
    """Bars of the universe that came, by which scans look from session time `at_ns` on. What is the same of all of them
    stands there once.
    """
    columns = {name: getattr(tape.bars, name) for name in COLUMNS}
    told = {"start": tape.bars.start_ns, "version": np.array(versions), "received": received_ns}
    once = {name: int(own[0]) if (own == own[0]).all() else own for name, own in told.items()}
    return _line("looked_at", at=at_ns, who=tape.who, **once, **columns)


def look_line(at_ns: int, step: ScanStep | None) -> bytes:
    """A time at which scans ran, by the bars before this line: who was found, what was asked of the session, and what
    came of it; None where no scan was left to find anybody.
    """
    return _line("look", at=at_ns, step=None if step is None else step_json(step))


def scans_ended_line(reason: str, at_ns: int) -> bytes:
    """No scan runs any more."""
    return _line("scans_ended", at=at_ns, reason=reason)


def pages_line(pages: Pages) -> bytes:
    """What was decided and filled."""
    return _line("pages", decisions=[asdict(one) for one in pages.decisions], fills=[list(one) for one in pages.fills])


def _line(kind: str, **values: Any) -> bytes:
    return orjson.dumps({"kind": kind, **values}, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"


def _columns(bars: Bars) -> dict[str, Any]:
    return {"start": bars.start_ns, **{name: getattr(bars, name) for name in COLUMNS}}


@dataclass(frozen=True, eq=False)
class Step:
    """One thing that the trader was told, at session time `at_ns`. `bars`: that came before it, by symbol; `line`: its
    number among the recording's lines.
    """

    kind: str
    at_ns: int
    bars: Mapping[str, Bars]
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, eq=False)
class LookedAt:
    """Bars of the universe that came by session time `at_ns`, as scans were given them."""

    at_ns: int
    tape: Tape
    received_ns: IntArray


@dataclass(frozen=True, eq=False)
class Look:
    """A time at which scans ran. `bars`: that came since the look before; `step` as `step_json` tells it, None where
    nothing was found; `line`: its number among the recording's lines.
    """

    at_ns: int
    bars: tuple[LookedAt, ...]
    step: Mapping[str, Any] | None
    line: int = 0


@dataclass(frozen=True, eq=False)
class Scanned:
    """What a recording has of scans. `universe`: symbols, which bars name by position; `code`: digests of scans, by
    name; `since_ns`: from when on they ran, UTC ns; `later`: bars that came after the last look; `ended`: when no scan
    ran any more before the day was over, UTC ns, and why.
    """

    universe: tuple[str, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)
    since_ns: int = 0
    looks: tuple[Look, ...] = ()
    later: tuple[LookedAt, ...] = ()
    ended: tuple[int, str] | None = None

    @property
    def looked_at(self) -> tuple[LookedAt, ...]:
        """All bars, as they came."""
        return (*(one for look in self.looks for one in look.bars), *self.later)

    @property
    def steps(self) -> tuple[Mapping[str, Any], ...]:
        """What was found and asked for."""
        return tuple(look.step for look in self.looks if look.step is not None)


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
    scanned: Scanned = field(default_factory=Scanned)

    @property
    def in_order(self) -> tuple[Step | Look, ...]:
        """What the trader was told, and when scans ran, as it happened."""
        return tuple(sorted((*self.steps, *self.scanned.looks), key=lambda one: one.line))


def read_recording(lines: Iterable[bytes], where: str) -> Recording:
    """The recording in these lines; DataError where they are none."""
    found = _parsed(lines, where)
    try:
        head = next(found)
        if head.get("schema") not in _SCHEMAS:
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
    scanned, looks, came = Scanned(), list[Look](), list[LookedAt]()
    for number, line in enumerate(lines, start=2):
        match line["kind"]:
            case "columns":
                columns.setdefault(line["symbol"], []).append(_bars(line))
            case "bars":
                waiting.setdefault(line["symbol"], []).append(_bars(line))
            case "pages":
                decisions += [Decision(**one) for one in line["decisions"]]
                fills += [Filled(*one) for one in line["fills"]]
            case "universe":
                scanned = Scanned(tuple(line["symbols"]), line["code"], line["at"])
            case "looked_at":
                came.append(_looked_at(line))
            case "look":
                looks.append(Look(line["at"], tuple(came), line["step"], number))
                came = []
            case "scans_ended":
                scanned = replace(scanned, ended=(line["at"], line["reason"]))
            case kind:
                bars = {symbol: Bars.concat(parts) for symbol, parts in waiting.items()}
                joined, left = (tuple(line.get(name, ())) for name in ("joined", "left"))
                steps.append(Step(kind, line["at"], bars, joined, left, number))
                waiting = {}
    pages = Pages(tuple(decisions), tuple(fills))
    told = head["config"], _context(head["day"]), head["timezone"], head["code"], head["base"]
    scanned = replace(scanned, looks=tuple(looks), later=tuple(came))
    return Recording(*told, columns, tuple(steps), pages, scanned)


def _looked_at(line: Mapping[str, Any]) -> LookedAt:
    who = np.array(line["who"], np.int64)
    starts, received = (np.broadcast_to(np.array(line[name], np.int64), who.shape) for name in ("start", "received"))
    bars = Bars(starts.copy(), *(np.array(line[name], np.float64) for name in COLUMNS))
    return LookedAt(line["at"], Tape(who, bars), received)


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
