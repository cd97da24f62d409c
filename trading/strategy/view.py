"""What `on_window` is given: all symbols as of now, and a way to trade them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, Protocol, Unpack
from zoneinfo import ZoneInfo

from barray.market.bars import Bar, FloatArray
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.known_table import Values
from barray.market.own_indicator import OwnIndicator
from barray.trading.orders.accounts import Accounts, WorkingOrder
from barray.trading.orders.order import Order
from barray.trading.orders.terms import OrderOptions, OrderTerms
from barray.trading.strategy.panel import Panel


@dataclass(frozen=True)
class Moment:
    """A window's end, or a session's open (`opening`). `open_ns`, `close_ns`: of its session; all UTC ns."""

    now_ns: int
    session_date: date
    open_ns: int
    close_ns: int
    timezone: str
    opening: bool = False

    @property
    def closing(self) -> bool:
        """Whether the session ends here."""
        return self.now_ns >= self.close_ns


@dataclass(frozen=True)
class Added:
    """Whether something was added, and if not why. True in a condition if it was."""

    accepted: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.accepted


@dataclass(frozen=True)
class Wish:
    """What a strategy wants of the session that it trades in. `indicator`, or `bar` of an `interval`: what it adds."""

    kind: Literal["add_symbol", "add_indicator", "add_bar", "remove_symbol"]
    symbol: str
    indicator: str = ""
    interval: str = ""
    bar: tuple[tuple[str, float], ...] = ()


class Viewed(Protocol):
    """What a view shows; see barray.trading.engine.shown."""

    def latest(self, column: str) -> FloatArray:
        """Last bars' values of a column, or session volumes (`session_volume`), or `position`: float64 (symbols,)."""
        ...

    def indicator_values(self) -> Mapping[str, FloatArray]:
        """Newest values by name, of the strategy's indicators and of those added."""
        ...

    def table_values(self, name: str, column: str) -> Values:
        """What a table's column says of each symbol: float64 (symbols,), or texts, object (symbols,)."""
        ...


class Adding(Protocol):
    """What a view hands additions to; see barray.trading.engine.additions."""

    def add_symbols(self, symbols: Sequence[str]) -> dict[str, Added]:
        """Get symbols for the rest of the session, side by side."""
        ...

    def remove_symbol(self, symbol: str) -> None:
        """Let a symbol that was added go at this window's end."""
        ...

    def add_indicator(self, symbol: str, indicator: str | OwnIndicator) -> Added:
        """Have one more indicator computed."""
        ...

    def add_bar(self, symbol: str, interval: str, bar: Bar | Mapping[str, Any]) -> Added:
        """Have one more bar."""
        ...


