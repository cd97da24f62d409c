"""What a check for lookahead found, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

from barray.market.bars import format_ns

Future = Literal["cut off", "raised", "lowered"]
Verdict = Literal["ok", "looks ahead", "can't tell"]


@dataclass(frozen=True)
class Difference:
    """A decision at `decided_ns` that changed when the future from `cut_ns` on did (UTC ns; decided_ns ≤ cut_ns).

    `future`: what was done to it. `decided`, `instead`: what the strategy did with the true future and with that one.
    `culprits`: the inputs whose future alone changes it, such as `1m bars` or `rsi (RSI(14)@5m)`; none where it takes
    several, or the bars to be cut off. Of an own indicator, which no decision need have followed, its values.
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
    """What became of `decisions` decisions at `cuts` cuts; `tried` decisions had a cut at their own time.

    `differences`: the first of each cut that has any, at most twenty. `outside`: what the strategy reads besides its
    bars, see barray.trading.checks.outside. `error`: why the strategy could not be judged.
    """

    symbol: str
    cuts: int
    decisions: int
    differences: tuple[Difference, ...] = ()
    error: str | None = None
    tried: int = 0
    outside: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`can't tell` where it could not be judged, decided nothing, or reads more than its bars."""
        if self.differences:
            return "looks ahead"
        return "can't tell" if self.error is not None or not self.decisions or self.outside else "ok"

    @property
    def ok(self) -> bool:
        """Whether it was judged and no decision depends on the future."""
        return self.verdict == "ok"

    @property
    def sentences(self) -> tuple[str, ...]:
        """The report for people."""
        reads = tuple(f"it reads {one}, where the future may stand: no check can know" for one in self.outside)
        if self.error is not None:
            return (f"{self.symbol}: can't tell: {self.error}", *reads)
        if not self.decisions and not self.differences:
            return (f"{self.symbol}: can't tell: the strategy decided nothing: nothing was checked", *reads)
        if self.differences:
            hints = {_hint(culprit) for found in self.differences for culprit in found.culprits or ("",)}
            first = f"{self.symbol}: the strategy looks ahead ({self._checked})"
            return (first, *map(str, self.differences), *sorted(hints), *reads)
        if self.outside:
            return (f"{self.symbol}: can't tell: its bars' future changes no decision ({self._checked}), but", *reads)
        return (f"{self.symbol}: no decision depends on the future ({self._checked})", *self._missed)

    @property
    def _checked(self) -> str:
        if self.tried == self.decisions:
            return f"{self.decisions} decisions, each with another future from the very next bar on"
        return f"{self.decisions} decisions, the future changed at {self.cuts} times"

    @property
    def _missed(self) -> tuple[str, ...]:
        """What the check can't have seen: a decision that looks one bar ahead shows at its own cut alone."""
        if self.tried == self.decisions:
            return ()
        chance = 1 - self.tried / self.decisions
        return (
            f"{self.tried} of the decisions had a cut at their own time: if a single one looks just one bar ahead, it"
            f" is missed with a chance of {chance:.1%}, if ten do, all are with {_all_missed(self, 10):.1%}; more"
            " cuts, or fewer sessions, see more",
        )


def _all_missed(report: LookaheadReport, cheats: int) -> float:
    """The chance that none of `cheats` decisions is among those that were tried."""
    left, every = report.decisions - report.tried, report.decisions
    return prod(max(left - k, 0) / max(every - k, 1) for k in range(cheats))


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
