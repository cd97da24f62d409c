"""Why a scan did, or did not, find a symbol at a time: the stage that let it go, and with what values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.bars import format_ns
from barray.market.errors import ConfigError
from barray.market.validation import Reason
from barray.trading.scans.across import Met
from barray.trading.scans.bars import ScanBars
from barray.trading.scans.evaluate import Part, able_part, daily_part, meet, members_after, session_hits
from barray.trading.scans.hits import Hits, ScanFailure, failure_of
from barray.trading.scans.local import Local
from barray.trading.scans.operators import Value
from barray.trading.scans.parts import is_local, parts_of
from barray.trading.scans.past import NotReadable
from barray.trading.scans.plan import Plan, Stage
from barray.trading.scans.state import ScanState, told_of
from barray.trading.scans.terms import Across, Binary, Constant, IsIn, Term
from barray.trading.scans.universe import Members

_NO_BARS = "there are no bars of it that could be read"
Where = Literal["universe", "bars", "daily", "where", "rank", "scan", "keep", "found"]


@dataclass(frozen=True)
class Explanation:
    """What became of a symbol at a time, UTC ns. `stage`: which let it go, `found` where none did. `condition`: the
    term that did not hold; `values`: what it was made of, by terms' texts; `why` in words, `local`: the time on the
    exchange's clock, `text`: all of it in a sentence.
    """

    scan: str
    symbol: str
    at_ns: int
    stage: Where
    text: str
    why: str
    local: str
    condition: str | None = None
    values: Mapping[str, float | str | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """In JSON types."""
        return {
            "scan": self.scan,
            "symbol": self.symbol,
            "timestamp": format_ns(self.at_ns),
            "stage": self.stage,
            "condition": self.condition,
            "values": dict(self.values),
            "text": self.text,
        }

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
    """What became of a symbol when the scan last ran by `at_ns`; arguments and errors as Explainer has them."""
    return Explainer(plan, bars, looked_at, daily).at(symbol, at_ns)


class Explainer:
    """Tells what became of symbols in a scan's session; of each, at each of its times, what the scan itself found.

    `looked_at`: the universe of the day; all that have bars where None. `daily`: the bars that the daily stage saw,
    where it was evaluated before `bars` were read. `faults`: symbols whose bars can't be right, and why; more may show
    as history is read. ConfigError where the scan fails.
    """

    def __init__(
        self,
        plan: Plan,
        bars: ScanBars,
        looked_at: Members | None = None,
        daily: ScanBars | None = None,
        faults: Mapping[str, Reason] | None = None,
    ) -> None:
        self.plan, self.bars, self.looked_at, self.daily = plan, bars, looked_at, daily or bars
        self.faults = {} if faults is None else faults
        self.times_ns = plan.times.of(bars.session_date, bars.open_ns, bars.close_ns, bars.timezone)

    def at(self, symbol: str, at_ns: int) -> Explanation:
        """When the scan last ran by a time, UTC ns; ConfigError where it had not."""
        row = int(np.searchsorted(self.times_ns, at_ns, side="right")) - 1
        if row < 0:
            raise ConfigError(f"{self.plan.name} has not run by then", remedy=f"it runs at: {self.plan.times.text}")
        return self._told(symbol, row)

    def all_day(self, symbol: str) -> tuple[Explanation, ...]:
        """At each of the scan's times."""
        return tuple(self._told(symbol, row) for row in range(len(self.times_ns)))

    def _told(self, symbol: str, row: int) -> Explanation:
        return _Asked(self, symbol, row).answer()

    @cached_property
    def before(self) -> Part:
        """What the daily stage let through of each symbol alone."""
        return daily_part(self.plan, self.daily, None if self.looked_at is None else self.looked_at.symbols)

    @cached_property
    def part(self) -> Part:
        """What `where` let through of each symbol alone, at all times."""
        try:
            return able_part(self.plan, self.bars, self.times_ns, members_after(self.plan, [self.before]), self.faults)
        except NotReadable:
            raise
        except Exception as error:
            raise self._failed(failure_of(self.plan, error, int(self.times_ns[0]), self.bars.timezone)) from error

    @cached_property
    def found(self) -> tuple[Hits, ...]:
        """Who is found at each time."""
        session = session_hits(self.plan, self.bars.timezone, self.times_ns, [self.part])
        if session.failure is not None:
            raise self._failed(session.failure)
        return session.hits

    @cached_property
    def standing(self) -> Sequence[tuple[Collection[str], Collection[str], Collection[str]]]:
        """At each time who is kept, who of them is promoted, and who adhoc."""
        state, found = ScanState([self.plan]), []
        for hits in self.found:
            state.step([(self.plan.name, hits)])
            found.append((dict(state.scans[self.plan.name].kept), dict(state.full), dict(state.adhoc)))
        return found

    def _failed(self, failure: ScanFailure) -> ConfigError:
        return ConfigError(f"{self.plan.name} failed: {failure.reason}", remedy="mend the scan")


