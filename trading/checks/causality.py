"""Whether a strategy looks ahead: it decides again without the future, and with another one, and its past must stay."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from barray.market.bars import Bars, IntArray
from barray.market.interval import Interval
from barray.market.series import IntervalBars
from barray.trading.checks.decisions import Decisions, changed_ns, told_apart
from barray.trading.checks.lookahead_report import Difference, Future, LookaheadReport
from barray.trading.checks.outside import watching
from barray.trading.checks.peeking import called, peeking
from barray.trading.checks.subject import Subject
from barray.trading.engine.commands import Plan
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.strategy.data import SymbolData

_FACTORS: Mapping[Future, float] = {"raised": 1.7, "lowered": 0.6}
_MOST_DIFFERENCES = 20
_FEWEST_CUTS = 40
_MOST_BARS = {"signals": 20_000_000, "on_bar": 2_000_000, "on_window": 10_000_000}
"""How many bars all runs together may go through: a matter of ten seconds."""
_WHIMSICAL = (
    "the strategy decides differently on the same data; give what is random a fixed seed, and keep nothing between runs"
    " in its class or module"
)


def lookahead(
    loaded: LoadedRange | Sequence[LoadedRange],
    plan: Plan,
    *,
    window: Interval | None = None,
    cuts: int | None = None,
    seed: int = 0,
) -> LookaheadReport:
    """Let fresh strategies decide with the future after each of `cuts` times raised and lowered (shuffled too) and cut
    off, and compare what they decided up to then. Everything is derived and computed anew from the bars.

    `loaded`: a symbol's bars, or those of all symbols that the plan sees or pays for together, which all get another
    future at once; `window`: see barray.trading.checks.portfolio.

    Times are closes of bars: those at which something was decided, others, and those of higher intervals; which, and
    the shuffles, follow from `seed`. By default every decision has its own, as far as that takes no more than some ten
    seconds (of `signals` 20 million bars in all runs together, of `on_window` 10, of `on_bar` 2 million); 40 at least.
    What the strategy reads besides its bars is noticed when its code is loaded and while it first runs.
    """
    rng = np.random.default_rng(seed)
    subject = Subject.of(loaded, plan, window)
    with watching() as seen:
        plan.source.load_anew()
        data, true = subject.decided()
    report = LookaheadReport(subject.name, 0, len(true), outside=tuple(sorted(seen)))
    if true.error is not None:
        return replace(report, error=f"the strategy raised an error:\n{true.error}")
    if len(changed_ns(true, subject.decided()[1])):
        return replace(report, error=_WHIMSICAL)
    chosen = _cut_times(subject, data, true, cuts or _affordable(subject), rng)
    past = _Past(subject, data, true)
    changed = (difference for cut_ns in chosen if (difference := past.difference(cut_ns, rng)) is not None)
    differences = tuple(islice(changed, _MOST_DIFFERENCES))
    tried = int(np.isin(true.ns, chosen).sum())
    return replace(report, cuts=len(chosen), tried=tried, differences=differences)


def _affordable(subject: Subject) -> int:
    form = subject.plan.form
    most = _MOST_BARS["on_bar" if subject.plan.in_windows and form == "signals" else form]
    return max(_FEWEST_CUTS, most // ((len(_FACTORS) + 1) * subject.bars))


@dataclass(frozen=True, eq=False)
class _Past:
    """What was decided with the true future, to be compared with what is decided with another."""

    subject: Subject
    data: Sequence[SymbolData]
    true: Decisions

    def difference(self, cut_ns: int, rng: np.random.Generator) -> Difference | None:
        """The first decision up to `cut_ns` that another future changes; None where none does."""
        row = self.subject.row_of(cut_ns)
        for future, factor in _FACTORS.items():
            others = [_with_another_future(one, cut_ns, factor, rng) for one in self.subject.loaded]
            data, decided = replace(self.subject, loaded=tuple(others)).decided(row)
            changed = self._changed(decided, cut_ns, cut_ns, future)
            if changed is not None:
                return replace(changed, culprits=self._culprits(data, cut_ns))
            if peeks := self._peeks(data, cut_ns, future):
                return peeks
        return self._changed_by_cut(cut_ns)

    def _changed_by_cut(self, cut_ns: int) -> Difference | None:
        shorter = self.subject.at_most_until(cut_ns)
        row, until_ns = self.subject.row_of(cut_ns), cut_ns
        if self.subject.plan.in_windows:
            # the engine holds a symbol's last bar that there is to be its session's last one, and one without to be
            # left out of it
            here = [one for one in self.subject.loaded if row in one.traded]
            known = [one.base.end_ns[one.base.session == row] for one in here]
            until_ns = min((int(ends[ends <= cut_ns].max(initial=0)) for ends in known), default=0) - 1
        elif self.subject.plan.account.flat_at_close and len(shorter.loaded[0].base) > 1:
            until_ns = int(shorter.loaded[0].base.end_ns[-2])
        data, decided = shorter.decided(row)
        changed = self._changed(decided, cut_ns, until_ns, "cut off") if until_ns > 0 else None
        return changed or self._peeks(data, cut_ns, "cut off")

    def _peeks(self, others: Sequence[SymbolData], cut_ns: int, future: Future) -> Difference | None:
        """The first own indicator, of any symbol, whose past another future changes."""
        other = {one.symbol: one for one in others}
        pairs = [(one, other[one.symbol]) for one in self.data if one.symbol in other]
        return next(filter(None, (peeking(*pair, cut_ns, future) for pair in pairs)), None)

    def _changed(self, other: Decisions, cut_ns: int, until_ns: int, future: Future) -> Difference | None:
        changed = changed_ns(self.true.between(0, until_ns), other.between(0, until_ns))
        raised = other.error is not None and (other.error_ns is None or other.error_ns <= until_ns)
        if not len(changed) and not raised:
            return None
        when = int(changed[0]) if len(changed) else until_ns
        symbol, decided, instead = told_apart(self.true, other, when)
        if raised:
            instead = f"an error: {str(other.error).strip().splitlines()[-1]}"
        return Difference(symbol or self.subject.name, cut_ns, when, future, decided, instead)

    def _culprits(self, others: Sequence[SymbolData], cut_ns: int) -> tuple[str, ...]:
        """The inputs of which one alone, from data with another future, changes a decision before the cut."""
        row = self.subject.row_of(cut_ns)
        return tuple(
            name
            for name, mixed in _swapped(self.data, others, together=self.subject.plan.in_windows)
            if self._changed(self.subject.decide(mixed, row), cut_ns, cut_ns, "raised") is not None
        )


def _swapped(
    data: Sequence[SymbolData], others: Sequence[SymbolData], *, together: bool
) -> Iterator[tuple[str, list[SymbolData]]]:
    """The data with one input after the other from `others`, and that input's name. `together`: in a portfolio, where
    the base bars are seen, too.
    """
    for name, spec in data[0].specs.items():
        mixed = [
            replace(own, indicators={**own.indicators, name: other.indicators[name]})
            for own, other in zip(data, others, strict=True)
        ]
        yield called(name, spec), mixed
    for name in data[0].tables:
        yield (
            f"table {name}",
            [
                replace(own, tables={**own.tables, name: other.tables[name]})
                for own, other in zip(data, others, strict=True)
            ],
        )
    for interval in sorted({interval for one in data for interval in one.series}):
        mixed = [_with_bars(*both, interval, together=together) for both in zip(data, others, strict=True)]
        yield f"{interval} bars", mixed


def _with_bars(own: SymbolData, other: SymbolData, interval: Interval, *, together: bool) -> SymbolData:
    if interval not in own.series:
        return own
    mixed = replace(own, series={**own.series, interval: other.series[interval]})
    is_base = interval == own.base.interval
    return replace(mixed, base=other.base) if is_base and (together or interval != own.interval) else mixed


def _cut_times(
    subject: Subject, data: Sequence[SymbolData], true: Decisions, cuts: int, rng: np.random.Generator
) -> list[int]:
    """Closes of base bars in traded sessions, ascending: all but twenty, at least half, where something was decided."""
    closes = subject.closes
    pools = [np.intersect1d(true.ns, closes), _together([one.bars.end_ns[one.live] for one in data])]
    others = dict.fromkeys(interval for one in data for interval in one.series if interval != one.interval)
    pools += [_together([one.series[i].end_ns for one in data if i in one.series]) for i in others]
    rest = min(cuts, _FEWEST_CUTS) / 2
    shares = [cuts - rest] + [rest / (len(pools) - 1)] * (len(pools) - 1)
    picked: set[int] = set()
    for pool, share in zip(pools, shares, strict=True):
        there = np.intersect1d(pool, closes)
        picked.update(rng.choice(there, min(len(there), int(np.ceil(share))), replace=False).tolist())
    return sorted(picked)


def _together(times: Sequence[IntArray]) -> IntArray:
    return np.unique(np.concatenate(times))


def _with_another_future(loaded: LoadedRange, cut_ns: int, factor: float, rng: np.random.Generator) -> LoadedRange:
    base = _with_other_future(loaded.base, loaded.base.closed_by(cut_ns), factor, rng)
    tables = {name: table.with_other_future(cut_ns, factor, rng) for name, table in loaded.tables.items()}
    return replace(loaded, base=base, tables=tables)


def _with_other_future(base: IntervalBars, known: int, factor: float, rng: np.random.Generator) -> IntervalBars:
    """The same stamps; from row `known` on the bars in another order, prices and volumes times `factor`."""
    order = np.concatenate((np.arange(known), known + rng.permutation(len(base) - known)))
    scale = np.where(np.arange(len(base)) < known, 1.0, factor)
    bars = base.bars
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return replace(base, bars=Bars(bars.start_ns, *(column[order] * scale for column in columns)))
