"""The event form: one symbol's bars one after another, each met by its orders before the strategy sees it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trading.broker import Account, Broker, Refusal
from trading.context import Context
from trading.costs import Market
from trading.data import SymbolData
from trading.fills import Fills
from trading.series import Cursor
from trading.signals import Signals, execute
from trading.strategy import Strategy


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a strategy on one symbol. `error`: its traceback, where it raised; it stopped at `error_ns`."""

    fills: Fills
    refusals: tuple[Refusal, ...] = ()
    error: str | None = None
    error_ns: int | None = None


class EventRun:
    """A strategy stepping through one symbol, session by session; can stop between two sessions and go on."""

    def __init__(self, strategy: Strategy, data: SymbolData, broker: Broker, timezone: str = "UTC") -> None:
        self.strategy = strategy
        self.data = data
        self.broker = broker
        self.context = Context(data, broker, timezone)
        self.error: str | None = None
        self.error_ns: int | None = None
        self._reports_fills = type(strategy).on_fill is not Strategy.on_fill
        self._told = 0
        self._others = self.context.others()

    def run(self) -> None:
        """All sessions that are traded."""
        traded = self.data.traded.tolist()
        if not traded:
            return
        try:
            self.context.begin(traded[0])
            self.strategy.on_start(self.context)
            for session in traded:
                self.session(session)
        except Exception:  # the user's code: its error is the symbol's end, not the run's
            self._stop()

    def session(self, session: int) -> None:
        """One session from open to close."""
        data, broker, context = self.data, self.broker, self.context
        row, last = data.base_rows(session)
        bar, stop = data.main_rows(session)
        if row == last:
            return
        cursor, on_bar, working = context.cursor, self.strategy.on_bar, broker.working
        others = self._others
        context.begin(session)
        self.strategy.on_session(context)
        if data.base.interval == data.interval and not others:
            for end in range(bar + 1, stop):  # the last one below
                if working:
                    broker.match(end - 1)
                    self._tell()
                cursor.end = end
                on_bar(context)
            row = bar = stop - 1
        decisions = data.decision_row[bar:stop].tolist()
        for end, decision in enumerate(decisions, bar + 1):
            self._match(row, decision + 1)
            row = decision + 1
            if row >= last:
                self._close(last)
            cursor.end = end
            self._see(others, end - 1)
            on_bar(context)
        if row < last:  # the main interval's bar closes in a later session
            self._match(row, last)
            self._close(last)
        if broker.account.flat_at_close:
            broker.cancel_all("the session closed", "expired")

    def _match(self, row: int, stop: int) -> None:
        broker = self.broker
        while row < stop and broker.working:
            broker.match(row)
            self._tell()
            row += 1

    def _close(self, last: int) -> None:
        self.broker.close_session(last - 1)
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

    @staticmethod
    def _see(others: list[tuple[Cursor, list[int]]], bar: int) -> None:
        for cursor, visible in others:
            cursor.end = visible[bar]

    def _stop(self) -> None:
        self.error = traceback.format_exc(limit=-6)
        self.error_ns = self.context.now_ns
        self.broker.cancel_all("the strategy raised an error")


def run_symbol(
    strategy: Strategy, data: SymbolData, market: Market, account: Account, *, form: str, timezone: str = "UTC"
) -> Outcome:
    """Run a strategy over all sessions of a symbol, by `form` `on_bar` or `signals`. Its errors are in the outcome.

    Where the account does not carry over, every session has a strategy object and an account of its own.
    """
    if not account.carry and len(data.traded) > 1:
        sessions = [replace(data, traded=data.traded[i : i + 1]) for i in range(len(data.traded))]
        kind, values = type(strategy), strategy.values()
        return _joined(
            [run_symbol(kind(**values), one, market, account, form=form, timezone=timezone) for one in sessions]
        )
    if form == "signals":
        try:
            signals = strategy.signals(data)
            if not isinstance(signals, Signals):
                raise TypeError(f"signals returned {type(signals).__name__}, not Signals")
            executed = execute(signals, data, market, account)
        except Exception:  # the user's code: its error is the symbol's end, not the run's
            return Outcome(Fills.of([]), error=traceback.format_exc(limit=-6))
        return Outcome(executed.fills, tuple(executed.broker.refusals) if executed.broker else ())
    broker = Broker(data.base.bars, market, account)
    run = EventRun(strategy, data, broker, timezone)
    run.run()
    return Outcome(Fills.of(broker.fills), tuple(broker.refusals), run.error, run.error_ns)


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Sessions that each began anew, as one; the first error is told."""
    failed = next((outcome for outcome in outcomes if outcome.error), None)
    refusals = tuple(refusal for outcome in outcomes for refusal in outcome.refusals)
    fills = Fills.concat([outcome.fills for outcome in outcomes])
    return Outcome(fills, refusals, failed.error if failed else None, failed.error_ns if failed else None)
