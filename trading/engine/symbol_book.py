"""One symbol of a portfolio run: its orders and position, and its own strategy where symbols have one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from barray.trading.engine.array_run import place_orders, signals_of
from barray.trading.engine.commands import Plan
from barray.trading.engine.event_run import EventRun
from barray.trading.engine.holdings import Holdings
from barray.trading.engine.notes import Notes
from barray.trading.engine.opening import Holding
from barray.trading.engine.window_broker import Funds, WindowBroker
from barray.trading.orders.broker import Broker
from barray.trading.orders.fills import Fill
from barray.trading.orders.order import Refusal
from barray.trading.orders.reasons import CLOSED
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.failure import DidNotReturn
from barray.trading.strategy.signals import Signals


class SymbolBook:
    """What is held of one symbol from its first session to its last; see PortfolioRun.

    `guest`: it was added, for this session alone; `stays`: and for those after it, as long as something is held then.
    `slot`: its row in the holdings. `run`: its own strategy on its bars, None where one strategy sees all symbols.
    `ends_ns`: when base bars end, UTC ns. `error`, `error_ns`: what ended its strategy, and when. `noted`: see Written.
    """

    def __init__(
        self,
        plan: Plan,
        data: SymbolData,
        timezone: str,
        changed: set[str],
        funds: Funds,
        notes: Notes,
        holdings: Holdings,
        *,
        guest: bool = False,
        stays: bool = False,
    ) -> None:
        self.symbol, self.data, self.guest, self.stays = data.symbol, data, guest, stays
        self.error: str | None = None
        self.error_ns: int | None = None
        self.noted = 0, 0
        self.slot, self._holdings = holdings.take_slot(), holdings
        self.run: EventRun | None = None
        self._following: _Following | None = None
        self.one_by_one, self._last = False, 0
        self._notes = notes
        self._plan, self._timezone = plan, timezone
        self._changed, self._funds = changed, funds if plan.shared else None
        self._account = replace(plan.own, flat_at_close=True) if guest and not stays else plan.own
        self._attributes: dict[str, Any] | None = None
        self._strategy: Strategy
        self._begin_anew()

    def __getstate__(self) -> dict[str, Any]:
        """All but the bars, which `load` brings; of its strategy what it remembers."""
        remembered = vars(self._strategy) if self.run is not None and self._started else None
        nothing = dict.fromkeys(("data", "run", "_following", "_strategy"))
        return {**vars(self), **nothing, "ends_ns": (), "_attributes": remembered}

    @property
    def leaves(self) -> bool:
        """Whether nothing is left of it after the session, as it stands now."""
        return self.guest and not (self.stays and self.broker.position)

    @property
    def capital(self) -> float:
        """What its own account began with; 0 where the account is shared."""
        return self._account.capital

    def _begin_anew(self) -> None:
        """An account and a strategy object that know of nothing before."""
        self.broker = WindowBroker(
            self.symbol,
            self.data.base.bars,
            self._plan.market,
            self._account,
            self._changed,
            self._funds,
            self._notes,
            self._holdings,
            self.slot,
        )
        self._holdings.begin_anew(self.slot)
        self._attributes, self._started, self._closed_in = None, False, -1
        self._take_up(self.data)

    def load(self, data: SymbolData) -> None:
        """Go by these bars from now on: those of further sessions, or the same in another process."""
        self.broker.look_at(data.base.bars)
        self._take_up(data)

    def _take_up(self, data: SymbolData) -> None:
        """Have its strategy, if it has its own, go by these bars."""
        self.data = data
        self.traded = frozenset(data.traded.tolist())
        self.ends_ns: Sequence[int] = data.base.end_ns.data
        if self._plan.form == "on_window":
            return
        if self.run is not None and self._started:  # it was here before, and comes again
            self._attributes = dict(vars(self._strategy))
        self._strategy = self._plan.strategy()
        if self._attributes is not None:
            vars(self._strategy).update(self._attributes)
        follows = self._plan.form == "signals"
        self._following = _Following(self._strategy, data, self.broker) if follows else None
        acting = self._notes.over(self._following or self._strategy, self.symbol)
        self.run = EventRun(acting, data, self.broker, self._timezone, self._strategy)
        self.run.context.position = self.broker.position
        if follows and self._started:
            acting.on_start(self.run.context)

    def look_at(self, data: SymbolData, row: int) -> None:
        """Go by these bars in the session that it stands in (its row): those that it had, and others between them."""
        starts_ns = data.base.bars.start_ns
        self.data, self.ends_ns = data, data.base.end_ns.data
        self.broker.look_at(data.base.bars)
        self.broker.fills[:] = [
            fill._replace(row=int(np.searchsorted(starts_ns, fill.bar_ns))) for fill in self.broker.fills
        ]

    def go_on_from(self, holding: Holding) -> None:
        """It is not the first session; its broker stands there."""
        self._started = True
        self.error = "its strategy failed in a session before" if holding.failed else None
        if self.run is not None:
            self.run.context.position = holding.position

    def renew(self, data: SymbolData, row: int, now_ns: int) -> None:
        """Go on in the session that it stands in, with its bars as they are known by `now_ns`."""
        self.look_at(data, row)
        if self.run is None or self.error is not None:
            return
        self._last = data.base_rows(row)[1]
        self.one_by_one = self._is_plain()
        if self._following is not None:
            self._following.look_at(data)
        self.run.renew(data, row, now_ns)

    def enter(self, row: int, at_ns: int | None = None) -> bool:
        """Stand at the open of a session that it is run for, or at `at_ns` in it; whether it has begun anew, with
        another broker.
        """
        anew = self._started and not self._account.carry
        if anew:
            self._begin_anew()
        starts, self._started = not self._started, True
        if self.run is not None and self.error is None:
            self._enter_run(self.run, row, at_ns, starts=starts)
        return anew

    def _enter_run(self, run: EventRun, row: int, at_ns: int | None, *, starts: bool) -> None:
        self._last = self.data.base_rows(row)[1]
        self.one_by_one = self._is_plain()
        try:
            if starts:
                run.start(row, at_ns)
            run.enter(row, at_ns)
        except (Exception, DidNotReturn):  # the user's code: its error is the symbol's end, not the run's
            self.fail()
        self.broker.stamp(int(self.data.sessions.open_ns[row]) if at_ns is None else at_ns)

    def closes_ns(self, row: int) -> int:
        """When a session's last bar ends, UTC ns."""
        if self.data.open_ended:
            return int(self.data.sessions.close_ns[row])
        return self.ends_ns[self.data.base_rows(row)[1] - 1]

    def _is_plain(self) -> bool:
        """Whether its strategy looks at base bars alone, so that a window's end is a bar's, and nothing else's."""
        data = self.data
        return data.base.interval == data.interval and len(data.series) == 1

    def next_bar(self, now_ns: int) -> None:
        """`advance`, where one bar at most has closed since."""
        run, broker, ends = self.run, self.broker, self.ends_ns
        if run is None or self.error is not None:
            return
        cursor = run.context.cursor
        row = cursor.end
        if row >= self._last or ends[row] > now_ns:
            return
        if row + 1 == self._last or ends[row + 1] <= now_ns:
            self.advance(now_ns)
            return
        try:
            run.next_bar()
        except (Exception, DidNotReturn):  # the user's code: its error is the symbol's end, not the run's
            self.fail()
        if broker.waiting:
            broker.stamp(now_ns)

    def advance(self, now_ns: int) -> None:
        """Let its own strategy, and its orders, go on to `now_ns`."""
        run, ends = self.run, self.data.bars
        if run is None or self.error is not None:
            return
        try:
            for end_ns in ends.end_ns[run.context.cursor.end : ends.closed_by(now_ns)].tolist():
                run.advance(end_ns)
                self.broker.stamp(end_ns)
            run.advance(now_ns)
        except (Exception, DidNotReturn):  # the user's code: its error is the symbol's end, not the run's
            self.fail()
        self.broker.stamp(now_ns)

    def fail(self) -> None:
        """Remember the error being handled: its strategy is not called any more."""
        self._notes.leave()
        if self.run is not None:
            self.run.stop()
            self.error, self.error_ns = self.run.error, self.run.error_ns
            self._notes.failed(self.symbol)

    def close(self, row: int, now_ns: int | None = None, *, flat: bool = False) -> None:
        """End what a session's last bar ends of orders and position, or that which was the last by `now_ns`. `flat`:
        the position is closed in any case.
        """
        if self._closed_in != row:
            self._closed_in = row
            if not (flat or self._account.flat_at_close or self.broker.working):
                return  # it ends nothing
            closed = self.data.base_rows(row)[1] if now_ns is None else self.data.base.closed_by(now_ns)
            if closed:
                self.broker.close_session(closed - 1, int(self.data.base.end_ns[closed - 1]), flat=flat)

    def leave(self, row: int) -> None:
        """Leave a session at its close."""
        if self.error is not None:
            return
        if self.run is not None:
            self.run.leave()
            return
        self.close(row)
        if self._account.flat_at_close:
            self.broker.cancel_all(CLOSED, int(self.data.sessions.close_ns[row]))

    def bar_ns(self, now_ns: int) -> int:
        """Start of the newest bar that has closed by `now_ns`, or of the first, UTC ns."""
        base = self.data.base
        return int(base.bars.start_ns[max(base.closed_by(now_ns) - 1, 0)])

    def take_ended(self) -> list[Any]:
        """Records of the orders that have ended since this was last asked; see `record_of`."""
        ended, self.broker.ended = self.broker.ended, []
        return ended

    def take_fills(self) -> list[Fill]:
        """What was filled one by one since this was last asked; rows count in `data.base`."""
        broker, fills = self.broker, self.broker.fills
        if fills:
            broker.fills, broker.booked = [], 0
            if self.run is not None:
                self.run.forget_fills()
        self.noted = 0, self.noted[1]
        return fills

    def take_refusals(self) -> tuple[Refusal, ...]:
        """What was refused since this was last asked."""
        refusals, self.broker.refusals = tuple(self.broker.refusals), []
        self.noted = self.noted[0], 0
        return refusals


class _Following(Strategy):
    """The array form, carried out bar by bar."""

    def __init__(self, strategy: Strategy, data: SymbolData, broker: Broker) -> None:
        super().__init__()
        self._strategy, self._data, self._broker = strategy, data, broker
        self._signals: Signals | None = None

    def look_at(self, data: SymbolData) -> None:
        """Decide anew, over the bars as they are known now."""
        self._data, self._signals = data, signals_of(self._strategy, data)

    def on_start(self, ctx: Context) -> None:
        """Have all decisions at once."""
        self._signals = signals_of(self._strategy, self._data)

    def on_bar(self, ctx: Context) -> None:
        """Place what they say for this bar."""
        if self._signals is not None:
            place_orders(self._signals, ctx.bar - 1, self._broker, ctx.now_ns)
