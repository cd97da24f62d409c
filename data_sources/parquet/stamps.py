"""Whose bar is it? The session that a stamp in a file belongs to, and where its bar starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import IntArray, format_ns
from barray.market.calendar import Sessions
from barray.market.errors import DataError
from barray.market.interval import Interval
from barray.market.series import stamp_daily

_HOUR_NS = 3_600 * 1_000_000_000
_DAY_NS = 24 * _HOUR_NS


def starts_of(stamps: IntArray, interval: Interval, sessions: Sessions, *, at_end: bool) -> IntArray:
    """Where the bars with these stamps start: UTC ns (n,). `at_end`: the stamps are those of the bars' ends.

    DataError where daily bars are stamped with the other edge of the session than the source says.
    """
    if interval.is_intraday and not at_end:
        return stamps
    row = np.minimum(np.searchsorted(sessions.close_ns, stamps), len(sessions) - 1)
    open_ns, close_ns = sessions.open_ns[row], sessions.close_ns[row]
    if interval.is_intraday:
        rest = (close_ns - open_ns) % interval.ns  # the length of a session's last bar, where cut at the close
        ends: IntArray = stamps - np.where((stamps == close_ns) & (rest > 0), rest, interval.ns)
        return ends
    _refuse_other_edge(stamps, interval, sessions, at_end=at_end)
    if at_end:  # at the close or a later midnight, in UTC up to 19 h later (New Zealand)
        in_time = stamps < sessions.close_ns[-1] + 20 * _HOUR_NS
        in_session = (stamps > open_ns) & (stamps <= close_ns)
        stamps = np.where(in_session, open_ns, np.where(in_time, stamps - _DAY_NS, stamps))
    return stamp_daily(stamps, interval, sessions)


def within(starts: IntArray, interval: Interval, sessions: Sessions) -> NDArray[np.bool_]:
    """Which bars with these starts may lie in the sessions, consecutive ones: bool (n,)."""
    if interval.is_intraday:
        found: NDArray[np.bool_] = (starts >= sessions.open_ns[0]) & (starts < sessions.close_ns[-1])
        return found
    row = np.searchsorted(sessions.open_ns, starts, side="right") - 1
    at_open: NDArray[np.bool_] = sessions.open_ns[row] == starts
    return at_open & (row >= 0)


def sessions_held(starts: IntArray, sessions: Sessions) -> NDArray[np.intp]:
    """Positions of the sessions that bars with these starts lie in, each once."""
    row = np.searchsorted(sessions.open_ns, starts, side="right") - 1
    inside = (row >= 0) & (starts < sessions.close_ns[np.maximum(row, 0)])
    return np.flatnonzero(np.bincount(row[inside]))  # np.unique would import numpy.ma: 20 ms in each process


def at_other_edge(stamps: IntArray, interval: Interval, sessions: Sessions, *, at_end: bool) -> NDArray[np.bool_]:
    """Which daily bars are stamped with the other edge of their session than the source says: bool (n,).

    Midnight in UTC is a day's, whatever the hours: there it says nothing of the edge.
    """
    if interval.unit != "d":
        return np.zeros(len(stamps), np.bool_)
    row = np.minimum(np.searchsorted(sessions.close_ns, stamps), len(sessions) - 1)
    edge_ns = (sessions.open_ns if at_end else sessions.close_ns)[row]
    wrong: NDArray[np.bool_] = (stamps == edge_ns) & (stamps % _DAY_NS != 0)
    return wrong


def _refuse_other_edge(stamps: IntArray, interval: Interval, sessions: Sessions, *, at_end: bool) -> None:
    wrong = at_other_edge(stamps, interval, sessions, at_end=at_end)
    if not wrong.any():
        return
    edge, meant = ("open", "start") if at_end else ("close", "end")
    raise DataError(
        f"the {interval} bar at {format_ns(int(stamps[int(np.argmax(wrong))]))} is stamped with the session's {edge}, "
        f"which the source's columns.stamp calls the {'end' if at_end else 'start'} of the bar",
        interval=str(interval),
        remedy=f"set stamp: {meant} under the source's columns",
        code="other_edge",
    )
