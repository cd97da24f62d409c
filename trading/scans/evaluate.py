"""A session of a scan: at each of its times, who is found, with what values and in which order.

A stage is cut where symbols meet: `daily_part` and `where_part` are evaluated where some symbols' bars are, `meet`
where the parts of all come together. Where one process has all the bars, `evaluate` does both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from barray.market.bars import IntArray
from barray.market.validation import Reason
from barray.trading.scans.across import Met
from barray.trading.scans.bars import Positions, ScanBars
from barray.trading.scans.form import found_by_form
from barray.trading.scans.hits import SessionHits, failure_of, ordered
from barray.trading.scans.local import Local
from barray.trading.scans.needs import columns_on
from barray.trading.scans.operators import BoolArray, Truth, Value
from barray.trading.scans.plan import Plan, Stage
from barray.trading.scans.shared import SharedValues
from barray.trading.scans.terms import Term


@dataclass(frozen=True, eq=False)
class Part:
    """What a stage let through of some symbols, with the values that are needed where symbols meet.

    `symbols` sorted; `left` bool (times, symbols); `values` by terms' texts, (times or 1, symbols).
    """

    symbols: tuple[str, ...]
    times_ns: IntArray
    left: BoolArray
    values: Mapping[str, Value]


def through(local: Local, stage: Stage, left: BoolArray) -> tuple[Local, BoolArray]:
    """Who of `left` (times, symbols) passes the conditions of a stage that are a symbol's own.

    Symbols that pass at no time are not looked at further.
    """
    for term in stage.local:
        left = left & local.truth(term)
        kept = np.asarray(left.any(axis=0))
        if not kept.all():
            local, left = local.narrowed(kept), left[:, kept]
    return local, left


def part_of(local: Local, left: BoolArray, terms: Iterable[Term]) -> Part:
    """Some symbols, with values of terms that are their own."""
    return Part(local.symbols, local.times_ns, left, {term.text: local.value(term) for term in terms})


def daily_part(plan: Plan, bars: ScanBars, members: Collection[str] | None = None) -> Part:
    """What the daily conditions that are a symbol's own let through before the open: one time, the session's open.

    `members`: the universe of the day; all that have bars where None. Before base bars are read, `bars.base` may be the
    daily bars themselves.
    """
    local, left = _daily(plan, bars, _positions(bars, members))
    return part_of(local, left, plan.daily.asked_across())


def where_part(
    plan: Plan, bars: ScanBars, times_ns: IntArray, members: Collection[str], shared: SharedValues | None = None
) -> Part:
    """What the conditions of `where` that are a symbol's own let through at each time, and all that is needed to go on.

    `members`: who is left after `daily`. `shared`: see SharedValues; of these bars alone.
    """
    return _where_part(plan, Local(bars, times_ns, _positions(bars, members), columns_on(plan), shared=shared))


def able_part(
    plan: Plan,
    bars: ScanBars,
    times_ns: IntArray,
    members: Sequence[str],
    faults: Mapping[str, Reason],
    shared: SharedValues | None = None,
) -> Part:
    """What `where_part` gives of those without faults, more of which may show as history is read."""
    while True:
        able = [symbol for symbol in members if symbol not in faults]
        part = where_part(plan, bars, times_ns, able, shared)
        if not any(symbol in faults for symbol in able):
            return part


def meet(parts: Sequence[Part]) -> Met:
    """The symbols of all parts, in alphabetical order."""
    if len(parts) == 1:
        return Met(parts[0].symbols, parts[0].left, parts[0].values)
    symbols = [symbol for part in parts for symbol in part.symbols]
    order = np.array(sorted(range(len(symbols)), key=symbols.__getitem__), np.intp)
    values = {name: _beside([part.values[name] for part in parts], order) for name in parts[0].values}
    return Met(tuple(symbols[i] for i in order.tolist()), _beside([part.left for part in parts], order), values)


def members_after(plan: Plan, parts: Sequence[Part]) -> tuple[str, ...]:
    """Who passes the daily stage, of the parts that `daily_part` gave."""
    met = meet(parts).through(plan.daily.across)
    return tuple(symbol for symbol, passes in zip(met.symbols, met.left[0].tolist(), strict=True) if passes)


def session_hits(plan: Plan, timezone: str, times_ns: IntArray, parts: Sequence[Part]) -> SessionHits:
    """Who is found at each time, of the parts that `where_part` gave."""
    met = meet(parts).through(plan.where.across)
    if plan.scan.has_form:
        return found_by_form(plan, met, times_ns, timezone)
    scores = None if plan.rank is None else np.broadcast_to(met.value(plan.rank), met.left.shape)
    shown = {term.text: np.broadcast_to(met.value(term), met.left.shape) for term in plan.shown}
    hits = []
    for k, now_ns in enumerate(times_ns.tolist()):
        values = {name: column[k] for name, column in shown.items()}
        hits.append(ordered(met.symbols, met.left[k], None if scores is None else scores[k], values, now_ns))
    return SessionHits(plan.name, tuple(hits))


def evaluate(
    plan: Plan, bars: ScanBars, times_ns: IntArray | None = None, members: Collection[str] | None = None
) -> SessionHits:
    """A session of a scan, where one process has all the bars. `times_ns`: by default the scan's own. `members`: the
    universe of the day; all that have bars where None. What raises ends the scan, and is told.
    """
    if times_ns is None:
        times_ns = plan.times.of(bars.session_date, bars.open_ns, bars.close_ns, bars.timezone)
    if not len(times_ns):
        return SessionHits(plan.name, ())
    try:
        everyone = _positions(bars, members)
        local = Local(bars, times_ns, _after_daily(plan, bars, everyone), columns_on(plan))
        return session_hits(plan, bars.timezone, times_ns, [_where_part(plan, local)])
    except Exception as error:
        return SessionHits(plan.name, (), failure_of(plan, error, int(times_ns[0]), bars.timezone))


def _positions(bars: ScanBars, members: Collection[str] | None) -> Positions:
    if members is None:
        return np.arange(len(bars.symbols))
    wanted = set(members)
    return np.array([i for i, symbol in enumerate(bars.symbols) if symbol in wanted], np.intp)


def _daily(plan: Plan, bars: ScanBars, who: Positions) -> tuple[Local, BoolArray]:
    local = Local(bars, np.array([bars.open_ns]), who)
    return through(local, plan.daily, np.ones((1, len(who)), np.bool_))


def _after_daily(plan: Plan, bars: ScanBars, who: Positions) -> Positions:
    """Who passes the daily stage, where one process has all."""
    if not plan.daily.local and not plan.daily.across:
        return who
    local, left = _daily(plan, bars, who)
    if plan.daily.across:
        met = Met(local.symbols, left, {one.text: local.value(one) for one in plan.daily.asked_across()})
        left = met.through(plan.daily.across).left
    passing: Positions = local.who[left[0]]
    return passing


def _where_part(plan: Plan, local: Local) -> Part:
    local, left = through(local, plan.where, np.ones((len(local.times_ns), len(local.who)), np.bool_))
    return part_of(local, left, plan.sent)


def _beside(columns: Sequence[Value], order: Positions) -> Value:
    if isinstance(columns[0], Truth):
        return Truth(*(_beside([getattr(one, name) for one in columns], order) for name in Truth._fields))
    rows = max(map(len, columns))  # a share without symbols may know of no times
    return np.concatenate([np.broadcast_to(one, (rows, *one.shape[1:])) for one in columns], axis=-1)[..., order]
