"""One symbol going through its range in steps: what the process that holds its bars does of a windowed run."""

from __future__ import annotations

from dataclasses import replace
from math import copysign, nan
from time import perf_counter

import numpy as np

from barray.market.bars import Bars, FloatArray
from barray.market.indicators import IndicatorSpec
from barray.market.series import IntervalBars
from barray.trading.engine.array_run import place_orders, signals_of
from barray.trading.engine.commands import CloseRun, Plan, Step, Stepped
from barray.trading.engine.event_run import EventRun, Outcome, joined
from barray.trading.engine.listener import Listener
from barray.trading.engine.symbol_run import LoadedRange, summarise
from barray.trading.engine.watchdog import watched
from barray.trading.orders.accounts import Approval, NewOrder, OrderRequest, WorkingOrder
from barray.trading.orders.broker import Account, Broker, Order, Refusal
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fills
from barray.trading.results.result import SymbolResult
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import DidNotReturn
from barray.trading.strategy.signals import Signals


class WindowRun:
    """A run that stops at every window's end. Its state is a function of the steps it was told."""

    def __init__(self, loaded: LoadedRange, plan: Plan) -> None:
        self._loaded = loaded
        self._plan = plan
        self._data = loaded.prepare(plan.strategy())
        self._account = replace(plan.account, capital=0.0) if plan.shared else plan.account
        self._ahead = self._data.traded.tolist()
        self._session: int | None = None
        self._day = _Today(loaded, self._data)
        self._done: list[Outcome] = []
        self._engine_s = 0.0
        self._last: Stepped | None = None
        many = len(self._ahead) if plan.form == "signals" else 1
        self._limit_s = plan.call_timeout_s and plan.call_timeout_s * max(many, 1)
        self._listener = Listener(loaded.symbol, lambda: self._run.context.now_ns)
        self._new_life()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the strategy's indicators, in the order of `Stepped.values`."""
        return tuple(self._data.indicators)

    @property
    def opens(self) -> frozenset[int]:
        """Opens of the sessions that are gone through, UTC ns."""
        return frozenset(self._data.sessions.open_ns[self._data.traded].tolist())

    def _new_life(self) -> None:
        """A strategy object and an account that know of nothing before."""
        self._broker = WindowBroker(self._data.base.bars, self._plan.market, self._account, shared=self._plan.shared)
        strategy, written = self._strategies()
        timezone = self._loaded.session_range.timezone
        self._run = EventRun(strategy, self._data, self._broker, timezone, written)
        self._started = False
        self._fills = 0

    def _strategies(self) -> tuple[Strategy, Strategy]:
        """What runs here, and what the user wrote of it."""
        written = self._plan.strategy()
        match self._plan.form:
            case "on_window":
                return _Idle(), written
            case "signals":
                return _Following(written, self._data, self._broker), written
        return written, written

    def step(self, step: Step) -> Stepped:
        """Carry a step out, once."""
        if self._last is not None and step.to_ns <= self._last.now_ns:
            return self._last
        began = perf_counter()
        self._obey(step)
        try:
            with self._listener, watched(lambda: self._run.place, self._limit_s):
                self._go(step.to_ns)
        except (Exception, DidNotReturn):  # the user's code: its error is the symbol's end, not the run's
            self._run.stop()
        self._day.see(step.to_ns)
        self._last = self._report(step.to_ns)
        self._engine_s += perf_counter() - began
        return self._last

    def close(self, command: CloseRun) -> SymbolResult:
        """End the run and say what came of it."""
        self._bury()
        outcome = replace(joined(self._done), logs=self._listener.heard())
        self._done.pop()
        traded = self._data.traded
        entered = traded[: len(traded) - len(self._ahead)]
        return summarise(
            self._loaded, self._account, outcome, command.grid_ns, self._engine_s, command.hold_capital, entered
        )

    def _bury(self) -> None:
        run, broker = self._run, self._broker
        self._done.append(Outcome(Fills.of(broker.fills), broker.all_refusals(), run.error, run.error_ns))

    def _obey(self, step: Step) -> None:
        broker = self._broker
        if step.funds is not None:
            broker.funds = step.funds
        if step.cancel:
            broker.cancel_all("cancelled by the strategy")
        for new_order in step.new_orders:
            broker.place_new(new_order)
        for approval in step.approvals:
            broker.approve(approval, self._day.bar_ns)
        for name, spec in step.indicators.items():
            self._day.add(name, spec)

    def _go(self, to_ns: int) -> None:
        opens, closes = self._data.sessions.open_ns, self._data.sessions.close_ns
        while self._session is not None or (self._ahead and to_ns >= opens[self._ahead[0]]):
            if self._session is None:
                self._enter(self._ahead.pop(0))
            now_ns = min(to_ns, int(closes[self._session]))
            if self._run.error is None:
                self._advance(now_ns)
            if to_ns < closes[self._session]:
                break
            if self._run.error is None:
                self._run.leave()
            self._session = None

    def _enter(self, session: int) -> None:
        if self._started and not self._plan.account.carry:
            self._bury()
            self._new_life()
        self._session = session
        if self._run.error is not None:
            return
        if not self._started:
            self._started = True
            self._run.start(session)
        self._run.enter(session)
        self._broker.stamp(int(self._data.sessions.open_ns[session]))

    def _advance(self, to_ns: int) -> None:
        """Stop at every main bar, to know when orders were decided."""
        ends = self._data.bars.end_ns
        bar = self._run.context.cursor.end
        for end_ns in ends[bar : self._data.bars.closed_by(to_ns)].tolist():
            self._run.advance(end_ns)
            self._broker.stamp(end_ns)
        self._run.advance(to_ns)
        self._broker.stamp(to_ns)

    def _report(self, now_ns: int) -> Stepped:
        broker, day = self._broker, self._day
        fills = tuple(broker.fills[self._fills :])
        self._fills = len(broker.fills)
        return Stepped(
            now_ns,
            day.price,
            day.volume,
            day.values(now_ns) if self._plan.form == "on_window" else (),
            broker.position,
            day.added(now_ns),
            broker.placed,
            fills,
            broker.requests(self._loaded.symbol),
            tuple(_working(order) for order in broker.working),
            self._run.error is not None,
        )