class _Asked:
    def __init__(self, session: Explainer, symbol: str, row: int) -> None:
        self.session, self.plan, self.symbol, self.row = session, session.plan, symbol, row
        self.at_ns = int(session.times_ns[row])

    def answer(self) -> Explanation:
        plan, session, symbol = self.plan, self.session, self.symbol
        if session.looked_at is not None and (why := session.looked_at.why_not(symbol)) is not None:
            return self._told("universe", why)
        if symbol in session.faults:
            return self._told("bars", str(session.faults[symbol]))
        if symbol not in session.daily.base.position:
            return self._told("bars", _NO_BARS)
        if (lost := self._local(session.daily, plan.daily, session.bars.open_ns)) is not None:
            return lost
        if (lost := self._across("daily", plan.daily, meet([session.before]), 0)) is not None:
            return lost
        if symbol not in session.bars.base.position:
            return self._told("bars", _NO_BARS)
        met = meet([session.part])
        if symbol in session.faults:
            return self._told("bars", str(session.faults[symbol]))
        if (lost := self._local(session.bars, plan.where, self.at_ns)) is not None:
            return lost
        lost = self._across("where", plan.where, met, self.row)
        return lost or self._ranked(met.through(plan.where.across))

    def _ranked(self, met: Met) -> Explanation:
        plan, column, k = self.plan, met.symbols.index(self.symbol), self.row
        values = {term.text: _scalar(met.value(term), k, column) for term in plan.shown}
        if plan.rank is not None and not plan.scan.has_form and _scalar(met.value(plan.rank), k, column) is None:
            return self._told("rank", f"its rank, {plan.rank.text}, isn't known", plan.rank.text, values)
        hits = self.session.found[k]
        kept, full, adhoc = self.session.standing[k]
        if self.symbol not in hits.symbols:
            return self._told("scan", "scan(panel) did not return it", None, values)
        place, of = hits.symbols.index(self.symbol) + 1, len(hits)
        if self.symbol not in kept:
            keep = plan.keep
            asked = "" if keep is None else f", and top({keep.n}) takes in {keep.n}"
            return self._told("keep", f"it is at place {place} of {of}{asked}", None, values)
        became = "promoted" if self.symbol in full else "adhoc" if self.symbol in adhoc else "kept"
        return self._told("found", f"{became}, at place {place} of {of}{_shown(values)}", None, values)

    def _local(self, bars: ScanBars, stage: Stage, at_ns: int) -> Explanation | None:
        local = Local(bars, np.array([at_ns]), np.array([bars.base.position[self.symbol]]))
        for term in stage.local:
            if not local.value(term).yes[0, 0]:
                values = {one.text: _scalar(local.value(one), 0, 0) for one in _compared(term)}
                return self._failed(stage.name, term, values)
        return None

    def _across(self, name: str, stage: Stage, met: Met, row: int) -> Explanation | None:
        if not stage.across:
            return None
        column = met.symbols.index(self.symbol)
        for term in stage.across:
            if not np.broadcast_to(met.value(term).yes, met.left.shape)[row, column]:
                values = {one.text: _scalar(met.value(one), row, column) for one in _compared(term)}
                for one in parts_of(term):
                    if isinstance(one, Across) and one.kind == "truth":
                        place = Across("rank", one.of, ascending=one.op == "bottom", groupby=one.groupby)
                        values |= {one.of.text: _scalar(met.value(one.of), row, column)}
                        values |= {place.text: _scalar(met.value(place), row, column)}
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
        zone = ZoneInfo(self.session.bars.timezone)
        when = f"{datetime.fromtimestamp(self.at_ns / 1_000_000_000, zone):%Y-%m-%d %H:%M}"
        text = f"{self.plan.name}, {self.symbol}, {when}: {stage}: {why}"
        return Explanation(self.plan.name, self.symbol, self.at_ns, stage, text, why, when, condition, values or {})


def _compared(term: Term) -> list[Term]:
    """The sides of the comparisons that a condition is made of."""
    sides: dict[str, Term] = {}
    for part in parts_of(term):
        if isinstance(part, (Binary, IsIn)) and part.kind == "truth":
            sides |= {one.text: one for one in part.operands if one.kind != "truth" and not isinstance(one, Constant)}
    return [side for side in sides.values() if is_local(side) or isinstance(side, Across)] or list(sides.values())


def _scalar(value: Value, row: int, column: int) -> float | str | None:
    one = value[row if len(value) > 1 else 0, column if value.shape[1] > 1 else 0]
    if one is None or isinstance(one, str):
        return one
    return None if np.isnan(one) else float(one)


def _shown(values: Mapping[str, float | str | None]) -> str:
    return f": {told_of(values)}" if values else ""
