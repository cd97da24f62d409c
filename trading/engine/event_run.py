"""The event form: one symbol's bars one after another, each met by its orders before the strategy sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from barray.trading.engine.array_run import Executed, execute, signals_of
from barray.trading.engine.listener import Listener
from barray.trading.engine.watchdog import watched
from barray.trading.orders.broker import Account, Broker
from barray.trading.orders.costs import Market
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Refusal
from barray.trading.orders.order_columns import NO_ORDERS, Orders, before_each
from barray.trading.orders.reasons import CLOSED, STRATEGY_ERROR
from barray.trading.results.logs import MOST_LINES, NO_LOGS, Logs
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.columns import Cursor
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import DidNotReturn, failure_text, file_of

_UNKNOWN = 2**62
"""Where a session's bars end that are still to come."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a strategy on one symbol. `error`: its traceback, where it raised; it stopped at `error_ns`.

    `placed`: how many orders. `logs`: what it printed and logged.
    """

    fills: Fills
    make_orders: Callable[[], Orders] = field(default=lambda: NO_ORDERS)
    placed: int = 0
    refusals: tuple[Refusal, ...] = ()
    error: str | None = None
    error_ns: int | None = None
    logs: Logs = NO_LOGS

    @classmethod
    def of(cls, executed: Executed, logs: Logs, error: str | None = None, error_ns: int | None = None) -> Outcome:
        """From what was executed."""
        made = executed.fills, executed.make_orders, executed.placed, executed.refusals
        return cls(*made, error, error_ns, logs)

    @cached_property
    def orders(self) -> Orders:
        """Its orders; made when asked for, which a sweep doesn't."""
        return self.make_orders()


class EventRun:
    """A strategy stepping through one symbol, session by session; can stop between any two bars and go on.

    `written`: what the user wrote, where that is not the strategy itself.
    """

    def __init__(
        self,
        strategy: Strategy,
        data: SymbolData,
        broker: Broker,
        timezone: str = "UTC",
        written: Strategy | None = None,
    ) -> None:
        self.strategy = strategy
        self.data = data
        self.broker = broker
        self.context = Context(data, broker, timezone)
        self._timezone = timezone
        self._file = file_of(written or strategy)
        self.error: str | None = None
        self.error_ns: int | None = None
        self._reports_fills = type(strategy).on_fill is not Strategy.on_fill
        self._told = len(broker.fills)
        self._others = self.context.others()
        self._row = self._last = self._bar = self._stop = self._close_ns = 0
        self._closed = False

    def run(self) -> None:
        """Go through all sessions that are traded."""
        traded = self.data.traded.tolist()
        if not traded:
            return
        try:
            self.start(traded[0])
            for session in traded:
                self.session(session)
        except (Exception, DidNotReturn):  # the user's code: its error is the symbol's end, not the run's
            self.stop()

    @property
    def place(self) -> tuple[object, int]:
        """Where it stands: another after every call of `on_bar` that came back."""
        return self.context.session_date, self.context.bar

    def start(self, session: int, at_ns: int | None = None) -> None:
        """Call `on_start`, before the first session."""
        self.context.begin(session, at_ns)
        self.strategy.on_start(self.context)

    def session(self, session: int) -> None:
        """Go through one session from open to close."""
        if self.enter(session):
            if self.data.base.interval == self.data.interval and not self._others:
                self._hurry()
            self.advance()
            self.leave()

    def enter(self, session: int, at_ns: int | None = None) -> bool:
        """Stand at a session's open, or at `at_ns` in it; False where it has no bars."""
        data = self.data
        self._row, self._last = data.base_rows(session)
        self._bar, self._stop = data.main_rows(session)
        if self._row == self._last and not data.open_ended:
            return False
        if data.open_ended:
            self._last = self._stop = _UNKNOWN
        self._closed = False
        self._close_ns = int(data.sessions.close_ns[session])
        if at_ns is not None:
            self._row = max(self._row, min(data.base.closed_by(at_ns), self._last))
            self._bar = max(self._bar, min(data.bars.closed_by(at_ns), self._stop))
        self.context.begin(session, at_ns)
        self.strategy.on_session(self.context)
        return True

    def _hurry(self) -> None:
        """`advance` to before the session's last bar, where only base bars are looked at."""
        broker, context = self.broker, self.context
        cursor, on_bar, working = context.cursor, self.strategy.on_bar, broker.working
        for end in range(self._bar + 1, self._stop):
            if working:
                broker.match(end - 1)
                self._tell()
            cursor.end = end
            on_bar(context)
        self._row = self._bar = self._stop - 1

    def renew(self, data: SymbolData, session: int, now_ns: int) -> None:
        """Go on from `now_ns` with a session's bars as they are known by then; those that came late are only seen."""
        self.data = data
        self.context = Context(data, self.broker, self._timezone)
        self.context.position = self.broker.position
        self.context.begin(session, now_ns)
        self._others = self.context.others()
        self._row, self._bar = data.base.closed_by(now_ns), data.bars.closed_by(now_ns)

    def advance(self, to_ns: int | None = None) -> None:
        """Let everything of the session happen that closes by `to_ns`; by default all."""
        data, cursor = self.data, self.context.cursor
        if to_ns is not None and to_ns >= self._close_ns:  # what was there is all there was
            self._last = min(self._last, len(data.base))
        stop, last = self._stop, self._last
        if to_ns is not None:
            stop, last = min(stop, data.bars.closed_by(to_ns)), min(last, data.base.closed_by(to_ns))
        for decision in data.decision_row[self._bar : stop].tolist():
            self._match(decision + 1)
            if self._row >= self._last:
                self._close()
            cursor.end = self._bar = self._bar + 1
            self._see(self._others, self._bar - 1)
            self.strategy.on_bar(self.context)
        self._match(last)

    def next_bar(self) -> None:
        """`advance` by one bar that is not the session's last, where only base bars are looked at."""
        cursor = self.context.cursor
        if self.broker.working:
            self.broker.match(cursor.end)
            self._tell()
        self._row = self._bar = cursor.end = cursor.end + 1
        self.strategy.on_bar(self.context)

    def leave(self) -> None:
        """End what the session's close ends of orders and position."""
        if not self._closed:  # the main interval's bar closes in a later session
            self._last = min(self._last, len(self.data.base))
            self._match(self._last)
            self._close()
        if self.broker.account.flat_at_close:
            self.broker.cancel_all(CLOSED, self._close_ns)

    def _match(self, stop: int) -> None:
        broker = self.broker
        for row in range(self._row, stop):
            if not broker.working:
                break
            broker.match(row)
            self._tell()
        self._row = max(self._row, stop)

    def _close(self) -> None:
        self._closed = True
        self.broker.close_session(self._last - 1, self._close_ns)
        self._tell()

    def _tell(self) -> None:
        """Let the context, and the strategy if it asked, know of new fills."""
        self.context.position = self.broker.position
        if not self._reports_fills:
            return
        while self._told < len(self.broker.fills):
            fill = self.broker.fills[self._told]
            self._told += 1
            self.strategy.on_fill(self.context, fill)

    def forget_fills(self) -> None:
        """Have the broker's fills, which somebody took, count from none again."""
        self._told = 0

    @staticmethod
    def _see(others: list[tuple[Cursor, list[int]]], bar: int) -> None:
        for cursor, visible in others:
            cursor.end = visible[bar]

    def stop(self) -> None:
        """Remember the error being handled; nothing is called any more."""
        self.error = failure_text(self._file, self.data.symbol, self.context.now)
        self.error_ns = self.context.now_ns
        self.broker.cancel_all(STRATEGY_ERROR, self.error_ns)


