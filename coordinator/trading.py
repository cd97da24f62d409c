"""The strategy's part of a session: what the process that trades is told, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from barray.actors.options import this_actor
from barray.actors.published import publish
from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.day_recorder import DayRecorder
from barray.coordinator.fleet import Fleet, Transport
from barray.market.bars import Bars, IntArray
from barray.market.commands import Failed
from barray.market.errors import ActorFailed
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.trading.engine.commands import ColumnsLost
from barray.trading.engine.notes import Pages
from barray.trading.engine.opening import Opening
from barray.trading.engine.session_commands import (
    Arrive,
    BarsShown,
    Change,
    CloseDay,
    DayClosed,
    DayOpened,
    Gone,
    GoOn,
    OpenDay,
    ShowBars,
)
from barray.trading.engine.session_trading import Membership, SessionTrading, TradingPlan
from barray.trading.orders.order_columns import Orders
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.session_columns import session_range_of_day
from barray.trading.strategy.view import Added, Wish

_TRADER = "strategy"
_WINDOWS_A_CALL = 60
"""So that session time is seen to pass."""
_SYMBOLS_A_HANDLE = 100


class Trading:
    """One trader, a session long; the account goes on from session to session where it is to.

    `overnight`: symbols that are held since the session before; `pinned`: those that are held or ordered, as last told;
    `recorded`: handles of what symbols had that a strategy added on a day that is resumed, by session time and symbol.
    `whom`: tells the coordinator that the strategy's wishes go to. `publish`: gives a handle of columns. The trader's
    log of commands is its fleet's, so a process that is lost is started anew and stands where the first did; what the
    strategy had wished for is remembered here, and answered as it was.
    """

    def __init__(
        self,
        given: TradingPlan,
        actors: ActorsSection,
        transport: Transport,
        whom: Callable[[], Any] = this_actor,
        publish: Callable[[Mapping[str, SymbolData]], Any] = publish,
    ) -> None:
        self.given = given
        self._fleet = Fleet(actors, transport, sessions=_WINDOWS_A_CALL + 1)
        self._whom, self._publish = whom, publish
        self.recorder: DayRecorder | None = None
        self.overnight: frozenset[str] = frozenset()
        self.pinned: frozenset[str] = frozenset()
        self.recorded: dict[tuple[int, str], Any] = {}
        self._state: bytes | str | None = None
        self._day: SessionTrading | None = None
        self._known: set[str] = set()
        self._left: set[str] = set()
        self._late: set[str] = set()
        self._closed = self._lost = False
        self._ends: list[int] = []
        self._answers: dict[tuple[int, Wish], asyncio.Future[Any]] = {}

    @property
    def day(self) -> SessionTrading | None:
        """What there is of the session's, None before it was opened."""
        return self._day

    @property
    def known(self) -> frozenset[str]:
        """Symbols that the trader has."""
        return frozenset(self._known)

    @property
    def carried(self) -> bytes | str | None:
        """Where account and strategy stand between two sessions, and what is held, or why that can't be told; None
        where nothing goes from one to the next.
        """
        if not isinstance(self._state, bytes):
            return self._state
        return b"\n".join((" ".join(sorted(self.overnight)).encode(), self._state))

    def carry(self, state: bytes) -> None:
        """Go on from there in the next session."""
        held, _, self._state = state.partition(b"\n")
        self.overnight = frozenset(held.decode().split())

    @property
    def processes(self) -> int:
        """How many there are."""
        return self._fleet.processes

    @property
    def restarts(self) -> int:
        """How many of them were lost and started again."""
        return self._fleet.restarts

    def publish(self, data: Mapping[str, SymbolData]) -> dict[str, Any]:
        """A handle of each symbol's columns: they are published from here, to outlive the symbol's process."""
        symbols, found = sorted(data), dict[str, Any]()
        for start in range(0, len(symbols), _SYMBOLS_A_HANDLE):
            chosen = symbols[start : start + _SYMBOLS_A_HANDLE]
            found |= dict.fromkeys(chosen, self._publish({symbol: data[symbol] for symbol in chosen}))
        return found

    def note_bars(self, to_ns: int, bars: Mapping[str, Bars], received_ns: Mapping[str, IntArray]) -> None:
        """Bars have come, and will be given to the trader; when each came."""
        if self.recorder is not None:
            known = {symbol: own for symbol, own in bars.items() if symbol in self._known}
            self.recorder.bars(known, received_ns, to_ns)

    def strangers(self, full: Set[str]) -> list[str]:
        """Full symbols that the trader doesn't know of yet, sorted."""
        return sorted(full - self._known)

    async def open(
        self,
        context: SessionContext,
        timezone: str,
        base: Interval,
        columns: Mapping[str, Any],
        at_ns: int,
        guests: Set[str] = frozenset(),
    ) -> None:
        """Have the strategy at the open, with these symbols (handles of columns); `guests`: those that others added."""
        given = self.given
        window = given.window or base
        ends = context.sessions.expected_starts(context.row, window, context.close_ns)[1].tolist()
        self._ends = [end for end in ends if end > at_ns]
        members = tuple(sorted(columns))
        day = SessionTrading(given, window, base, at_ns, at_ns, Opening(), members, (), Pages(), {}, live=context.live)
        self._day, self._known = day, set(members)
        self._note("open", at_ns, joined=members)
        await self._fleet.add([_TRADER])
        session_range, live = session_range_of_day(context, timezone), context if context.live else None
        handles = tuple(dict.fromkeys(columns.values()))
        told = handles, self._state, self._whom(), at_ns, live, given.tables, tuple(sorted(guests))
        command = OpenDay(given.plan, window, base, session_range, *told)
        opened = await self._tell(command)
        if isinstance(opened, DayOpened):
            self._day = replace(self._day, opening=opened.opening)

    async def change(self, columns: Mapping[str, Any], full: Set[str], at_ns: int) -> None:
        """Symbols came (handles of columns), and those that are not full any more went. Nobody is asked yet."""
        left = tuple(sorted(self._known - full))
        if self._day is None or not (columns or left):
            return
        self._known = (self._known | columns.keys()) - set(left)
        self._left |= set(left) - self._late
        if self._day.error is not None:  # nobody trades any more, nor looks at who comes
            self._late |= columns.keys()
            return
        change = Membership(at_ns, tuple(sorted(columns)), left)
        self._day = replace(self._day, changes=(*self._day.changes, change))
        self._note("change", at_ns, joined=change.joined, left=left)
        await self._tell(Change(tuple(dict.fromkeys(columns.values())), left, at_ns))

    def stops_before(self, to_ns: int) -> list[int]:
        """Windows' ends before `to_ns` at which session time is to be seen to stand, oldest first."""
        before = [end for end in self._ends if end < to_ns]
        return before[_WINDOWS_A_CALL - 1 :: _WINDOWS_A_CALL]

    async def arrive(self, to_ns: int, bars: Mapping[str, Bars]) -> None:
        """Go through all windows that end before `to_ns`, take in bars that have come, and let those of a window that
        ends there happen.
        """
        bars = {symbol: own for symbol, own in bars.items() if symbol in self._known}
        if bars or (self._ends and self._ends[0] <= to_ns):
            passed = [end for end in self._ends if end < to_ns]
            self._ends = self._ends[len(passed) :]
            self._note("arrive", to_ns)
            if isinstance(await self._tell(Arrive(to_ns, bars)), Gone) and passed:
                self._stand_at(passed[-1])

    async def go_on(self, to_ns: int) -> None:
        """Go through all windows that end by `to_ns`."""
        if self._ends and self._ends[0] <= to_ns:
            self._ends = [end for end in self._ends if end > to_ns]
            self._note("go", to_ns)
            if not isinstance(await self._tell(GoOn(to_ns)), Gone):
                return
        self._stand_at(to_ns)

    def _stand_at(self, now_ns: int) -> None:
        day = self._day
        if day is not None and now_ns > day.until_ns:
            self._day = replace(day, until_ns=now_ns)

    async def close(self, at_ns: int) -> None:
        """The session is over."""
        if self._day is None or self._closed:
            return
        self._closed = True
        await self._keep_bars()
        closed = await self._tell(CloseDay(at_ns))
        if isinstance(closed, DayClosed):
            carry = self.given.plan.account.carry
            self._state = closed.state if carry else None
            self.overnight = closed.held if carry else frozenset()
            outcome = closed.outcome
            errors = {symbol: text for symbol, (text, _) in sorted(outcome.errors.items())}
            error = self._day.error or outcome.error
            orders = Orders.concat([outcome.orders, closed.working])
            self._day = replace(self._day, errors=errors, error=error, logs=outcome.logs, orders=orders)

    def tear_down(self) -> None:
        """End the process, and forget the session; what the account had stays."""
        self._fleet.kill_all()
        self.recorder = None
        self._day, self.pinned = None, frozenset()
        self._known.clear()
        self._left.clear()
        self._late.clear()
        self._answers.clear()
        self.recorded.clear()
        self._ends, self._closed, self._lost = [], False, False

    async def answer(
        self, wishes: Sequence[Wish], at_ns: int, fulfil: Callable[[Sequence[Wish], int], Awaitable[Sequence[Any]]]
    ) -> list[Any]:
        """What came of each wish; what was wished for at that time already is answered as it was, or will be."""
        new = [wish for wish in wishes if (at_ns, wish) not in self._answers]
        if new:
            work = asyncio.ensure_future(fulfil(new, at_ns))
            for number, wish in enumerate(new):
                self._answers[at_ns, wish] = asyncio.ensure_future(_nth(work, number))
        return [await asyncio.shield(self._answers[at_ns, wish]) for wish in wishes]

    def refuse(self, at_ns: int, symbol: str, reason: str) -> None:
        """Have a symbol's addition be refused so, should it be wished for at that time again."""
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(Added(False, reason))
        self._answers[at_ns, Wish("add_symbol", symbol)] = answer

    def welcome(self, symbol: str) -> None:
        """A symbol came by the strategy's wish."""
        self._known.add(symbol)

    def dismiss(self, symbol: str) -> None:
        """One went by its wish."""
        self._known.discard(symbol)
        self._left.add(symbol)

    def _note(self, kind: str, at_ns: int, *, joined: tuple[str, ...] = (), left: tuple[str, ...] = ()) -> None:
        if self.recorder is not None:
            self.recorder.step(kind, at_ns, joined=joined, left=left)

    async def _keep_bars(self) -> None:
        """Have the bars of those that left."""
        day = self._day
        wanted = tuple(sorted(self._left - (day.gone.keys() if day else set())))
        if day is None or not wanted:
            return
        shown = (await self._fleet.execute({_TRADER: ShowBars(wanted)}))[_TRADER]
        if isinstance(shown, BarsShown):
            self._day = replace(day, gone={**day.gone, **shown.bars})

    async def _tell(self, command: Any) -> Any:
        """Have it carried out, and take down what happened; nothing once the strategy's run has ended."""
        if self._day is None or self._lost:
            return None
        await self._fleet.look_after(joins=False)
        report = (await self._fleet.execute({_TRADER: command}))[_TRADER]
        self._fleet.pop_lost()
        error = _error_of(report)
        self.pinned = getattr(report, "pinned", self.pinned)
        self._lost = self._lost or isinstance(report, Failed | ColumnsLost)
        if self._day is None:  # torn down meanwhile
            return None
        pages = (
            self._day.pages if error is not None and not hasattr(report, "pages") else self._day.pages + report.pages
        )
        self._day = replace(self._day, pages=pages, error=self._day.error or error)
        if self.recorder is not None:
            self.recorder.pages(getattr(report, "pages", Pages()))
        return report


async def _nth(work: asyncio.Future[Sequence[Any]], number: int) -> Any:
    return (await asyncio.shield(work))[number]


def _error_of(report: Any) -> str | None:
    """What ended the strategy's run, if anything did."""
    if isinstance(report, ColumnsLost):
        return str(ActorFailed("symbols' columns were lost, and its process has to read them again"))
    if isinstance(report, Failed):
        return str(report.error)
    error: str | None = getattr(report, "error", None)
    return error
