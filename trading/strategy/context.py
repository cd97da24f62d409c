"""What `on_bar` is given: one symbol as of now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Unpack
from zoneinfo import ZoneInfo

from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.known_table import Known, table_of
from barray.trading.orders.broker import Broker
from barray.trading.orders.order import Order
from barray.trading.orders.reasons import BY_STRATEGY, NEW_TARGET
from barray.trading.orders.terms import OrderOptions, OrderTerms
from barray.trading.strategy.columns import BarColumns, Column, Cursor
from barray.trading.strategy.data import SymbolData


class Context:
    """One symbol as of the close of the bar that `on_bar` is called for. Nothing in it knows of later bars.

    `position`: shares held, negative short. `bar`: number of main bars that have closed, history included.
    `indicators`: columns by the strategy's names, NaN until warm.
    """

    def __init__(self, data: SymbolData, broker: Broker, timezone: str) -> None:
        self.symbol = data.symbol
        self.position = 0.0
        self._data = data
        self._broker = broker
        self._timezone = timezone
        self._row = int(data.traded[0]) if len(data.traded) else 0
        self._cursors = {interval: Cursor() for interval in data.series}
        self._bars = {str(i): BarColumns(series.bars, self._cursors[i]) for i, series in data.series.items()}
        main = self._bars[str(data.interval)]
        self.cursor = self._cursors[data.interval]
        self.open, self.high, self.low, self.close, self.volume = (
            main.column(name) for name in ("open", "high", "low", "close", "volume")
        )
        self.indicators: Mapping[str, Column] = {
            name: Column(values, self._cursors[data.specs[name].interval]) for name, values in data.indicators.items()
        }

    def begin(self, session: int, at_ns: int | None = None) -> None:
        """Stand at the open of a session (row of `data.sessions`), or at `at_ns` in it; all bars that have closed by
        then are seen.
        """
        self._row = session
        now_ns = int(self._data.sessions.open_ns[session]) if at_ns is None else at_ns
        for interval, cursor in self._cursors.items():
            cursor.end = self._data.series[interval].closed_by(now_ns)

    def others(self) -> list[tuple[Cursor, list[int]]]:
        """Cursors of the further intervals, and how many of their bars have closed at each main bar's close."""
        main = self._data.interval
        return [(c, self._data.visible(i).tolist()) for i, c in self._cursors.items() if i != main]

    @property
    def bar(self) -> int:
        """How many main bars have closed, history included."""
        return self.cursor.end

    @cached_property
    def _ends(self) -> list[int]:
        ends: list[int] = self._data.bars.end_ns.tolist()
        return ends

    def bars(self, interval: str) -> BarColumns:
        """The bars of another interval, as far as they have closed; ConfigError where it was not declared."""
        found = self._bars.get(str(Interval.parse(interval)))
        if found is None:
            listed = ", ".join(self._bars)
            raise ConfigError(f"bars of {interval} are not loaded ({listed})", remedy="name it in intervals")
        return found

    @property
    def now_ns(self) -> int:
        """The time, UTC ns: when the newest bar closed; in on_start and on_session the session's open."""
        open_ns = int(self._data.sessions.open_ns[self._row])
        return max(self._ends[self.cursor.end - 1], open_ns) if self.cursor.end else open_ns

    @property
    def now(self) -> datetime:
        """The time, in the exchange's zone."""
        return datetime.fromtimestamp(self.now_ns // 1_000_000_000, UTC).astimezone(ZoneInfo(self._timezone))

    @property
    def session_date(self) -> date:
        """Label of the session."""
        label: date = self._data.sessions.dates[self._row].item()
        return label

    @property
    def minute(self) -> int:
        """Whole minutes since the session's open."""
        return (self.now_ns - int(self._data.sessions.open_ns[self._row])) // 60_000_000_000

    @property
    def minutes_to_close(self) -> int:
        """Whole minutes until the session closes."""
        return (int(self._data.sessions.close_ns[self._row]) - self.now_ns) // 60_000_000_000

    def table(self, name: str, column: str) -> Known:
        """What a table of the config says of the symbol now, of its newest row that is known by now: a number, NaN
        where nothing is, or a text, None there. ConfigError where there is no such table or column.
        """
        return table_of(self._data.tables, name).value(column, self.now_ns)

    @property
    def orders(self) -> list[Order]:
        """Working orders, oldest first."""
        return self._broker.orders

    @property
    def cash(self) -> float:
        """Cash of the account; of one that all symbols share, as of the last window's end."""
        return self._broker.account_cash

    @property
    def equity(self) -> float:
        """Cash and position at the newest close; of an account that all symbols share, as of the last window's end."""
        return self._broker.account_equity(self.close[-1] if self._broker.position else 0.0)

    def order(self, quantity: float, **options: Unpack[OrderOptions]) -> Order:
        """Order `quantity` shares, negative to sell; see barray.trading.orders.broker for when and where it fills.

        `options`: limit, stop, trail, tif, stop_loss, take_profit, trailing_stop, tag; see OrderTerms, and for what is
        a ConfigError.
        """
        return self._broker.place(OrderTerms(quantity, **options), self.now_ns)

    def buy(self, quantity: float, **options: Unpack[OrderOptions]) -> Order:
        """Buy; see `order`. ConfigError for a negative quantity too."""
        if quantity < 0:
            raise ConfigError(f"buy({quantity:g})", remedy=f"give a positive quantity; sell({-quantity:g}) sells")
        return self._broker.place(OrderTerms(quantity, **options), self.now_ns)

    def sell(self, quantity: float, **options: Unpack[OrderOptions]) -> Order:
        """Sell, or sell short; see `order`. ConfigError for a negative quantity too."""
        if quantity < 0:
            raise ConfigError(f"sell({quantity:g})", remedy=f"give a positive quantity; buy({-quantity:g}) buys")
        return self._broker.place(OrderTerms(-quantity, **options), self.now_ns)

    def order_target(self, quantity: float) -> Order | None:
        """Cancel what is working and order what is missing to hold `quantity`; None where nothing is."""
        broker, now_ns = self._broker, self.now_ns
        broker.cancel_all(NEW_TARGET, now_ns)
        missing = quantity - broker.position
        return broker.place(OrderTerms(missing), now_ns) if broker.market.lots(missing) else None

    def close_position(self) -> Order | None:
        """Cancel what is working and order the position's opposite; None where there is none."""
        return self.order_target(0.0)

    def cancel(self, order: Order) -> None:
        """Cancel a working order; nothing happens where it isn't working any more."""
        self._broker.cancel(order, BY_STRATEGY, self.now_ns)

    def cancel_all(self) -> None:
        """Cancel all working orders."""
        self._broker.cancel_all(BY_STRATEGY, self.now_ns)
