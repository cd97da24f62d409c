"""The middle of a windowed run: where all symbols' orders meet, and the strategy that sees all symbols decides.

Pure. Whoever owns the symbols' processes lets time pass: `steps` → tell each symbol → `apply` its reports →
`end_window`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan

from barray.market.errors import BarrayError, ConfigError
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.symbols import require_text
from barray.trading.engine.commands import Opened, Plan, Step, Stepped
from barray.trading.engine.listener import Listener
from barray.trading.engine.watchdog import watched
from barray.trading.orders.accounts import (
    Accounts,
    Approval,
    NewOrder,
    OrderRequest,
    SeparateAccounts,
    SharedAccount,
    WorkingOrder,
)
from barray.trading.orders.terms import OrderTerms
from barray.trading.results.logs import MOST_LINES, Logs
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.failure import DidNotReturn, failure_text, file_of
from barray.trading.strategy.view import Added, Moment, WindowView

_MOST_LINES = 5 * MOST_LINES
"""Kept of what a strategy over all symbols says in a run."""
_LEFT_OUT = "is left out of this session"


@dataclass
class _Outbox:
    """What a symbol is told with the next step."""

    cancel: bool = False
    new_orders: list[NewOrder] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    indicators: dict[str, IndicatorSpec] = field(default_factory=dict)


class PortfolioEngine:
    """Owns the account and the cross-symbol strategy. `error`: its traceback.

    `reports`: the last of every symbol that the session is run for. A symbol that is left out of a session is not seen
    nor traded in it; its position and orders stay. Where all are left out, the strategy is not asked.
    `add`: gets a symbol for the rest of the session and has it `join`, or says why not.
    """

    def __init__(self, plan: Plan, add: Callable[[str], Added]) -> None:
        self._plan = plan
        self._add = add
        self._opened: dict[str, Opened] = {}
        self._guests: set[str] = set()
        self._outbox: dict[str, _Outbox] = {}
        self._later: dict[str, float] = {}
        self._numbers: dict[str, int] = {}
        self._moment: Moment | None = None
        self._last: dict[str, Stepped] = {}
        self.reports: dict[str, Stepped] = {}
        self.error: str | None = None
        self._adding = False
        self._listener = Listener("", lambda: self._moment.now_ns if self._moment else None, most=_MOST_LINES)
        self._new_life()

    def _new_life(self) -> None:
        plan = self._plan
        self.accounts: Accounts = (
            SharedAccount(plan.account, plan.market, plan.reserve) if plan.shared else SeparateAccounts(plan.account)
        )
        self._strategy: Strategy | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the strategy's indicators."""
        return next(iter(self._opened.values())).columns if self._opened else ()

    def join(self, symbol: str, opened: Opened, *, guest: bool = False) -> None:
        """Let a symbol be traded; a guest until the session's end."""
        self._opened[symbol] = opened
        if guest:
            self._guests.add(symbol)

    def leave(self, symbol: str) -> None:
        """Forget a symbol that is gone."""
        self._guests.discard(symbol)
        for held in (self._opened, self._outbox, self._later, self._numbers, self._last, self.reports):
            held.pop(symbol, None)
        self.accounts.forget(symbol)

    @property
    def symbols(self) -> list[str]:
        """Those that are traded, sorted."""
        return sorted(self._opened)

    @property
    def guests(self) -> list[str]:
        """Those among them that leave at the session's end."""
        return sorted(self._guests)

    def steps(self, to_ns: int) -> dict[str, Step]:
        """What to tell every symbol, to go on to `to_ns`."""
        looks = self._plan.shared and self._plan.form != "on_window"
        funds = (self.accounts.cash, self.accounts.equity) if looks else None
        plain = Step(to_ns, funds=funds)
        outbox, self._outbox = self._outbox, {}
        return {symbol: _step(to_ns, outbox[symbol], funds) if symbol in outbox else plain for symbol in self.symbols}

    def steps_of(self, symbol: str, to_ns: int) -> Step:
        """The same for one symbol that has just come, the others staying where they are."""
        return _step(to_ns, self._outbox.pop(symbol, _Outbox()), None)

    def apply(self, reports: Mapping[str, Stepped]) -> None:
        """Book what the step brought to each symbol."""
        for symbol in sorted(reports):
            report = reports[symbol]
            self._last[symbol] = self.reports[symbol] = report
            self._numbers[symbol] = report.placed
            self.accounts.update(symbol, report.price, report.fills, report.working)

    def end_window(self, moment: Moment) -> None:
        """Let the strategy decide at a window's end or a session's open, and have what was ordered approved."""
        self._moment = moment
        self.reports = {symbol: report for symbol, report in self._last.items() if self._is_run(symbol, moment)}
        if moment.opening and not self._plan.account.carry:
            self._new_life()
        if self._plan.form == "on_window":
            self._ask(moment)
            requests = list(self._requests(moment.now_ns))
        else:
            requests = [request for report in self.reports.values() for request in report.requests]
        for symbol, approvals in self.accounts.approve(requests).items():
            self._box(symbol).approvals.extend(approvals)
        if moment.closing:
            self._end_orders(self.symbols if self._plan.account.flat_at_close else self.guests)

    def _end_orders(self, symbols: Iterable[str]) -> None:
        """Drop what is still to go out: no order of this session may work in the next."""
        for symbol in symbols:
            self._outbox.pop(symbol, None)
            self._later.pop(symbol, None)
            self.accounts.release(symbol)

    def _ask(self, moment: Moment) -> None:
        if self.error is not None or not self.reports:
            return
        view = WindowView(self, moment)
        try:
            with self._listener, watched(self._waits, self._plan.call_timeout_s):
                self._call(view, moment)
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self.error = failure_text(file_of(self._strategy), view.now)
            self._outbox = {}
            for symbol, report in self._last.items():
                self._cancel(symbol, report)

    def _waits(self) -> object:
        """Always the same, but while a symbol is got: that is not the strategy's time."""
        return object() if self._adding else None

    def _call(self, view: WindowView, moment: Moment) -> None:
        if self._strategy is None:
            self._strategy = self._plan.strategy()
            self._strategy.on_start(view)  # type: ignore[arg-type]  # documented in Strategy
        if moment.opening:
            self._strategy.on_session(view)  # type: ignore[arg-type]
            return
        later, self._later = self._later, {}
        for symbol, quantity in sorted(later.items()):
            if symbol in self.reports:
                self.place_missing(symbol, quantity)
        self._strategy.on_window(view)

    def logs(self) -> Logs:
        """What the strategy over all symbols has printed and logged so far."""
        return self._listener.heard()

    def _box(self, symbol: str) -> _Outbox:
        return self._outbox.setdefault(symbol, _Outbox())

    def _is_run(self, symbol: str, moment: Moment) -> bool:
        return moment.open_ns in self._opened[symbol].opens

    def _is_left_out(self, symbol: str) -> bool:
        return symbol in self._opened and self._moment is not None and not self._is_run(symbol, self._moment)

    def _known(self, symbol: str) -> Stepped:
        report = self.reports.get(symbol)
        if report is None:
            if self._is_left_out(symbol):
                raise ConfigError(_LEFT_OUT, symbol=symbol, remedy="trade view.symbols")
            raise ConfigError(
                "there is no such symbol", symbol=symbol, remedy="trade view.symbols, or add_symbol first"
            )
        return report

    def place(self, symbol: str, terms: OrderTerms) -> NewOrder:
        """An order to go out with the next step; ConfigError where there is no such symbol."""
        self._known(symbol)
        self._numbers[symbol] += 1
        new_order = NewOrder(self._numbers[symbol], terms)
        self._box(symbol).new_orders.append(new_order)
        return new_order

    def place_missing(self, symbol: str, target: float) -> NewOrder | None:
        """Order what is missing to hold `target`; None where that is less than a lot. ConfigError as for `place`."""
        missing = target - self._known(symbol).position
        return self.place(symbol, OrderTerms(missing)) if self._plan.market.lots(missing) else None

    def _requests(self, now_ns: int) -> Iterator[OrderRequest]:
        """What is to go out, for the account to judge."""
        lots = self._plan.market.lots
        for symbol, box in self._outbox.items():
            for new_order in box.new_orders:
                terms = new_order.terms
                yield OrderRequest(symbol, new_order.number, now_ns, lots(terms.quantity), terms.price)

    def cancel(self, symbol: str) -> None:
        """Cancel all orders of a symbol, those to go out too; ConfigError where there is no such symbol."""
        self._cancel(symbol, self._known(symbol))

    def _cancel(self, symbol: str, report: Stepped) -> None:
        box = self._box(symbol)
        box.cancel = box.cancel or bool(report.working)
        box.new_orders.clear()
        self._numbers[symbol] = report.placed
        self._later.pop(symbol, None)
        self.accounts.release(symbol)

    def working(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """Orders of a symbol that work; ConfigError where there is no such symbol."""
        report = self._known(symbol)
        return () if symbol in self._outbox and self._outbox[symbol].cancel else report.working

    def shares_for(self, symbol: str, fraction: float) -> float:
        """What a fraction of equity buys at the last close, in whole lots; ConfigError before there is one."""
        price = self._known(symbol).price
        if isnan(price):
            raise ConfigError(
                "there is no price yet", symbol=symbol, remedy="leave it out until view.close is a number"
            )
        return self._plan.market.lots(fraction * self.accounts.equity_for(symbol) / price) if price else 0.0

    def rebalance(self, targets: Mapping[str, float]) -> None:
        """Order what is missing to these positions; see WindowView.rebalance."""
        missing = {symbol: target - self._known(symbol).position for symbol, target in sorted(targets.items())}
        for symbol in missing:
            self.cancel(symbol)
        lots = self._plan.market.lots
        sales = [symbol for symbol, m in missing.items() if lots(m) and m * self.reports[symbol].position < 0]
        for symbol, quantity in missing.items():
            if symbol in sales or not sales:
                self.place_missing(symbol, targets[symbol])
            elif lots(quantity):
                self._later[symbol] = targets[symbol]

    def add_symbol(self, symbol: str) -> Added:
        """Get a symbol for the rest of the session. ConfigError for what is no text."""
        require_text(symbol)
        if self._is_left_out(symbol):
            return Added(False, _LEFT_OUT)
        if symbol in self._opened:
            return Added(True, "it is there already")
        if self._moment is None or self._moment.closing:
            return Added(False, "the session has closed")
        self._adding = True
        try:
            return self._add(symbol)
        finally:
            self._adding = False

    def add_indicator(self, symbol: str, indicator: str) -> Added:
        """Have one more indicator computed, for the rest of the session. ConfigError where either is no text."""
        require_text(symbol)
        if not isinstance(indicator, str):
            raise ConfigError(
                f"an indicator is text, not {type(indicator).__name__}", remedy='write it as "RSI(14)@5m"'
            )
        opened = self._opened.get(symbol)
        if opened is None:
            return Added(False, f"there is no symbol {symbol}")
        if self._is_left_out(symbol):
            return Added(False, _LEFT_OUT)
        if self._moment is None or self._moment.closing:
            return Added(False, "the session has closed")
        try:
            spec = parse_indicator(indicator)
        except BarrayError as error:
            return Added(False, str(error))
        if not opened.base_interval.derives(spec.interval):
            return Added(False, f"{spec.interval} does not derive from {opened.base_interval}")
        self._box(symbol).indicators[indicator] = spec
        return Added(True)


def _step(to_ns: int, box: _Outbox, funds: tuple[float, float] | None) -> Step:
    return Step(to_ns, box.cancel, tuple(box.new_orders), tuple(box.approvals), funds, box.indicators)
