"""The strategy over all symbols of a portfolio: its object, its calls, and its end."""

from __future__ import annotations

from typing import Any

from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Notes
from barray.trading.engine.order_manager import OrderManager
from barray.trading.engine.symbol_book import SymbolBook
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.failure import DidNotReturn, failure_text, file_of
from barray.trading.strategy.view import WindowView


class Decider:
    """Calls it, and knows who speaks. What it raises ends its calls, and its orders; positions stay.

    `error`: the traceback, or what ended the run; `error_ns`: when it raised, UTC ns. `speaks`: the book of the symbol
    whose own strategy is called, None for none.
    """

    def __init__(self, plan: Plan, order_manager: OrderManager, notes: Notes) -> None:
        self.error: str | None = None
        self.error_ns: int | None = None
        self.strategy: Strategy | None = None
        self.speaks: SymbolBook | None = None
        self._remembered: dict[str, Any] | None = None
        self._plan, self._order_manager, self._notes = plan, order_manager, notes

    def __getstate__(self) -> dict[str, Any]:
        """Of the strategy what it remembers."""
        remembered = vars(self.strategy) if self.strategy is not None else None
        return {**vars(self), "strategy": None, "speaks": None, "_remembered": remembered}

    @property
    def now_ns(self) -> int | None:
        """The time of whoever speaks, UTC ns, None where there is none."""
        if self.speaks is not None and self.speaks.run is not None:
            return self.speaks.run.context.now_ns
        here = self._order_manager.here
        return here.now_ns if here is not None else None

    @property
    def speaker(self) -> str:
        """Whose strategy it is, "" for that over all symbols."""
        return self.speaks.symbol if self.speaks is not None else ""

    def begin_anew(self) -> None:
        """Have an object that knows of nothing before."""
        self.strategy = self._remembered = None

    def open(self, view: WindowView) -> None:
        """Have it decide at a session's open."""
        try:
            if self.strategy is None:
                self.strategy = self._plan.strategy()
                if self._remembered is None:
                    self._notes.enter("", "on_start")
                    self.strategy.on_start(view)  # type: ignore[arg-type]  # documented in Strategy
                else:
                    vars(self.strategy).update(self._remembered)
            self._notes.enter("", "on_session")
            self.strategy.on_session(view)  # type: ignore[arg-type]
            self._notes.leave()
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self.stop(view)

    def ask(self, view: WindowView) -> None:
        """Have it decide at a window's end."""
        self._notes.enter("", "on_window")
        try:
            self.strategy.on_window(view)  # type: ignore[union-attr]  # there since the open
            self._notes.leave()
        except (Exception, DidNotReturn):  # the user's code: no more calls, positions stay
            self.stop(view)

    def stop(self, view: WindowView) -> None:
        """Remember the error being handled; nothing is called any more, nor ordered."""
        self.error, self.error_ns = failure_text(file_of(self.strategy), view.now), view.now_ns
        self._notes.failed("")
        self._order_manager.stop()
