"""A small session with every kind of symbol, made by the real state machine over synthetic bars."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from barray.coordinator.summary import SessionEvent, SessionSummary
from barray.dump.writers.json import write_json
from barray.market.bars import Bar, Bars
from barray.market.commands import AddAdhocBar, AddAdhocIndicator, Load, Provision, TakeSnapshot
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.requirements import SessionContext, SymbolRequirements, calendar_for, session_context
from barray.market.symbol_data import SymbolSessionData
from barray.market.symbol_session import SymbolSession
from barray.market.validation import Reason, SymbolValidationResult
from tests.market.builders import (
    MINUTE_NS,
    WEDNESDAY,
    MemoryReader,
    flat,
    require,
    run,
    session_walk,
    sessions_of,
    walk,
)

SPECS = ("RSI(14)@5m", "SESSION_VWAP@1m", "BBANDS(5)@5m", "SMA(2)@1d")
ONE, FIVE, SEVEN = (Interval.parse(text) for text in ("1m", "5m", "7m"))


@dataclass(frozen=True)
class Built:
    """A summary and the symbols that belong to it."""

    summary: SessionSummary
    symbols: tuple[SymbolSessionData, ...]

    def write(self, path: Path) -> Path:
        return write_json(path, self.summary, iter(self.symbols))


def passed(symbol: str, base: str = "1m") -> SymbolValidationResult:
    return SymbolValidationResult(
        symbol,
        can_proceed=True,
        data_source_available=True,
        data_source="memory",
        intervals_supported=(base,),
        base_interval=Interval.parse(base),
        has_historical_data=True,
        historical_date_range=None,
        has_session_data=True,
        meets_config_requirements=True,
        sources_asked=("memory",),
        elapsed_s=1.25,
    )


def refused(symbol: str) -> SymbolValidationResult:
    reason = Reason("no_data_source", f"has no data for {symbol}", "check the symbol", "memory")
    return SymbolValidationResult(symbol, reason=str(reason), reasons=(reason,), sources_asked=("memory",))


def without(bars: Bars, context: SessionContext, *minutes: int) -> Bars:
    """The bars but for some minutes of the session date (0 is the first)."""
    missing = context.open_ns + np.array(minutes, np.int64) * MINUTE_NS
    return bars.take(~np.isin(bars.start_ns, missing))


def digest_of(tree: dict[str, Any]) -> str:
    """SHA-256 as the reference describes it, of a tree with or without its digest."""
    header = {key: value for key, value in tree.items() if key not in ("digest", "symbols")}
    parts = [header, *({name: entry} for name, entry in tree["symbols"].items())]
    return hashlib.sha256(b"\n".join(orjson.dumps(part, option=orjson.OPT_SORT_KEYS) for part in parts)).hexdigest()


def signed(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with the digest of its content, where it has one: as a forger leaves it."""
    return {**tree, "digest": digest_of(tree)} if "digest" in tree and isinstance(tree.get("symbols"), dict) else tree


def summary_of(
    context: SessionContext,
    requirements: SymbolRequirements,
    now_ns: int,
    step0: dict[str, SymbolValidationResult],
    *events: SessionEvent,
) -> SessionSummary:
    history, of_days = context.history_dates, context.daily_dates
    days = (history[0], history[-1]) if history else None
    daily = {"daily_source": requirements.daily, "daily_date_range": (of_days[0], of_days[-1])} if of_days else {}
    return SessionSummary(
        calendar=context.calendar,
        timezone="America/New_York",
        hours=context.hours,
        extended_hours=None,
        session_date=context.session_date,
        history_first=context.loaded.dates[0].item(),
        open_ns=context.open_ns,
        close_ns=context.close_ns,
        now_ns=now_ns,
        requirements=requirements,
        step0={
            symbol: replace(result, historical_date_range=days, **daily)
            if result.can_proceed
            else replace(result, daily_source=daily.get("daily_source"))
            for symbol, result in step0.items()
        },
        dropped={symbol: result.reasons for symbol, result in step0.items() if not result.can_proceed},
        events=events,
        daily_first=of_days[0] if of_days else None,
    )


def bar_event(at_ns: int, symbol: str, interval: Interval, bar: Bar) -> SessionEvent:
    detail = {"interval": str(interval), "bar": asdict(bar)}
    return SessionEvent(at_ns, "add_bar", symbol, "scanner", accepted=True, detail=detail)


def indicator_event(at_ns: int, symbol: str, key: str) -> SessionEvent:
    return SessionEvent(at_ns, "add_indicator", symbol, "scanner", accepted=True, detail={"indicator": key})


