"""Does a strategy look ahead? It decides again without the future, and with another one: its past must not change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from barray.market.bars import Bars, IntArray, format_ns
from barray.market.calendar import Sessions
from barray.market.errors import ConfigError
from barray.market.series import IntervalBars
from barray.trading.checks.decisions import Decisions, changed_ns, decisions_of
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData, prepare

Future = Literal["cut off", "raised", "lowered"]
_FACTORS: Mapping[Future, float] = {"raised": 1.7, "lowered": 0.6}
_MOST_DIFFERENCES = 20


@dataclass(frozen=True)
class Difference:
    """A decision at `decided_ns` that changed when the future from `cut_ns` on did (UTC ns; decided_ns ≤ cut_ns).

    `future`: what was done to it. `decided`, `instead`: what the strategy did with the true future and with that one.
    `culprits`: the inputs whose future alone changes it, such as `1m bars` or `rsi (RSI(14)@5m)`; none where it takes
    several, or the bars to be cut off.
    """

    symbol: str
    cut_ns: int
    decided_ns: int
    future: Future
    decided: str
    instead: str
    culprits: tuple[str, ...] = ()

    def __str__(self) -> str:
        through = f", through {' and '.join(self.culprits)}" if self.culprits else ""
        return (
            f"{self.symbol} at {format_ns(self.decided_ns)}: {self.decided}; with the bars after"
            f" {format_ns(self.cut_ns)} {self.future}: {self.instead}{through}"
        )


@dataclass(frozen=True)
class LookaheadReport:
    """What became of `decisions` decisions at `cuts` cuts. `differences`: the first of each cut that has any, at most
    twenty. `error`: why the strategy could not be judged.
    """

    symbol: str
    cuts: int
    decisions: int
    differences: tuple[Difference, ...] = ()
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it was judged and no decision depends on the future."""
        return not self.differences and self.error is None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report for people."""
        if self.error is not None:
            return (f"{self.symbol}: {self.error}",)
        if not self.decisions:
            return (f"{self.symbol}: the strategy decided nothing, so there is nothing to compare",)
        tried = f"{self.decisions} decisions, the future changed at {self.cuts} times"
        if self.ok:
            return (f"{self.symbol}: no decision depends on the future ({tried})",)
        hints = {_hint(culprit) for found in self.differences for culprit in found.culprits or ("",)}
        return (f"{self.symbol}: the strategy looks ahead ({tried})", *map(str, self.differences), *sorted(hints))


def lookahead(
    make: Callable[[], Strategy],
    base: IntervalBars,
    sessions: Sessions,
    traded: IntArray,
    history: Mapping[int, int],
    market: Market,
    account: Account,
    *,
    form: str,
    symbol: str = "",
    timezone: str = "UTC",
    cuts: int = 40,
    seed: int = 0,
) -> LookaheadReport:
    """Let fresh strategies of `make` decide with the future after each of `cuts` times cut off, raised and lowered
    (shuffled too), and compare what they decided up to then. Everything is derived and computed anew from the bars.

    Times are closes of bars: those at which something was decided, others, and those of higher intervals.
    """
    if form not in ("on_bar", "signals"):
        raise ConfigError(f"form is {form!r}", remedy="the lookahead check runs on_bar and signals")
    rng = np.random.default_rng(seed)

    def prepared(bars: IntervalBars, rows: IntArray = traded) -> SymbolData:
        return prepare(symbol, bars, make().needs(), sessions, rows, history)

    def decided(data: SymbolData) -> Decisions:
        return decisions_of(make(), data, market, account, form=form, timezone=timezone)

    data = prepared(base)
    true = decided(data)
    if true.error is not None:
        return LookaheadReport(symbol, 0, len(true), error=f"the strategy raised an error:\n{true.error}")
    if len(changed_ns(true, decided(prepared(base)))):
        return LookaheadReport(
            symbol,
            0,
            len(true),
            error="the strategy decides differently on the same data; give what is random a fixed seed, and keep"
            " nothing between runs in its class or module",
        )
    chosen = _cut_times(data, true, cuts, rng)
    found: list[Difference] = []
    for cut_ns in chosen:
        known = base.closed_by(cut_ns)
        session = int(base.session[known - 1])
        shorter = decided(prepared(base.take(slice(0, known)), traded[traded <= session]))
        # with flat_at_close the engine takes the last bar that there is for the session's last one
        until = int(base.end_ns[known - 2]) if account.flat_at_close and known > 1 else cut_ns
        difference = _first_difference(symbol, cut_ns, until, "cut off", true, shorter)
        for future, factor in _FACTORS.items():
            other = prepared(_with_other_future(base, known, factor, rng))
            changed = _first_difference(symbol, cut_ns, cut_ns, future, true, decided(other))
            if changed is not None:
                difference = replace(changed, culprits=_culprits(data, other, decided, true, cut_ns))
                break
        if difference is not None:
            found.append(difference)
        if len(found) == _MOST_DIFFERENCES:
            break
    return LookaheadReport(symbol, len(chosen), len(true), tuple(found))


def _cut_times(data: SymbolData, true: Decisions, cuts: int, rng: np.random.Generator) -> list[int]:
    """Closes of base bars in traded sessions, ascending: half of them where something was decided."""
    closes = data.base.end_ns[np.isin(data.base.session, data.traded)]
    pools = [np.intersect1d(true.ns, closes), data.bars.end_ns[data.live]]
    pools += [series.end_ns for interval, series in data.series.items() if interval != data.interval]
    shares = [cuts / 2] + [cuts / 2 / (len(pools) - 1)] * (len(pools) - 1)
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


def _first_difference(
    symbol: str, cut_ns: int, until_ns: int, future: Future, true: Decisions, other: Decisions
) -> Difference | None:
    changed = changed_ns(true.between(0, until_ns), other.between(0, until_ns))
    if other.error is not None and (other.error_ns is None or other.error_ns <= until_ns):
        when = int(changed[0]) if len(changed) else until_ns
        return Difference(
            symbol, cut_ns, when, future, true.at(when), "an error: " + other.error.strip().split("\n")[-1]
        )
    if not len(changed):
        return None
    when = int(changed[0])
    return Difference(symbol, cut_ns, when, future, true.at(when), other.at(when))


def _culprits(
    data: SymbolData, other: SymbolData, decided: Callable[[SymbolData], Decisions], true: Decisions, cut_ns: int
) -> tuple[str, ...]:
    """The inputs of which one alone, taken from data with another future, changes a decision before the cut."""
    swapped: dict[str, SymbolData] = {}
    for name, spec in data.specs.items():
        mixed = {**data.indicators, name: other.indicators[name]}
        swapped[f"{name} ({spec.key})"] = replace(data, indicators=mixed)
    for interval in data.series:
        swapped[f"{interval} bars"] = replace(data, series={**data.series, interval: other.series[interval]})
    if data.base.interval != data.interval:
        name = f"{data.base.interval} bars"
        swapped[name] = replace(swapped[name], base=other.base)
    return tuple(
        name
        for name, mixed in swapped.items()
        if _first_difference("", cut_ns, cut_ns, "raised", true, decided(mixed)) is not None
    )


def _hint(culprit: str) -> str:
    if not culprit:
        return (
            "hint: where only cutting the future off changes something, a decision depends on whether another bar"
            " follows: tell a session's end by its close (data.minute, ctx.minutes_to_close), not by its last bar"
        )
    return (
        f"hint: {culprit}: look for [i + 1], shift(-1), a maximum or mean of the whole array, a value carried back; a"
        " bar of a higher interval is known from its close on, see data.visible(interval)"
    )
