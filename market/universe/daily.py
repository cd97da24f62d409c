"""Daily bars of many symbols that a source gives, beside those that base bars make."""

from __future__ import annotations

from barray.market.calendar import Sessions
from barray.market.interval import DAY
from barray.market.universe.bars import UniverseBars
from barray.market.universe.derive import derive_universe
from barray.market.universe.rows import appended, kept


def days_beside(
    base: UniverseBars, daily: UniverseBars, sessions: Sessions, session_row: int, base_row: int
) -> UniverseBars:
    """What `derive_beside` gives of 1d for each symbol alone, stacked: `daily` bars of sessions before `base_row`, the
    position of the first session with base bars, then the days that these make. Both have the same symbols.
    """
    return appended(kept(daily, daily.session < base_row), derive_universe(base, DAY, sessions, session_row))