class Trading(Protocol):
    """What a view hands orders to; see barray.trading.engine.order_manager."""

    accounts: Accounts

    def working(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """Orders of a symbol that work."""
        ...

    def place(self, symbol: str, terms: OrderTerms) -> Order:
        """An order that works from the next bar on, as far as the account pays for it."""
        ...

    def place_missing(self, symbol: str, target: float) -> Order | None:
        """Order what is missing to hold `target`; None where that is less than a lot."""
        ...

    def cancel(self, symbol: str) -> None:
        """Cancel all orders of a symbol."""
        ...

    def shares_for(self, symbol: str, fraction: float) -> float:
        """What a fraction of equity buys at the last close, in whole lots."""
        ...

    def rebalance(self, weights: Mapping[str, float]) -> None:
        """Order what is missing to hold these fractions of equity, and nothing else."""
        ...


class WindowView:
    """All symbols as of a window's end. Nothing in it knows of later bars. One view goes through a session: what is
    read from it is as of the window that it is read in.

    `symbols`: sorted, without those that are left out of the session. Arrays are float64 (n,), in their order, with NaN
    where a symbol has no value yet; they are the reader's own.
    """

    def __init__(
        self, portfolio: Viewed, order_manager: Trading, additions: Adding, panel: Panel, moment: Moment
    ) -> None:
        self._portfolio = portfolio
        self._order_manager = order_manager
        self._additions = additions
        self._panel = panel
        self._moment = moment
        self._open_ns = moment.open_ns
        self.now_ns = moment.now_ns
        """The time, UTC ns."""
        self.symbols: tuple[str, ...] = panel.symbols

    @property
    def now(self) -> datetime:
        """The time, in the exchange's zone."""
        return datetime.fromtimestamp(self.now_ns // 1_000_000_000, UTC).astimezone(ZoneInfo(self._moment.timezone))

    @property
    def session_date(self) -> date:
        """Label of the session."""
        return self._moment.session_date

    @property
    def minute(self) -> int:
        """Whole minutes since the session's open."""
        return (self.now_ns - self._open_ns) // 60_000_000_000

    @property
    def minutes_to_close(self) -> int:
        """Whole minutes until the session closes."""
        return (self._moment.close_ns - self.now_ns) // 60_000_000_000

    @property
    def close(self) -> FloatArray:
        """Last closes."""
        return self._portfolio.latest("close")

    @property
    def open(self) -> FloatArray:
        """Opens of the last bars."""
        return self._portfolio.latest("open")

    @property
    def high(self) -> FloatArray:
        """Highs of the last bars."""
        return self._portfolio.latest("high")

    @property
    def low(self) -> FloatArray:
        """Lows of the last bars."""
        return self._portfolio.latest("low")

    @property
    def bar_volume(self) -> FloatArray:
        """Volumes of the last bars."""
        return self._portfolio.latest("volume")

    @property
    def volume(self) -> FloatArray:
        """Volumes of the session so far."""
        return self._portfolio.latest("session_volume")

    @property
    def position(self) -> FloatArray:
        """Shares held, negative short."""
        return self._portfolio.latest("position")

    def history(self, column: str, n: int | None = None, interval: str | None = None) -> FloatArray:
        """The last `n` bars that have closed, oldest first: float64 (n, symbols), read-only, without a copy; fewer rows
        where the session and its history have fewer, all of them where `n` is None.

        `column`: open, high, low, close or volume. A row is a bar that the calendar expects; NaN where a symbol has
        none. `interval`: one that the strategy names, by default that of the bars as loaded. How far history reaches
        is `history.trailing_days`, of days and weeks `history.daily_days`, and what the indicators need. ConfigError
        for a column or interval that isn't there.
        """
        if n is not None and n < 1:
            raise ConfigError(f"history of {n} bars", remedy="ask for 1 or more")
        return self._panel.bars(column, self.now_ns, n, Interval.parse(interval) if interval is not None else None)

    @property
    def indicators(self) -> Mapping[str, FloatArray]:
        """Latest values by the strategy's names, and of indicators added by what they were added as."""
        return self._portfolio.indicator_values()

    def table(self, name: str, column: str) -> Values:
        """What a table of the config says of each symbol now, of its newest row that is known by now: float64
        (symbols,), NaN where nothing is, or texts, object (symbols,), None there. ConfigError where there is no such
        table or column.
        """
        return self._portfolio.table_values(name, column)

    def index(self, symbol: str) -> int:
        """Where a symbol stands in `symbols` and all arrays; ConfigError where there is none."""
        found = self._panel.index.get(symbol)
        if found is None:
            raise ConfigError("there is no such symbol in the view", symbol=symbol, remedy="use one of view.symbols")
        return found

    @property
    def cash(self) -> float:
        """Cash of the account, or of all symbols' accounts."""
        return self._order_manager.accounts.cash

    @property
    def equity(self) -> float:
        """Cash and positions at their last closes."""
        return self._order_manager.accounts.equity

    @property
    def positions(self) -> dict[str, float]:
        """Shares held, by symbol; those without a position are left out."""
        return {symbol: held for symbol, held in zip(self.symbols, self.position.tolist(), strict=True) if held}

    def orders(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """Orders that work, oldest first; those placed just now are not among them yet. ConfigError as for `index`."""
        return self._order_manager.working(symbol)

    def order(self, symbol: str, quantity: float, **options: Unpack[OrderOptions]) -> Order:
        """Order `quantity` shares, negative to sell; for when and where it fills see barray.trading.orders.broker and
        barray.trading.orders.accounts.

        `options`: limit, stop, trail, tif, stop_loss, take_profit, trailing_stop, tag; see OrderTerms, and for what is
        a ConfigError. So is a symbol that is not there.
        """
        return self._order_manager.place(symbol, OrderTerms(quantity, **options))

    def order_target(self, symbol: str, quantity: float) -> Order | None:
        """Cancel what works and order what is missing to hold `quantity`; None where nothing is.

        ConfigError where there is no such symbol.
        """
        self._order_manager.cancel(symbol)
        return self._order_manager.place_missing(symbol, quantity)

    def order_target_pct(self, symbol: str, fraction: float) -> Order | None:
        """The same for what `fraction` of the equity buys at the last close; a fraction of the symbol's own equity
        where accounts are not shared. ConfigError where there is no such symbol, or no price yet.
        """
        return self.order_target(symbol, self._order_manager.shares_for(symbol, fraction))

    def rebalance(self, weights: Mapping[str, float]) -> None:
        """Hold these fractions of the equity, and nothing of other symbols.

        All orders are cancelled. What makes positions smaller is sold in the next bar, and what makes others larger is
        bought in the same one, with what there is of cash after the sales. ConfigError as for `order_target_pct`.
        """
        self._order_manager.rebalance(weights)

    def cancel_all(self, symbol: str) -> None:
        """Cancel all orders of a symbol; ConfigError where there is no such symbol."""
        self._order_manager.cancel(symbol)

    def add_symbol(self, symbol: str) -> Added:
        """Have a symbol for the rest of the session: validated and loaded as those of the config, in the view from the
        next window on. At the session's end its position is closed at its last bar's close and it is gone.
        ConfigError for what is no text.
        """
        return self._additions.add_symbols([symbol])[symbol]

    def add_symbols(self, symbols: Sequence[str]) -> dict[str, Added]:
        """The same for many, which are validated and loaded side by side: what came of each. ConfigError for what is
        no text.
        """
        return self._additions.add_symbols(symbols)

    def remove_symbol(self, symbol: str) -> None:
        """Let a symbol go that was added: its orders are cancelled, its position is closed at the last close, as at a
        session's end, and it is out of the view from the next window on. ConfigError for one that was not added.
        """
        self._additions.remove_symbol(symbol)

    def add_adhoc_indicator(self, symbol: str, indicator: str | OwnIndicator) -> Added:
        """Have one more indicator of a symbol, such as `"RSI(14)@5m"`, for the rest of the session: in
        `view.indicators` under the name given here, from the next window on. It knows the history that is loaded.
        An own one, `spread(fast=30) @ "5m"`, is there as `spread(fast=30)@5m`. ConfigError where either is no text.
        """
        return self._additions.add_indicator(symbol, indicator)

    def add_adhoc_bar(self, symbol: str, interval: str, bar: Bar | Mapping[str, Any]) -> Added:
        """Have a bar that the symbol's source lacks, for the rest of the session: `interval` is that of its bars as
        loaded, `bar` has `timestamp` (its start), open, high, low, close and volume. It passes the light checks of
        `Session.add_adhoc_bar`, has closed by now, and no bar of the source stands in its place.

        From the next window on it is a bar as any: seen, derived from, in the indicators, and what the position is
        valued on. No order fills on it, since it has closed. ConfigError for a symbol that is no text.
        """
        return self._additions.add_bar(symbol, interval, bar)