class WindowBroker(Broker):
    """A broker whose orders wait until they are approved. `funds`: cash and equity of the account that is shared."""

    def __init__(self, bars: Bars, market: Market, account: Account, *, shared: bool) -> None:
        super().__init__(bars, market, account)
        self.funds: tuple[float, float] | None = None
        self._shared = shared
        self._incoming = []
        self._decided: dict[int, int] = {}

    @property
    def placed(self) -> int:
        """Number of the order placed last, 0 before there is one."""
        return self._placed

    @property
    def orders(self) -> list[Order]:
        """Orders that have not ended, those that wait among them."""
        return [*self.working, *self._incoming]

    @property
    def account_cash(self) -> float:
        """Cash of the account that is traded with, as far as is known here."""
        return self.funds[0] if self.funds is not None else super().account_cash

    def account_equity(self, price: float) -> float:
        """What that account is worth, as far as is known here."""
        return self.funds[1] if self.funds is not None else super().account_equity(price)

    def cancel(self, order: Order, reason: str = "", status: str = "cancelled") -> None:
        """End an order, whether it works or waits."""
        if order in self._incoming and order.status == "working":
            order.status, order.reason = status, reason
            self._incoming.remove(order)
        else:
            super().cancel(order, reason, status)

    def stamp(self, now_ns: int) -> None:
        """Remember that the orders that wait were decided by `now_ns`."""
        for order in self._incoming:
            self._decided.setdefault(order.number, now_ns)

    def requests(self, symbol: str) -> tuple[OrderRequest, ...]:
        """The orders that wait."""
        return tuple(_request(symbol, order, self._decided[order.number]) for order in self._incoming)

    def place_new(self, new_order: NewOrder) -> None:
        """Place an order that was decided elsewhere; RuntimeError where the two sides count differently."""
        order = self.place(new_order.terms)
        if order.number != new_order.number:
            raise RuntimeError(f"order {new_order.number} became {order.number}")

    def approve(self, approval: Approval, bar_ns: int) -> None:
        """Let an order that waits work, or what was approved of it. `bar_ns`: the bar at whose close that is so."""
        order = next((order for order in self._incoming if order.number == approval.number), None)
        if order is None:
            return
        self._incoming.remove(order)
        self._decided.pop(order.number, None)
        if approval.reason:
            cut = copysign(abs(order.quantity) - abs(approval.quantity), order.quantity)
            self.refusals.append(Refusal(bar_ns, cut, approval.reason))
        if order.quantity and not approval.quantity:
            order.status, order.reason = "rejected", approval.reason
            return
        order.quantity, order.budget = approval.quantity, approval.budget
        self.working.append(order)