def run_symbol(
    strategy: Strategy,
    data: SymbolData,
    market: Market,
    account: Account,
    *,
    form: str,
    timezone: str = "UTC",
    call_timeout_s: float | None = None,
) -> Outcome:
    """Run a strategy over all sessions of a symbol, by `form` `on_bar` or `signals`. Its errors are in the outcome.

    Where the account does not carry over, every session has a strategy object and an account of its own.
    `call_timeout_s`: a call of the strategy that takes longer is its error; of `signals`, longer a session.
    """
    if not account.carry and len(data.traded) > 1:
        sessions = [replace(data, traded=data.traded[i : i + 1]) for i in range(len(data.traded))]
        kind, values = type(strategy), strategy.values()
        run_one = partial(run_symbol, market=market, account=account, form=form, timezone=timezone)
        return joined([run_one(kind(**values), one, call_timeout_s=call_timeout_s) for one in sessions])
    if form == "signals":
        return _run_signals(strategy, data, market, account, call_timeout_s)
    broker = Broker(data.base.bars, market, account)
    run = EventRun(strategy, data, broker, timezone)
    listener = Listener(data.symbol, lambda: run.context.now_ns)
    with listener, watched(lambda: run.place, call_timeout_s):
        run.run()
    return Outcome.of(Executed.of(broker, data.symbol), listener.heard(), run.error, run.error_ns)


def _run_signals(
    strategy: Strategy, data: SymbolData, market: Market, account: Account, call_timeout_s: float | None
) -> Outcome:
    listener = Listener(data.symbol)
    limit_s = call_timeout_s and call_timeout_s * max(len(data.traded), 1)
    try:
        with listener, watched(lambda: None, limit_s):
            signals = signals_of(strategy, data)
        executed = execute(signals, data, market, account)
    except (Exception, DidNotReturn):  # the user's code: its error is the symbol's end, not the run's
        error = failure_text(file_of(strategy), data.symbol)
        return Outcome(Fills.of([]), error=error, logs=listener.heard())
    return Outcome.of(executed, listener.heard())


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Sessions that each began anew, as one; the first error is told."""
    failed = next((outcome for outcome in outcomes if outcome.error), None)
    before = before_each([outcome.placed for outcome in outcomes])
    parts = list(zip(outcomes, before, strict=True))
    return Outcome(
        Fills.concat([outcome.fills.numbered_after(most) for outcome, most in parts]),
        lambda: Orders.concat([outcome.orders.numbered_after(most) for outcome, most in parts]),
        sum(outcome.placed for outcome in outcomes),
        tuple(refusal for outcome in outcomes for refusal in outcome.refusals),
        failed.error if failed else None,
        failed.error_ns if failed else None,
        Logs.together(outcome.logs for outcome in outcomes).first(MOST_LINES),
    )
