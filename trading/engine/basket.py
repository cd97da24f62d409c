"""Rebalancings of a shared account carried out in whole, where that comes to what order by order would.

A rebalancing's orders are plain: at the market, each of a symbol that has no other. Then they are arrays, approved in
one step where money suffices for all of them, and filled in one step at the next row's opens: what it sells, then what
it buys with what the sales brought. Wherever one of them could be cut, refused, or come later than the others, there is
no basket, and the order manager has orders, one by one. The rules are those of barray.trading.orders.broker and
barray.trading.orders.accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.trading.engine.holdings import Holdings
from barray.trading.engine.open_session import OpenSession
from barray.trading.orders.accounts import Payment, SharedAccount
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Commission, Market, Slippage, lots_array
from barray.trading.orders.fills import Fills


@dataclass(eq=False, slots=True)
class Basket:
    """Orders of one rebalancing, sales first, each part by symbol; arrays (k,).

    `columns`: of the symbols in the block, whose rows in Holdings are `slots`. `targets`: shares to hold. `asked`:
    shares, negative to sell, and `quantity`: whole lots of them. `after`: the position that each leads to, as are
    `positions`. `sales`: how many are sales; where there are any, the others are purchases, which wait for them.
    `approved`: its orders work. `budgets`: what is set aside for them, None where sales need none.
    """

    symbols: list[str]
    columns: NDArray[np.intp]
    slots: NDArray[np.intp]
    targets: FloatArray
    asked: FloatArray
    quantity: FloatArray
    after: FloatArray
    positions: list[float]
    sales: int
    placed_ns: int
    budgets: FloatArray | None = None
    approved: bool = False

    @property
    def ordered(self) -> int:
        """How many are ordered; the others are purchases."""
        return self.sales or len(self.symbols)


class BasketFill(NamedTuple):
    """Fills of a basket, each of an order in whole, in base bars that start at `bar_ns` and end at `ended_ns`; arrays
    (k,), times UTC ns. `asked`, `placed_ns`: of the orders. For the others see Fill.
    """

    placed_ns: int
    bar_ns: int
    ended_ns: int
    slots: NDArray[np.intp]
    number: IntArray
    asked: FloatArray
    quantity: FloatArray
    price: FloatArray
    commission: FloatArray
    slippage: FloatArray


@dataclass(frozen=True, eq=False)
class BasketFills:
    """The same of many baskets, as columns of one length."""

    placed_ns: IntArray
    bar_ns: IntArray
    ended_ns: IntArray
    slots: NDArray[np.intp]
    asked: FloatArray
    fills: Fills

    @classmethod
    def of(cls, parts: Sequence[BasketFill]) -> BasketFills:
        """One basket's after another's; what rows they are in isn't told."""
        *times, slots, number, asked, quantity, price, commission, slippage = zip(*parts, strict=True)
        lengths = [len(one) for one in slots]
        placed_ns, bar_ns, ended_ns = (np.repeat(np.array(column, np.int64), lengths) for column in times)
        fills = Fills(
            np.zeros(len(bar_ns), np.int64),
            bar_ns,
            np.concatenate(quantity),
            np.concatenate(price),
            np.concatenate(commission),
            np.concatenate(slippage),
            np.concatenate(number),
            np.zeros(len(bar_ns), np.bool_),
        )
        return cls(placed_ns, bar_ns, ended_ns, np.concatenate(slots), np.concatenate(asked), fills)


