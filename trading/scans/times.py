"""When a scan runs: times of the exchange's wall clock within a session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.bars import IntArray
from barray.market.calendar import local_ns
from barray.market.errors import ConfigError
from barray.market.interval import Interval

_DAY_S = 86_400


@dataclass(frozen=True)
class Times:
    """Wall-clock times of the calendar's zone: those listed, and the session's close where `at_close`; or every `step`
    from `since` (a session's open where None) to `until` (its close where None), both included. Those that are not
    after the open, or are after the close, are left out.
    """

    listed: tuple[time, ...] = ()
    step: Interval | None = None
    since: time | None = None
    until: time | None = None
    at_close: bool = False

    def of(self, day: date, open_ns: int, close_ns: int, timezone: str) -> IntArray:
        """Times of the session labelled `day` at which it runs, UTC ns, ascending, int64 (k,)."""
        zone = ZoneInfo(timezone)

        def stamp(one: time) -> int:
            """Of the session's own date, or of the evening before, where the session holds that one."""
            evening = local_ns(day - timedelta(days=1), one, zone)
            return evening if evening >= open_ns else local_ns(day, one, zone)

        if self.step is None:
            found = np.array([*map(stamp, self.listed), *[close_ns][: self.at_close]], np.int64)
        else:
            first = open_ns if self.since is None else stamp(self.since)
            last = close_ns if self.until is None else min(stamp(self.until), close_ns)
            found = np.arange(first, last + 1, self.step.ns, dtype=np.int64)
        return np.unique(found[(found > open_ns) & (found <= close_ns)])

    @property
    def latest(self) -> time | None:
        """The last time of day that is looked at; None where that is the close."""
        if self.at_close:
            return None
        return self.until if self.step is not None else max(self.listed)

    @property
    def text(self) -> str:
        """How it is written."""
        if self.step is None:
            told = [f"{one:%H:%M}" for one in self.listed] + ["close"][: self.at_close]
            return f"at({', '.join(map(repr, told))})"
        bounds = ((name, getattr(self, name)) for name in ("since", "until"))
        told = [f"{name}={one:%H:%M}" for name, one in bounds if one is not None]
        return f"every({', '.join([str(self.step), *told])})"


def every(interval: str, *, since: str | None = None, until: str | None = None) -> Times:
    """Every `"5m"`, from `since="09:35"` (else the first after the open) to `until` (else the close).

    ConfigError for an interval that isn't one of seconds, minutes or hours, or a time that is none.
    """
    step = Interval.parse(interval)
    if not step.is_intraday:
        raise ConfigError(f"a scan can't run every {step}", remedy='give minutes or hours, such as every("5m")')
    first, last = (None if one is None else _time(one) for one in (since, until))
    if first is not None and last is not None and last < first:
        raise ConfigError(f"a scan runs from {since} until {until}", remedy="give until a later time than since")
    return Times((), step, first, last)


def at(*times: str | time) -> Times:
    """At these times, as `at("10:00", "15:30")`, also `"close"`, the session's, whenever that is; ConfigError where
    there is none, or one that is no time.
    """
    if not times:
        raise ConfigError("at() lists no time", remedy='write at("10:00")')
    listed = {_time(one) for one in times if one != "close"}
    return Times(tuple(sorted(listed)), at_close="close" in times)


def _time(text: object) -> time:
    try:
        if isinstance(text, int) and not isinstance(text, bool) and 0 <= text < _DAY_S:  # YAML reads 9:35 so
            text = f"{text // 60:02d}:{text % 60:02d}"
        found = text if isinstance(text, time) else datetime.strptime(str(text).strip(), "%H:%M").time()
    except ValueError:
        raise ConfigError(f"{text!r} is no time of day", remedy='write hours and minutes, such as "09:35"') from None
    return found
