"""What `on_window` is given: all symbols as of now, and a way to trade them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Protocol, Unpack
from zoneinfo import ZoneInfo

import numpy as np

from barray.market.bars import FloatArray
from barray.market.errors import ConfigError
from barray.trading.orders.accounts import Accounts, NewOrder, WorkingOrder
from barray.trading.orders.terms import OrderOptions, OrderTerms


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
class SymbolView:
    """One symbol at `now_ns` (UTC ns), as a view shows it.

    `price`: the last close, NaN before there is one. `volume`: of the session so far. `values`: latest values of the
    strategy's indicators, NaN until warm; `adhoc`: those of indicators added, by name.
    """

    now_ns: int
    price: float
    volume: float
    values: tuple[float, ...]
    position: float
    adhoc: Mapping[str, float]


class Viewed(Protocol):
    """What a view shows, and what it hands orders and additions to; see barray.trading.engine.portfolio."""

    accounts: Accounts

    @property
    def reports(self) -> Mapping[str, SymbolView]:
        """The newest state of every symbol."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the strategy's indicators, in the order of `SymbolView.values`."""
        ...

    def working(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """Orders of a symbol that work."""
        ...

    def place(self, symbol: str, terms: OrderTerms) -> NewOrder:
        """An order to go out with the next step."""
        ...

    def place_missing(self, symbol: str, target: float) -> NewOrder | None:
        """Order what is missing to hold `target`; None where that is less than a lot."""
        ...

    def cancel(self, symbol: str) -> None:
        """Cancel all orders of a symbol."""
        ...

    def shares_for(self, symbol: str, fraction: float) -> float:
        """What a fraction of equity buys at the last close, in whole lots."""
        ...

    def rebalance(self, targets: Mapping[str, float]) -> None:
        """Order what is missing to these positions."""
        ...

    def add_symbol(self, symbol: str) -> Added:
        """Get a symbol for the rest of the session."""
        ...

    def add_indicator(self, symbol: str, indicator: str) -> Added:
        """Have one more indicator computed."""
        ...


class WindowView:
    """All symbols as of a window's end. Nothing in it knows of later bars.

    `symbols`: sorted, without those that are left out of the session. Arrays are float64 (n,), in their order, with NaN
    where a symbol has no value yet.
    """

    def __init__(self, portfolio: Viewed, moment: Moment) -> None:
        self._portfolio = portfolio
        self._moment = moment
        self._reports = [portfolio.reports[symbol] for symbol in sorted(portfolio.reports)]
        self.symbols: tuple[str, ...] = tuple(sorted(portfolio.reports))

    @property
    def now_ns(self) -> int:
        """The time, UTC ns."""
        return self._moment.now_ns

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
        return (self.now_ns - self._moment.open_ns) // 60_000_000_000

    @property
    def minutes_to_close(self) -> int:
        """Whole minutes until the session closes."""
        return (self._moment.close_ns - self.now_ns) // 60_000_000_000

    @cached_property
    def close(self) -> FloatArray:
        """Last closes."""
        return np.array([report.price for report in self._reports], np.float64)

    @cached_property
    def volume(self) -> FloatArray:
        """Volumes of the session so far."""
        return np.array([report.volume for report in self._reports], np.float64)

    @cached_property
    def position(self) -> FloatArray:
        """Shares held, negative short."""
        return np.array([report.position for report in self._reports], np.float64)

    @cached_property
    def indicators(self) -> Mapping[str, FloatArray]:
        """Latest values by the strategy's names, and of indicators added by what they were added as."""
        columns = np.array([report.values for report in self._reports], np.float64).reshape(len(self._reports), -1)
        found: dict[str, FloatArray] = dict(zip(self._portfolio.columns, columns.T, strict=False))
        for name in sorted({name for report in self._reports for name in report.adhoc}):
            found[name] = np.array([report.adhoc.get(name, np.nan) for report in self._reports], np.float64)
        return found

    def index(self, symbol: str) -> int:
        """Where a symbol stands in `symbols` and all arrays; ConfigError where there is none."""
        if symbol not in self._portfolio.reports or symbol not in self.symbols:
            raise ConfigError("there is no such symbol in the view", symbol=symbol, remedy="use one of view.symbols")
        return self.symbols.index(symbol)

    @property
    def cash(self) -> float:
        """Cash of the account, or of all symbols' accounts."""
        return self._portfolio.accounts.cash

    @property
    def equity(self) -> float:
        """Cash and positions at their last closes."""
        return self._portfolio.accounts.equity

    @property
    def positions(self) -> dict[str, float]:
        """Shares held, by symbol; those without a position are left out."""
        return {symbol: held for symbol, held in zip(self.symbols, self.position.tolist(), strict=True) if held}

    def orders(self, symbol: str) -> tuple[WorkingOrder, ...]:
        """Orders that work, oldest first; those placed just now are not among them yet. ConfigError as for `index`."""
        return self._portfolio.working(symbol)

    def order(self, symbol: str, quantity: float, **options: Unpack[OrderOptions]) -> NewOrder:
        """Order `quantity` shares, negative to sell; for when and where it fills see barray.trading.orders.broker and
        barray.trading.orders.accounts.

        `options`: limit, stop, tif, stop_loss, take_profit, tag; see OrderTerms, and for what is a ConfigError. So is a
        symbol that is not there.
        """
        return self._portfolio.place(symbol, OrderTerms(quantity, **options))

    def order_target(self, symbol: str, quantity: float) -> NewOrder | None:
        """Cancel what works and order what is missing to hold `quantity`; None where nothing is.

        ConfigError where there is no such symbol.
        """
        self._portfolio.cancel(symbol)
        return self._portfolio.place_missing(symbol, quantity)

    def order_target_pct(self, symbol: str, fraction: float) -> NewOrder | None:
        """The same for what `fraction` of the equity buys at the last close; a fraction of the symbol's own equity
        where accounts are not shared. ConfigError where there is no such symbol, or no price yet.
        """
        return self.order_target(symbol, self._portfolio.shares_for(symbol, fraction))

    def rebalance(self, weights: Mapping[str, float]) -> None:
        """Hold these fractions of the equity, and nothing of other symbols.

        All orders are cancelled. What makes positions smaller is ordered now; what makes others larger at the next
        window's end where something has to be sold first, else now too. ConfigError as for `order_target_pct`.
        """
        targets = {symbol: self._portfolio.shares_for(symbol, weight) for symbol, weight in weights.items()}
        self._portfolio.rebalance({**dict.fromkeys(self.symbols, 0.0), **targets})

    def cancel_all(self, symbol: str) -> None:
        """Cancel all orders of a symbol; ConfigError where there is no such symbol."""
        self._portfolio.cancel(symbol)

    def add_symbol(self, symbol: str) -> Added:
        """Have a symbol for the rest of the session: validated and loaded as those of the config, in the view from the
        next window on. At the session's end its position is closed at its last bar's close and it is gone.
        ConfigError for what is no text.
        """
        return self._portfolio.add_symbol(symbol)

    def add_adhoc_indicator(self, symbol: str, indicator: str) -> Added:
        """Have one more indicator of a symbol, such as `"RSI(14)@5m"`, for the rest of the session: in
        `view.indicators` under the name given here, from the next window on. It knows the history that is loaded.
        ConfigError where either is no text.
        """
        return self._portfolio.add_indicator(symbol, indicator)