class BasketTrading:
    """Makes, approves and fills baskets. What comes to None, or False, has changed nothing."""

    def __init__(self, account: SharedAccount, terms: Account, market: Market, holdings: Holdings) -> None:
        self._account, self._terms, self._market, self._holdings = account, terms, market, holdings
        self._slips, self._charges = market.slippage != Slippage(), market.commission != Commission()

    def basket(self, here: OpenSession, slots: NDArray[np.intp], weights: Mapping[str, float]) -> Basket | None:
        """Orders that hold these fractions of the equity, and nothing else of what is seen. `slots`: of the block's
        symbols.
        """
        block, lot_size = here.block, self._market.lot_size
        columns = [block.index.get(symbol, -1) for symbol in weights]
        if here.row < 0 or -1 in columns:
            return None
        target, held = np.zeros(len(slots)), self._holdings.position[slots]
        if columns:
            fractions, wanted = np.array(list(weights.values())), np.array(columns)
            prices = block.last_close[here.row][wanted]
            if fractions.dtype.kind not in "fiu" or not np.minimum.reduce(prices) > 0.0:
                return None
            if here.unseen is not None and here.unseen[wanted].any():
                return None
            target[wanted] = lots_array(fractions * self._account.equity / prices, lot_size)
        asked = target - held
        if here.unseen is not None:
            asked[here.unseen] = 0.0
        quantity = lots_array(asked, lot_size)
        traded = quantity.nonzero()[0]
        buys = held[traded] * quantity[traded] >= 0.0
        traded = traded[buys.argsort(kind="stable")]
        sales, quantity, held = len(buys) - int(np.count_nonzero(buys)), quantity[traded], held[traded]
        after = lots_array(held + quantity, lot_size)
        after += 0.0  # no -0
        positions, before = after.tolist(), held.tolist()
        if positions and not (min(positions) >= 0.0 and min(before) >= 0.0 and sum(positions) < inf):
            turned, number = after * held < 0.0, np.isfinite(after)
            if turned.any() or not number.all() or (not self._terms.short and min(positions) < 0.0):
                return None
        symbols = block.symbols
        names = [symbols[column] for column in traded.tolist()]
        return Basket(
            names,
            traded,
            slots[traded],
            target[traded],
            asked[traded],
            quantity,
            after,
            positions,
            sales,
            here.now_ns,
        )

    def approve(self, basket: Basket, here: OpenSession) -> bool:
        """Approve what is ordered now: sales need no money, which purchases wait for."""
        if not basket.sales:
            payment = self._account.standing
            basket.budgets = self._budgets(basket, here, payment, np.abs(basket.quantity))
            if basket.budgets is None:
                return False
            self._account.aside = basket.budgets.tolist()
        basket.approved = True
        return True

    def _budgets(self, basket: Basket, here: OpenSession, standing: Payment, opens: FloatArray) -> FloatArray | None:
        """What is set aside for orders, the last ones of a basket, that open as many shares, bought or sold; None where
        money may not suffice for all.
        """
        prices = here.block.last_close[here.row][basket.columns[len(basket.columns) - len(opens) :]]
        needs, sales = self._account.needs(opens, prices), basket.sales
        bears = self._account.bears(needs.tolist(), standing, basket.symbols[:sales], basket.positions[:sales])
        return needs if bears else None

    def part(self) -> None:
        """Have nothing set aside for a basket, whose orders go on one by one."""
        self._account.aside = ()

    def fill(self, basket: Basket, here: OpenSession, row: int) -> BasketFill | None:
        """Fill all at a row's opens."""
        block, market, columns, quantity = here.block, self._market, basket.columns, basket.quantity
        reference = block.row_of("open", columns.tolist(), row)
        price = dearest = reference
        commission = slippage = np.zeros(len(columns))
        if self._slips:
            low, high, volume = (block.row_of(name, columns.tolist(), row) for name in ("low", "high", "volume"))
            price = market.slipped(quantity, reference, low, high, volume)
            dearest, slippage = np.maximum(price, reference), np.abs(price - reference) * np.abs(quantity)
        spent = quantity * price
        if self._charges:
            commission = market.commission.of(quantity, price)
            spent += commission
        paid = self._paid(basket, here, spent, dearest, commission)
        if paid is None:
            return None
        self._account.take(paid, basket.symbols, basket.positions)
        holdings, slots = self._holdings, basket.slots
        holdings.position[slots] = basket.after
        holdings.cash[slots] -= spent
        numbers = holdings.placed[slots] + 1
        holdings.placed[slots] = numbers
        times = basket.placed_ns, block.start_ns.item(row), block.end_ns.item(row)
        return BasketFill(*times, slots, numbers, basket.asked, quantity, price, commission, slippage)

    def _paid(
        self, basket: Basket, here: OpenSession, spent: FloatArray, dearest: FloatArray, commission: FloatArray
    ) -> Payment | None:
        """Where the account stands after all fills; None where it may not bear one, or one has no price."""
        account, sales, costs, quantities = self._account, basket.sales, spent.tolist(), basket.quantity.tolist()
        standing, positions = account.standing, basket.positions
        if sales:
            after_sales = account.paid(standing, costs[:sales], quantities[:sales], positions[:sales])
            if after_sales is None or sales == len(costs):
                return after_sales
            standing, costs, quantities, positions = after_sales, costs[sales:], quantities[sales:], positions[sales:]
        opens, budgets = np.abs(basket.quantity[sales:]), basket.budgets
        if budgets is None:
            budgets = self._budgets(basket, here, standing, opens)
        if budgets is None or not (self._terms.margin * dearest[sales:] * opens + commission[sales:] <= budgets).all():
            return None
        return account.paid(standing, costs, quantities, positions)