@functools.cache
def build(
    minutes: int = 390,
    day: date = WEDNESDAY,
    hours: str = "regular",
    trailing_days: int = 3,
    daily: str | None = None,
) -> Built:
    """Config symbols ALL (complete) and GAP, LATE added mid-session, HAND adhoc, UP upgraded; NONE failed Step 0.

    The session stands `minutes` after its open (60 at least). `daily`: name of a source of daily bars before these.
    """
    specs = (*SPECS, "SMA(3)@1w", "EMA(9)@1d") if daily else SPECS
    asked = require("1m", "5m", "1d", specs=specs, trailing_days=trailing_days, max_missing=1 if daily else 0)
    requirements = replace(asked, daily=daily)
    calendar = calendar_for(requirements, "XNYS", day, day, hours=hours, source=sessions_of)
    context = session_context(requirements, calendar, day)
    open_ns, now_ns = context.open_ns, context.open_ns + minutes * MINUTE_NS

    def at(minute: int) -> int:
        return open_ns + minute * MINUTE_NS

    def load(seed: int, by: str, minute: int, *missing: int) -> Load:
        bars = without(session_walk(context, seed), context, *missing)
        specs = requirements.indicators
        load = Load(context, MemoryReader(bars), ONE, requirements.intervals, specs, by, at(minute))
        return replace(load, daily=MemoryReader(_days(context, seed), daily)) if daily else load

    def add(interval: Interval, bar: Bar, minute: int) -> AddAdhocBar:
        return AddAdhocBar(interval, bar, "scanner", at(minute))

    def indicator(text: str, minute: int) -> AddAdhocIndicator:
        return AddAdhocIndicator(parse_indicator(text), "scanner", at(minute))

    by_hand = flat(at(10), 50.0), Bar(at(15), 51.0, 53.5, 50.5, 52.25, 700.0), flat(at(20), 52.5)
    given = (
        (ONE, flat(at(2), 90.0)),  # the source has another bar
        (ONE, flat(at(6), 91.0)),  # the source has none
        (FIVE, flat(at(5), 92.0)),
    )
    begun = {
        "ALL": run(SymbolSession("ALL"), load(1, "config", 0)),
        "GAP": run(SymbolSession("GAP"), load(2, "config", 0, 3, 4, 5, 17, 40, 41, 42, 43, 44)),
        "HAND": run(
            SymbolSession("HAND"),
            Provision(context, "bar_addition", at(20)),
            *(add(FIVE, bar, 20) for bar in by_hand[:2]),
            TakeSnapshot(at(30)),
            add(FIVE, by_hand[2], 30),
            indicator("SMA(2)@5m", 30),
        ),
        "LATE": run(SymbolSession("LATE"), load(3, "strategy", 45, 7, 8)),
        "UP": run(
            SymbolSession("UP"),
            Provision(context, "indicator_addition", at(12)),
            indicator("EMA(3)@7m", 12),
            *(add(interval, bar, 12) for interval, bar in given),
            load(4, "scanner", 30, 6, 9),
            add(ONE, flat(at(9), 100.0), 31),
        ),
    }
    events = (
        indicator_event(at(12), "UP", "EMA(3)@7m"),
        *(bar_event(at(12), "UP", interval, bar) for interval, bar in given),
        *(bar_event(at(20), "HAND", FIVE, bar) for bar in by_hand[:2]),
        bar_event(at(30), "HAND", FIVE, by_hand[2]),
        indicator_event(at(30), "HAND", "SMA(2)@5m"),
        SessionEvent(at(30), "add_symbol", "UP", "scanner", accepted=True),
        bar_event(at(31), "UP", ONE, flat(at(9), 100.0)),
        SessionEvent(at(45), "add_symbol", "LATE", "strategy", accepted=True),
        SessionEvent(at(46), "add_symbol", "NONE", "strategy", accepted=False, reason="no data"),
    )
    step0 = {symbol: passed(symbol) for symbol in ("ALL", "GAP", "LATE")}
    step0 |= {"NONE": refused("NONE"), "UP": passed("UP")}
    symbols = tuple(run(session, TakeSnapshot(now_ns)).snapshot() for session in begun.values())
    return Built(summary_of(context, requirements, now_ns, step0, *events), symbols)


def _days(context: SessionContext, seed: int) -> Bars:
    """Daily bars before the minutes, one of them missing."""
    sessions = context.daily_sessions
    whole = walk(sessions.open_ns, seed)
    return whole.take(np.arange(len(whole)) != 2)


def with_summary(built: Built, **changes: Any) -> Built:
    return replace(built, summary=replace(built.summary, **changes))


def tree_of(path: Path) -> dict[str, Any]:
    tree: dict[str, Any] = orjson.loads(path.read_bytes())
    return tree


def laid_out(tree: dict[str, Any]) -> bytes:
    """The tree as `write_json` lays it out: a symbol a line (where there are symbols)."""
    if not isinstance(tree.get("symbols"), dict):
        return orjson.dumps(tree)
    header = orjson.dumps({key: value for key, value in tree.items() if key != "symbols"})
    lines = b",\n".join(orjson.dumps(name) + b":" + orjson.dumps(entry) for name, entry in tree["symbols"].items())
    return header[:-1] + b',\n"symbols":{\n' + lines + b"\n}}\n"
