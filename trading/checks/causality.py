"""Whether a strategy looks ahead: it decides again without the future, and with another one, and its past must stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from barray.market.bars import Bars
from barray.market.series import IntervalBars
from barray.trading.checks.decisions import Decisions, changed_ns, decisions_of
from barray.trading.checks.lookahead_report import Difference, Future, LookaheadReport
from barray.trading.checks.outside import watching
from barray.trading.checks.peeking import called, peeking
from barray.trading.engine.commands import Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData

_FACTORS: Mapping[Future, float] = {"raised": 1.7, "lowered": 0.6}
_MOST_DIFFERENCES = 20
_FEWEST_CUTS = 40
_MOST_BARS = {"signals": 20_000_000, "on_bar": 2_000_000}
"""How many bars all runs together may go through: a matter of ten seconds."""
_WHIMSICAL = (
    "the strategy decides differently on the same data; give what is random a fixed seed, and keep nothing between runs"
    " in its class or module"
)


def lookahead(loaded: LoadedRange, plan: Plan, *, cuts: int | None = None, seed: int = 0) -> LookaheadReport:
    """Let fresh strategies decide with the future after each of `cuts` times raised and lowered (shuffled too) and cut
    off, and compare what they decided up to then. Everything is derived and computed anew from the bars.

    Times are closes of bars: those at which something was decided, others, and those of higher intervals; which, and
    the shuffles, follow from `seed`. By default every decision has its own, as far as that takes no more than some ten
    seconds (of `signals` 20 million bars in all runs together, of `on_bar` 2 million); 40 at least. What the strategy
    reads besides its bars is noticed when its code is loaded and while it first runs. ConfigError for a form that sees
    all symbols.
    """
    rng = np.random.default_rng(seed)
    with watching() as seen:
        plan.source.load_anew()
        data, true = _decided(loaded, plan)
    report = LookaheadReport(loaded.symbol, 0, len(true), outside=tuple(sorted(seen)))
    if true.error is not None:
        return replace(report, error=f"the strategy raised an error:\n{true.error}")
    if len(changed_ns(true, _decided(loaded, plan)[1])):
        return replace(report, error=_WHIMSICAL)
    chosen = _cut_times(data, true, cuts or _affordable(plan.form, len(data.base)), rng)
    past = _Past(loaded, plan, data, true)
    changed = (difference for cut_ns in chosen if (difference := past.difference(cut_ns, rng)) is not None)
    differences = tuple(islice(changed, _MOST_DIFFERENCES))
    tried = int(np.isin(true.ns, chosen).sum())
    return replace(report, cuts=len(chosen), tried=tried, differences=differences)


def _affordable(form: str, bars: int) -> int:
    return max(_FEWEST_CUTS, _MOST_BARS[form] // ((len(_FACTORS) + 1) * bars))


def _decided(loaded: LoadedRange, plan: Plan) -> tuple[SymbolData, Decisions]:
    data = loaded.prepare(plan.strategy())
    return data, decisions_of(plan, data, loaded.session_range.timezone)


@dataclass(frozen=True, eq=False)
class _Past:
    """What was decided with the true future, to be compared with what is decided with another."""

    loaded: LoadedRange
    plan: Plan
    data: SymbolData
    true: Decisions

    def difference(self, cut_ns: int, rng: np.random.Generator) -> Difference | None:
        """The first decision up to `cut_ns` that another future changes; None where none does."""
        base = self.loaded.base
        known = base.closed_by(cut_ns)
        for future, factor in _FACTORS.items():
            changed_base = _with_other_future(base, known, factor, rng)
            tables = {n: one.with_other_future(cut_ns, factor, rng) for n, one in self.loaded.tables.items()}
            other = replace(self.loaded, base=changed_base, tables=tables)
            data, decided = _decided(other, self.plan)
            changed = self._changed(decided, cut_ns, cut_ns, future)
            if changed is not None:
                return replace(changed, culprits=self._culprits(data, cut_ns))
            if peeks := peeking(self.data, data, cut_ns, future):
                return peeks
        return self._changed_by_cut(cut_ns, known)

    def _changed_by_cut(self, cut_ns: int, known: int) -> Difference | None:
        base, traded = self.loaded.base, self.loaded.traded
        session = int(base.session[known - 1])
        tables = {name: table.until(cut_ns) for name, table in self.loaded.tables.items()}
        shorter = replace(self.loaded, base=base.take(slice(0, known)), traded=traded[traded <= session], tables=tables)
        # with flat_at_close the engine holds the last bar that there is to be the session's last one
        until = int(base.end_ns[known - 2]) if self.plan.account.flat_at_close and known > 1 else cut_ns
        data, decided = _decided(shorter, self.plan)
        return self._changed(decided, cut_ns, until, "cut off") or peeking(self.data, data, cut_ns, "cut off")

    def _changed(self, other: Decisions, cut_ns: int, until_ns: int, future: Future) -> Difference | None:
        changed = changed_ns(self.true.between(0, until_ns), other.between(0, until_ns))
        raised = other.error is not None and (other.error_ns is None or other.error_ns <= until_ns)
        if not len(changed) and not raised:
            return None
        when = int(changed[0]) if len(changed) else until_ns
        instead = f"an error: {str(other.error).strip().splitlines()[-1]}" if raised else other.at(when)
        return Difference(self.loaded.symbol, cut_ns, when, future, self.true.at(when), instead)

    def _culprits(self, other: SymbolData, cut_ns: int) -> tuple[str, ...]:
        """The inputs of which one alone, from data with another future, changes a decision before the cut."""
        timezone = self.loaded.session_range.timezone
        return tuple(
            name
            for name, mixed in _swapped(self.data, other)
            if self._changed(decisions_of(self.plan, mixed, timezone), cut_ns, cut_ns, "raised") is not None
        )


def _swapped(data: SymbolData, other: SymbolData) -> Iterator[tuple[str, SymbolData]]:
    """The data with one input after the other from `other`, and that input's name."""
    for name, spec in data.specs.items():
        indicators = {**data.indicators, name: other.indicators[name]}
        yield called(name, spec), replace(data, indicators=indicators)
    for name, table in other.tables.items():
        yield f"table {name}", replace(data, tables={**data.tables, name: table})
    for interval in data.series:
        mixed = replace(data, series={**data.series, interval: other.series[interval]})
        fills_on = interval == data.base.interval != data.interval
        yield f"{interval} bars", replace(mixed, base=other.base) if fills_on else mixed


