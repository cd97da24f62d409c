"""Where a run's accounts stand between two sessions, in plain values: enough to go on from there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any

from barray.trading.orders.accounts import Accounts, SharedAccount
from barray.trading.orders.broker import Broker
from barray.trading.orders.order import Order
from barray.trading.orders.reasons import Why
from barray.trading.orders.separate_accounts import SeparateAccounts
from barray.trading.orders.terms import OrderTerms


@dataclass(frozen=True)
class Holding:
    """One symbol's. `position`, `cash`: as its broker has them; `booked`: the same as its account has, which rounds
    otherwise. `placed`: how many orders there were before. `orders`: those that work, by Order's names, in JSON types;
    `parent` is a number. `failed`: its own strategy has, so it is not called any more.
    """

    position: float
    cash: float
    booked: tuple[float, float]
    placed: int
    orders: tuple[Mapping[str, Any], ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class Opening:
    """`cash`: of the account that is shared, None where each symbol has its own; `may_owe`: how far that may be below
    zero, None without bound. `closes`: last closes known. `holdings`: of all symbols that were there, by symbol.
    `purchases`: positions that a rebalancing is still to buy.
    """

    cash: float | None = None
    may_owe: float | None = 0.0
    closes: Mapping[str, float] = field(default_factory=dict)
    holdings: Mapping[str, Holding] = field(default_factory=dict)
    purchases: Mapping[str, float] = field(default_factory=dict)


def opening_of(
    accounts: Accounts, brokers: Mapping[str, Broker], closes: Mapping[str, float], failed: Collection[str]
) -> Opening:
    """Where these stand."""
    shared = isinstance(accounts, SharedAccount)
    cash = accounts.cash if shared else None
    may_owe = accounts.may_owe if isinstance(accounts, SharedAccount) else 0.0
    holdings = {
        symbol: _holding(broker, accounts.booked(symbol), failed=symbol in failed)
        for symbol, broker in sorted(brokers.items())
    }
    return Opening(cash, None if may_owe == inf else may_owe, dict(sorted(closes.items())), holdings)


def _holding(broker: Broker, booked: tuple[float, float], *, failed: bool) -> Holding:
    orders = tuple(_order_values(one) for one in broker.working)
    return Holding(broker.position, broker.cash, booked, broker.placed, orders, failed)


def _order_values(order: Order) -> dict[str, Any]:
    values = {one.name: getattr(order, one.name) for one in fields(Order) if one.init}
    terms = {one.name: getattr(order.terms, one.name) for one in fields(OrderTerms) if one.init}
    return {**values, "terms": terms, "why": list(order.why), "parent": order.parent.number if order.parent else None}


def stand(opening: Opening, accounts: Accounts, brokers: Mapping[str, Broker]) -> None:
    """Have accounts and brokers, all new, stand there. ValueError where a broker is lacking, TypeError and others where
    an order's values can't be meant.
    """
    for symbol, holding in opening.holdings.items():
        if symbol not in brokers:
            raise ValueError(f"{symbol} is held, and there is nobody who holds it")
        broker = brokers[symbol]
        broker.position, broker.cash = holding.position, holding.cash
        broker.take_up(_orders(holding.orders), holding.placed)
        accounts.join(symbol, broker.working)
        if isinstance(accounts, SeparateAccounts):
            accounts.stand(symbol, *holding.booked)
    if isinstance(accounts, SharedAccount):
        positions = {symbol: one.booked[1] for symbol, one in opening.holdings.items() if one.booked[1]}
        accounts.stand(opening.cash or 0.0, inf if opening.may_owe is None else opening.may_owe, positions)


def _orders(told: Iterable[Mapping[str, Any]]) -> list[Order]:
    orders: dict[int, Order] = {}
    gone: dict[int, Order] = {}  # one an entry that has filled, or its guards would not know each other
    for values in told:
        known = {**values, "terms": OrderTerms(**values["terms"]), "why": Why(*values["why"]), "parent": None}
        orders[values["number"]] = Order(**known)
    for values in told:
        if values["parent"] is not None:
            number = values["parent"]
            filled = gone.setdefault(number, Order(number, OrderTerms(0.0), 0.0, "filled"))
            orders[values["number"]].parent = orders.get(number, filled)
    return list(orders.values())
