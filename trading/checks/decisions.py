"""What a strategy decided, when, in a form that two runs can be compared in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.errors import ConfigError
from barray.trading.engine.commands import Plan
from barray.trading.engine.event_run import EventRun
from barray.trading.orders.broker import Broker
from barray.trading.orders.fills import Fill
from barray.trading.orders.order import Order
from barray.trading.orders.terms import OrderTerms
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import failure_text, file_of
from barray.trading.strategy.signals import Signals

_FLAGS = ("entries", "exits", "short_entries", "short_exits")
_PRICES = ("size", "stop_loss", "take_profit", "trailing_stop")
_TERMS = ("limit", "stop", "trail", "stop_loss", "take_profit", "trailing_stop")
_ORDER, _FILL = 0.0, 1.0
EVENT_VALUES = 3 + len(_TERMS)
"""How many a row of orders and fills has."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """Decisions in order of time. `ns` int64 (n,): when each was made, UTC ns. `values` float64 (n, k): what it was.

    Of `signals`: one for each bar with any; entries, exits, short_entries, short_exits, size, then the guards.
    Of `on_bar`: orders and fills; which of the two, quantity, limit, stop, trail, the guards, day order. Guards are
    stop_loss, take_profit, trailing_stop. Of a portfolio the same, and before it which of its `symbols`.
    `error`: the traceback where the strategy raised, at `error_ns` (None: before the first bar, or in `signals`).
    """

    form: str
    ns: IntArray
    values: FloatArray
    error: str | None = None
    error_ns: int | None = None
    symbols: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ns)

    def between(self, first_ns: int, last_ns: int) -> Decisions:
        """Those made from `first_ns` to `last_ns`, both included."""
        kept = slice(*np.searchsorted(self.ns, (first_ns, last_ns + 1)).tolist())
        return replace(self, ns=self.ns[kept], values=self.values[kept])

    def of(self, symbol: str) -> Decisions:
        """Those on one symbol of a portfolio, as decisions of a symbol."""
        kept = self.values[:, 0] == self.symbols.index(symbol)
        return replace(self, ns=self.ns[kept], values=self.values[kept, 1:], symbols=())

    def at(self, ns: int) -> str:
        """Those made at one time, for people."""
        rows = self.values[slice(*np.searchsorted(self.ns, (ns, ns + 1)).tolist())]
        return ", ".join(self._text(row) for row in rows.tolist()) or "nothing"

    def _text(self, row: list[float]) -> str:
        if self.symbols:
            return f"{self.symbols[int(row[0])]}: {replace(self, symbols=())._text(row[1:])}"
        if self.form == "signals":
            flags = " and ".join(name for name, on in zip(_FLAGS, row, strict=False) if on)
            return flags + _named(_PRICES, row[len(_FLAGS) :])
        if row[0] == _FILL:
            return f"a fill of {row[1]:g} at {row[2]:g}"
        return f"an order for {row[1]:g}" + _named(_TERMS, row[2:])


def changed_ns(one: Decisions, other: Decisions) -> IntArray:
    """The times at which two runs decided differently, int64 (n,) ascending. Rounding is no difference."""
    if _same(one.ns, one.values, other.ns, other.values):
        return np.empty(0, np.int64)
    changed = []
    for ns in np.union1d(one.ns, other.ns).tolist():
        a, b = one.between(ns, ns), other.between(ns, ns)
        if not _same(a.ns, a.values, b.ns, b.values):
            changed.append(ns)
    return np.array(changed, np.int64)


def told_apart(one: Decisions, other: Decisions, ns: int) -> tuple[str | None, str, str]:
    """What two runs decided differently at a time, in words; of a portfolio, on the first symbol where they differ."""
    for symbol in one.symbols:
        own, others = one.of(symbol).between(ns, ns), other.of(symbol).between(ns, ns)
        if len(changed_ns(own, others)):
            return symbol, own.at(ns), others.at(ns)
    return None, one.at(ns), other.at(ns)


def decisions_of(plan: Plan, data: SymbolData, timezone: str) -> Decisions:
    """What fresh strategies of a plan decide over all sessions that are traded; each gets its own where nothing carries
    over. ConfigError for a form that sees all symbols.
    """
    if plan.form not in ("on_bar", "signals"):
        raise ConfigError(f"form is {plan.form!r}", remedy="this check runs on_bar and signals")
    if plan.account.carry or len(data.traded) < 2:
        return _decided(plan, data, timezone)
    alone = [replace(data, traded=data.traded[i : i + 1]) for i in range(len(data.traded))]
    return _joined([_decided(plan, one, timezone) for one in alone])


def _decided(plan: Plan, data: SymbolData, timezone: str) -> Decisions:
    if plan.form == "signals":
        return _of_signals(plan.strategy(), data)
    broker = _Recorder(data.base.bars, plan.market, plan.account)
    return _of_events(EventRun(plan.strategy(), data, broker, timezone), broker)


def _of_signals(strategy: Strategy, data: SymbolData) -> Decisions:
    try:
        signals = strategy.signals(data)
        if not isinstance(signals, Signals):
            raise TypeError(f"signals returned {type(signals).__name__}, not Signals")
        n = len(data.bars)
        columns = np.zeros((n, len(_FLAGS) + len(_PRICES)))
        for at, name in enumerate((*_FLAGS, *_PRICES)):
            given = getattr(signals, name)
            columns[:, at] = (0.0 if name in _FLAGS else np.nan) if given is None else given
    except Exception:  # the user's code
        empty = np.empty((0, len(_FLAGS) + len(_PRICES)))
        return Decisions("signals", np.empty(0, np.int64), empty, failure_text(file_of(strategy), data.symbol))
    marked = columns[:, : len(_FLAGS)].any(axis=1) & data.live
    columns[columns[:, 0] + columns[:, 2] == 0, len(_FLAGS) :] = np.nan  # only entries have a size and guards
    return Decisions("signals", data.bars.end_ns[marked], columns[marked])


def _joined(parts: list[Decisions]) -> Decisions:
    """Sessions that each began anew, as one; the first error is told."""
    failed = next((part for part in parts if part.error is not None), parts[0])
    ns, values = np.concatenate([part.ns for part in parts]), np.concatenate([part.values for part in parts])
    return Decisions(failed.form, ns, values, failed.error, failed.error_ns)


class _Recorder(Broker):
    """A broker that keeps what was ordered, and when."""

    clock: Callable[[], int]
    stamp: int | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ordered: list[tuple[int, list[float]]] = []

    def place(self, terms: OrderTerms, now_ns: int = 0) -> Order:
        self.ordered.append((self.clock() if self.stamp is None else self.stamp, order_values(terms)))
        return super().place(terms, now_ns)

    def stamped(self, method: Callable[..., None], stamp_of: Callable[..., int]) -> Callable[..., None]:
        """`method`, with its orders stamped by `stamp_of` its arguments."""

        def call(*arguments: Any) -> None:
            self.stamp = stamp_of(*arguments)
            try:
                method(*arguments)
            finally:
                self.stamp = None

        return call


def _of_events(run: EventRun, broker: _Recorder) -> Decisions:
    context, base = run.context, run.data.base
    broker.clock = lambda: context.now_ns
    stamps: dict[str, Callable[..., int]] = {
        "on_start": lambda _: context.now_ns + 1,  # after what the bar that closes at the very open brought (24/7)
        "on_session": lambda _: context.now_ns + 1,
        "on_fill": lambda _, fill: int(base.end_ns[fill.row]),  # now is still the bar before
    }
    for name, stamp_of in stamps.items():
        setattr(run.strategy, name, broker.stamped(getattr(run.strategy, name), stamp_of))
    run.run()
    filled = [(int(base.end_ns[fill.row]), fill_values(fill)) for fill in broker.fills]
    made = sorted(filled + broker.ordered, key=lambda entry: (entry[0], -entry[1][0]))  # in a bar fills come first
    ns = np.array([stamp for stamp, _ in made], np.int64)
    values = np.array([row for _, row in made], np.float64).reshape(len(made), EVENT_VALUES)
    return Decisions("on_bar", ns, values, run.error, run.error_ns)


def _same(ns: NDArray[Any], values: FloatArray, other_ns: NDArray[Any], other: FloatArray) -> bool:
    return np.array_equal(ns, other_ns) and np.allclose(values, other, rtol=1e-9, atol=1e-12, equal_nan=True)


def order_values(terms: OrderTerms) -> list[float]:
    """An order as a row of Decisions."""
    prices = (_number(getattr(terms, name)) for name in _TERMS)
    return [_ORDER, float(terms.quantity), *prices, float(terms.tif == "day")]


def fill_values(fill: Fill) -> list[float]:
    """A fill as a row of Decisions."""
    return [_FILL, float(fill.quantity), float(fill.price), *([float("nan")] * (len(_TERMS) - 1)), 0.0]


def _number(price: float | None) -> float:
    return float("nan") if price is None else float(price)


def _named(names: tuple[str, ...], values: list[float]) -> str:
    return "".join(f", {name} {value:g}" for name, value in zip(names, values, strict=False) if not isnan(value))