def _cut_times(data: SymbolData, true: Decisions, cuts: int, rng: np.random.Generator) -> list[int]:
    """Closes of base bars in traded sessions, ascending: all but twenty, at least half, where something was decided."""
    closes = data.base.end_ns[np.isin(data.base.session, data.traded)]
    pools = [np.intersect1d(true.ns, closes), data.bars.end_ns[data.live]]
    pools += [series.end_ns for interval, series in data.series.items() if interval != data.interval]
    others = min(cuts, _FEWEST_CUTS) / 2
    shares = [cuts - others] + [others / (len(pools) - 1)] * (len(pools) - 1)
    picked: set[int] = set()
    for pool, share in zip(pools, shares, strict=True):
        there = np.intersect1d(pool, closes)
        picked.update(rng.choice(there, min(len(there), int(np.ceil(share))), replace=False).tolist())
    return sorted(picked)


def _with_other_future(base: IntervalBars, known: int, factor: float, rng: np.random.Generator) -> IntervalBars:
    """The same stamps; from row `known` on the bars in another order, prices and volumes times `factor`."""
    order = np.concatenate((np.arange(known), known + rng.permutation(len(base) - known)))
    scale = np.where(np.arange(len(base)) < known, 1.0, factor)
    bars = base.bars
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return replace(base, bars=Bars(bars.start_ns, *(column[order] * scale for column in columns)))
