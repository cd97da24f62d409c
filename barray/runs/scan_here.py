"""Scans in this process, without Ray: what became of one symbol on a day, and whether a scan looks ahead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time

import numpy as np

from barray.coordinator.config.file import ConfigLike, as_config
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare_scans import prepare_scan
from barray.coordinator.scan_fleet import PreparedScan
from barray.local.connection import load_calendar
from barray.market.errors import ConfigError
from barray.market.symbols import symbol_problem
from barray.trading.scans import times
from barray.trading.scans.bars import ScanBars
from barray.trading.scans.explain import Explanation
from barray.trading.scans.lookahead import ScanLookahead, lookahead
from barray.trading.scans.past import NotReadable
from barray.trading.scans.shard import ScanShard

_MOST_SESSIONS = 5
_MOST_TIMES = 40


def explain(
    config: ConfigLike,
    symbol: str,
    *,
    day: date | str | None = None,
    at: time | str | None = None,
    scans: Sequence[str] = (),
) -> list[Explanation]:
    """What became of a symbol in a config's scans: which stage let it go and with what values, or its place.

        for one in barray.explain("gappers.yaml", "AMD", at="10:05"):
            print(one)

    `day`: a session's label; the config's last by default. `at`: wall-clock time of the exchange; the newest time at
    which a scan ran by then counts; by default each of its times. `scans`: their names; all by default. The whole
    universe of the day is looked at, in this process. ConfigError where there is no such scan, session or time;
    NoDataError, SourceUnavailable, DataError as the sources have it.
    """
    if problem := symbol_problem(symbol):
        raise ConfigError(problem, symbol=symbol, remedy="name it as its bars do", code="bad_symbol")
    settings = as_config(config)
    prepared = prepare_scan(settings, load_calendar) if day is None else _on(settings, day)
    chosen = [plan for plan in prepared.plans() if not scans or plan.name in scans]
    if not chosen:
        names = ", ".join(plan.name for plan in prepared.plans())
        raise ConfigError(f"there is no scan {', '.join(scans)}", remedy=f"there are: {names}")
    row, shard = int(prepared.session_range.rows[-1]), _shard(prepared)
    try:
        told = [shard.explainer(row, plan) for plan in chosen]
        if at is None:
            return [answer for one in told for answer in one.all_day(symbol)]
        at_ns = _moment(told[0].bars, at)
        ran = [one for one in told if at_ns >= one.times_ns[:1].min(initial=at_ns + 1)]
        return [one.at(symbol, at_ns) for one in ran or told]
    except NotReadable as failed:
        raise failed.error from failed


def lookahead_of_scans(
    config: ConfigLike, *, symbols: Sequence[str] = (), cuts: int | None = None
) -> list[ScanLookahead]:
    """Whether what a config's scans find at a time depends on what comes later, a report a scan.

    Each scan is evaluated again with the bars after a time cut off, raised, lowered and shuffled, at `cuts` times (40
    by default), spread over up to five of the config's sessions. `symbols`: look at these alone. Errors as for
    `explain`.
    """
    prepared = prepare_scan(as_config(config), load_calendar)
    rows = prepared.session_range.rows
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(_MOST_SESSIONS, len(rows))).astype(int))]
    most = -(-(cuts or _MOST_TIMES) // len(rows))
    shard = _shard(prepared, symbols, whole=True)
    reports: dict[str, ScanLookahead] = {}
    for row in rows.tolist():
        for plan in prepared.plans():
            try:
                bars, able = shard.able(row, plan)
            except NotReadable as failed:
                raise failed.error from failed
            one = lookahead(plan, bars, members=able, most_times=most, seed=row)
            reports[plan.name] = reports[plan.name].joined(one) if plan.name in reports else one
    return list(reports.values())


def _moment(bars: ScanBars, at: time | str) -> int:
    asked = times.at(at).of(bars.session_date, bars.open_ns, bars.close_ns, bars.timezone)
    if not len(asked):
        raise ConfigError(f"the session {bars.session_date} does not hold {at}", remedy="give a time of its hours")
    return int(asked[0])


def _shard(prepared: PreparedScan, symbols: Sequence[str] = (), *, whole: bool = False) -> ScanShard:
    interval, every = prepared.found()
    if unknown := sorted(set(symbols).difference(every)):
        raise ConfigError(f"no scan looks at {unknown[0]}", remedy="choose symbols of the universe")
    return ScanShard(prepared.job(interval, sorted(symbols) or every), whole=whole)


def _on(settings: SessionConfig, day: date | str) -> PreparedScan:
    """The config's scans on one session."""
    try:
        own = day if isinstance(day, date) else date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"{day!r} is no date", remedy="write it as 2024-07-05") from None
    session = settings.session.model_copy(update={"start": own, "end": own})
    single = settings.model_copy(update={"session": session}).standing_in(settings.where)
    try:
        return prepare_scan(single, load_calendar)
    except ConfigError as error:  # of what the caller gave, not of the config's session.start
        reason = error.reason.removeprefix(f"{settings.where}: session.start: ")
        raise ConfigError(reason, remedy=error.remedy, code=error.code) from error