class _Today:
    """What is to be seen of the symbol's bars by now: last close, volume, and indicators added for the session."""

    def __init__(self, loaded: LoadedRange, data: SymbolData) -> None:
        self._loaded = loaded
        self._data = data
        self._row = -1
        self._added: dict[str, tuple[IntervalBars, FloatArray]] = {}
        self.price = nan
        self.volume = 0.0
        self.bar_ns = int(data.base.bars.start_ns[0])

    def see(self, now_ns: int) -> None:
        """Move on to `now_ns` (UTC ns)."""
        base = self._data.base
        row = max(int(np.searchsorted(self._data.sessions.open_ns, now_ns, side="right")) - 1, 0)
        if row != self._row:
            self._row = row
            self._added.clear()
        closed = base.closed_by(now_ns)
        if closed:
            first = self._data.base_rows(row)[0]
            self.volume = float(base.bars.volume[first:closed].sum())
            self.price = float(base.bars.close[closed - 1])
            self.bar_ns = int(base.bars.start_ns[closed - 1])

    def add(self, name: str, spec: IndicatorSpec) -> None:
        """Compute one more indicator, over this session and its history."""
        made_of = self._loaded.made_of
        series = self._data.series.get(spec.interval) or made_of.series(spec.interval, self._row)
        columns = made_of.values(spec, series, np.array([self._row]))
        for number, (output, values) in enumerate(columns.items()):
            self._added[name if number == 0 else f"{name}.{output}"] = series, values

    def values(self, now_ns: int) -> tuple[float, ...]:
        """Latest values of the strategy's indicators, NaN until warm."""
        data = self._data
        ends = {spec.interval: data.series[spec.interval].closed_by(now_ns) for spec in data.specs.values()}
        latest = ((column, ends[data.specs[name].interval]) for name, column in data.indicators.items())
        return tuple(float(column[end - 1]) if end else nan for column, end in latest)

    def added(self, now_ns: int) -> dict[str, float]:
        """Latest values of the indicators added."""
        ends = {name: series.closed_by(now_ns) for name, (series, _) in self._added.items()}
        return {name: float(self._added[name][1][end - 1]) if end else nan for name, end in ends.items()}


class _Idle(Strategy):
    """Decides nothing: another process does."""

    def on_bar(self, ctx: Context) -> None:
        """Do nothing."""


class _Following(Strategy):
    """The array form, carried out bar by bar."""

    def __init__(self, strategy: Strategy, data: SymbolData, broker: Broker) -> None:
        super().__init__()
        self._strategy = strategy
        self._data = data
        self._broker = broker
        self._signals: Signals | None = None

    def on_start(self, ctx: Context) -> None:
        """Have all decisions at once."""
        self._signals = signals_of(self._strategy, self._data)

    def on_bar(self, ctx: Context) -> None:
        """Place what they say for this bar."""
        if self._signals is not None:
            place_orders(self._signals, ctx.bar - 1, self._broker)


def _request(symbol: str, order: Order, decided_ns: int) -> OrderRequest:
    return OrderRequest(symbol, order.number, decided_ns, order.quantity, order.terms.price)


def _working(order: Order) -> WorkingOrder:
    guards = order.parent is not None
    return WorkingOrder(order.number, order.quantity, order.limit, order.stop, order.budget, guards)
