"""Why a scan did, or did not, find a symbol at a time: the stage that let it go, and with what values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.errors import ConfigError
from barray.trading.scans.across import Met
from barray.trading.scans.bars import ScanBars
from barray.trading.scans.evaluate import daily_part, evaluate, meet, members_after, where_part
from barray.trading.scans.local import Local
from barray.trading.scans.operators import Value
from barray.trading.scans.parts import is_local, parts_of
from barray.trading.scans.plan import Plan, Stage
from barray.trading.scans.state import ScanState
from barray.trading.scans.terms import Across, Binary, Constant, IsIn, Term
from barray.trading.scans.universe import Members

_NO_BARS = "there are no bars of it that could be read"
Where = Literal["universe", "bars", "daily", "where", "rank", "scan", "keep", "found"]


@dataclass(frozen=True)
class Explanation:
    """What became of a symbol at a time, UTC ns. `stage`: which let it go, `found` where none did. `condition`: the
    term that did not hold; `values`: what it was made of, by terms' texts; `text`: all of it in a sentence.
    """

    scan: str
    symbol: str
    at_ns: int
    stage: Where
    text: str
    condition: str | None = None
    values: Mapping[str, float | str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


def explain(
    plan: Plan,
    bars: ScanBars,
    symbol: str,
    at_ns: int,
    looked_at: Members | None = None,
    daily: ScanBars | None = None,
) -> Explanation:
    """What became of a symbol when the scan last ran by `at_ns`. `looked_at`: the universe of the day; all that have
    bars where None. `daily`: the bars that the daily stage saw, where it was evaluated before `bars` were read.
    ConfigError where the scan had not run by then, or fails.
    """
    times = plan.times.of(bars.session_date, bars.open_ns, bars.close_ns, bars.timezone)
    times = times[times <= at_ns]
    if not len(times):
        raise ConfigError(f"{plan.name} has not run by then", remedy=f"it runs at: {plan.times.text}")
    return _Asked(plan, bars, symbol, times, looked_at, daily or bars).answer()


class _Asked:
    def __init__(
        self,
        plan: Plan,
        bars: ScanBars,
        symbol: str,
        times: np.ndarray,
        looked_at: Members | None,
        daily: ScanBars,
    ) -> None:
        self.plan, self.bars, self.symbol, self.times, self.looked_at = plan, bars, symbol, times, looked_at
        self.daily = daily
        self.at_ns = int(times[-1])

    def answer(self) -> Explanation:
        plan, bars, members = self.plan, self.bars, None if self.looked_at is None else self.looked_at.symbols
        if self.looked_at is not None and (why := self.looked_at.why_not(self.symbol)) is not None:
            return self._told("universe", why)
        if self.symbol not in self.daily.base.position:
            return self._told("bars", _NO_BARS)
        if (found := self._local(self.daily, plan.daily, bars.open_ns)) is not None:
            return found
        daily = [daily_part(plan, self.daily, members)]
        if (found := self._across("daily", plan.daily, meet(daily))) is not None:
            return found
        if self.symbol not in bars.base.position:
            return self._told("bars", _NO_BARS)
        if (found := self._local(bars, plan.where, self.at_ns)) is not None:
            return found
        left = members_after(plan, daily)
        met = meet([where_part(plan, bars, self.times[-1:], left)])
        return self._across("where", plan.where, met) or self._ranked(met.through(plan.where.across))

    def _ranked(self, met: Met) -> Explanation:
        plan, column = self.plan, met.symbols.index(self.symbol)
        values = {term.text: _scalar(met.value(term), column) for term in plan.shown}
        if plan.rank is not None and _scalar(met.value(plan.rank), column) is None:
            return self._told("rank", f"its rank, {plan.rank.text}, isn't known", plan.rank.text, values)
        members = None if self.looked_at is None else self.looked_at.symbols
        every = evaluate(plan, self.bars, self.times, members)
        if every.failure is not None:
            raise ConfigError(f"{plan.name} failed: {every.failure.reason}", remedy="mend the scan")
        state = ScanState([plan])
        for hits in every.hits:
            state.step([(plan.name, hits)])
        hits = every.hits[-1]
        if self.symbol not in hits.symbols:
            return self._told("scan", "scan(panel) did not return it", None, values)
        place, of = hits.symbols.index(self.symbol) + 1, len(hits)
        if self.symbol not in state.scans[plan.name].kept:
            keep = plan.keep
            asked = "" if keep is None else f", and top({keep.n}) takes in {keep.n}"
            return self._told("keep", f"it is at place {place} of {of}{asked}", None, values)
        became = "promoted" if self.symbol in state.full else "adhoc" if self.symbol in state.adhoc else "kept"
        return self._told("found", f"{became}, at place {place} of {of}{_shown(values)}", None, values)

    def _local(self, bars: ScanBars, stage: Stage, at_ns: int) -> Explanation | None:
        local = Local(bars, np.array([at_ns]), np.array([bars.base.position[self.symbol]]))
        for term in stage.local:
            if not local.value(term).yes[0, 0]:
                values = {one.text: _scalar(local.value(one), 0) for one in _compared(term)}
                return self._failed(stage.name, term, values)
        return None

    def _across(self, name: str, stage: Stage, met: Met) -> Explanation | None:
        column = met.symbols.index(self.symbol)
        for term in stage.across:
            if not np.broadcast_to(met.value(term).yes, met.left.shape)[0, column]:
                values = {one.text: _scalar(met.value(one), column) for one in _compared(term)}
                for one in parts_of(term):
                    if isinstance(one, Across) and one.kind == "truth":
                        place = Across("rank", one.of, ascending=one.op == "bottom", groupby=one.groupby)
                        values |= {one.of.text: _scalar(met.value(one.of), column)}
                        values |= {place.text: _scalar(met.value(place), column)}
                return self._failed(name, term, values)
        return None

    def _failed(self, stage: str, term: Term, values: Mapping[str, float | str | None]) -> Explanation:
        name: Where = "daily" if stage == "daily" else "where"
        return self._told(name, f"{term.text} does not hold{_shown(values)}", term.text, values)

    def _told(
        self,
        stage: Where,
        why: str,
        condition: str | None = None,
        values: Mapping[str, float | str | None] | None = None,
    ) -> Explanation:
        zone = ZoneInfo(self.bars.timezone)
        when = datetime.fromtimestamp(self.at_ns / 1_000_000_000, zone)
        text = f"{self.plan.name}, {self.symbol}, {when:%Y-%m-%d %H:%M}: {stage}: {why}"
        return Explanation(self.plan.name, self.symbol, self.at_ns, stage, text, condition, values or {})


def _compared(term: Term) -> list[Term]:
    """The sides of the comparisons that a condition is made of."""
    sides: dict[str, Term] = {}
    for part in parts_of(term):
        if isinstance(part, (Binary, IsIn)) and part.kind == "truth":
            sides |= {one.text: one for one in part.operands if one.kind != "truth" and not isinstance(one, Constant)}
    return [side for side in sides.values() if is_local(side) or isinstance(side, Across)] or list(sides.values())


def _scalar(value: Value, column: int) -> float | str | None:
    one = value[0, column]
    if one is None or isinstance(one, str):
        return one
    return None if np.isnan(one) else float(one)


def _shown(values: Mapping[str, float | str | None]) -> str:
    told = (
        f"{name} {'is not known' if one is None else f'is {one:.6g}' if isinstance(one, float) else f'is {one}'}"
        for name, one in values.items()
    )
    text = ", ".join(told)
    return f": {text}" if text else ""
