"""What a strategy did in a session, and what came of it: all that is told of it, in dumps, events and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from barray.market.interval import Interval
from barray.market.known_table import KnownTables
from barray.market.series import IntervalBars
from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Pages
from barray.trading.engine.opening import Opening
from barray.trading.orders.order_columns import Orders
from barray.trading.results.logs import NO_LOGS, Logs
from barray.trading.strategy.needs import Needs


@dataclass(frozen=True)
class TradingPlan:
    """A strategy as it runs in sessions. `strategy`: the class's name; `code`: a digest of its code. `window`: None for
    every base bar. `tables`: those of the config, read.
    """

    plan: Plan
    needs: Needs
    strategy: str
    code: str = ""
    window: Interval | None = None
    tables: KnownTables = field(default_factory=dict)


@dataclass(frozen=True)
class Membership:
    """Symbols that joined and left at a window's end, by somebody else's doing than the strategy's."""

    at_ns: int
    joined: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SessionTrading:
    """What a strategy did in a session so far, and what came of it. `members`: whom it began with; `changes`: who came
    and went since. `gone`: base bars of symbols that were traded and are no longer in the session. `until_ns`: how far
    it came. `errors`: tracebacks of symbols' own strategies; `error`: what ended it all. `logs`: what was printed, once
    the session has ended. `live`: bars came as it went on. `orders`: all
    that ended in the session or still work, None while it runs.
    """

    given: TradingPlan
    window: Interval
    base: Interval
    began_ns: int
    until_ns: int
    opening: Opening
    members: tuple[str, ...]
    changes: tuple[Membership, ...]
    pages: Pages
    gone: Mapping[str, IntervalBars]
    errors: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    logs: Logs = NO_LOGS
    live: bool = False
    orders: Orders | None = None

    @property
    def positions(self) -> dict[str, float]:
        """Shares held by symbol, without those of which none are."""
        held = {symbol: holding.position for symbol, holding in self.opening.holdings.items()}
        lots = self.given.plan.market.lots
        for fill in self.pages.fills:
            held[fill.symbol] = lots(held.get(fill.symbol, 0.0) + fill.quantity)
        return {symbol: position for symbol, position in sorted(held.items()) if position}
