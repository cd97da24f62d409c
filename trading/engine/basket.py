"""Rebalancings of a shared account carried out in whole, where that comes to what order by order would.

A rebalancing's orders are plain: at the market, each of a symbol that has no other. Then they are columns, approved in
one step where money suffices for all of them, and filled in one step at the next row's opens: what it sells, then what
it buys with what the sales brought. Wherever one of them could be cut, refused, or come later than the others, there is
no basket, and the order manager has orders, one by one. The rules are those of barray.trading.orders.broker and
barray.trading.orders.accounts. Columns are lists: most rebalancings are of a few dozen orders, over which Python is as
quick as NumPy is at its first step.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf, isnan
from typing import Any

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.trading.engine.holdings import Holdings
from barray.trading.engine.open_session import OpenSession
from barray.trading.orders.accounts import Payment, SharedAccount
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Market, whole
from barray.trading.orders.fills import Fills

_EXACT = 1e9
"""Whole numbers of shares below this are whole lots of one, whatever is added to make up for rounding."""


_Order = tuple[str, int, float, float, float, float]


@dataclass(eq=False, slots=True)
class Basket:
    """Orders of one rebalancing, sales first, each part by symbol; lists (k,).

    `columns`: of the symbols in the block. `targets`: shares to hold. `asked`: shares, negative to sell, and
    `quantity`: whole lots of them. `after`: the position that each leads to. `sales`: how many are sales; where there
    are any, the others are purchases, which wait for them. `approved`: its orders work. `budgets`: what is set aside
    for them, None where sales need none.
    """

    placed_ns: int
    symbols: list[str] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    quantity: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    sales: int = 0
    budgets: list[float] | None = None
    approved: bool = False

    @property
    def ordered(self) -> int:
        """How many are ordered; the others are purchases."""
        return self.sales or len(self.symbols)


class FilledBaskets:
    """Fills of baskets as they came: times of each basket (placed, and the bar's start and end, UTC ns), how many
    orders it had, and columns, order by order: slots, numbers, asked, quantity, price, commission, slippage.
    """

    def __init__(self) -> None:
        self.times: list[tuple[int, int, int]] = []
        self.lengths: list[int] = []
        self.columns = tuple(array(kind) for kind in "qqddddd")

    def note(self, times: tuple[int, int, int], *columns: list[Any]) -> None:
        """Take down a basket."""
        self.times.append(times)
        self.lengths.append(len(columns[0]))
        for column, more in zip(self.columns, columns, strict=True):
            column.fromlist(more)


@dataclass(frozen=True, eq=False)
class BasketFills:
    """Fills of baskets of sessions, each of an order in whole, as columns of one length, in base bars that start at
    `fills.bar_ns` and end at `ended_ns`; times UTC ns. `session`: number of each one's; `slots`: rows in Holdings;
    `asked`, `placed_ns`: of the orders. What rows of bars they are in isn't told.
    """

    session: IntArray
    placed_ns: IntArray
    ended_ns: IntArray
    slots: IntArray
    asked: FloatArray
    fills: Fills

    @classmethod
    def of(cls, sessions: Sequence[FilledBaskets | None]) -> BasketFills | None:
        """Of sessions one after another, all as one; None for none."""
        there = [(number, one) for number, one in enumerate(sessions) if one is not None]
        if not there:
            return None
        filled = [one for _, one in there]
        times = zip(*chain.from_iterable(one.times for one in filled), strict=True)
        lengths = [*chain.from_iterable(one.lengths for one in filled)]
        placed_ns, bar_ns, ended_ns = (np.repeat(column, lengths) for column in times)
        columns = zip(*(map(np.array, one.columns) for one in filled), strict=True)
        slots, number, asked, quantity, price, commission, slippage = map(np.concatenate, columns)
        session = np.repeat([number for number, _ in there], [len(one.columns[0]) for one in filled])
        row, at_close = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.bool_)
        fills = Fills(row, bar_ns, quantity, price, commission, slippage, number, at_close)
        return cls(session, placed_ns, ended_ns, slots, asked, fills)


class BasketTrading:
    """Makes, approves and fills baskets. What comes to None, or False, has changed nothing."""

    def __init__(self, account: SharedAccount, terms: Account, market: Market, holdings: Holdings) -> None:
        self._account, self._terms, self._market, self._holdings = account, terms, market, holdings
        self._slips, self._charges = market.slips, market.charges
        self._filled = FilledBaskets()

    def basket(self, here: OpenSession, weights: Mapping[str, float]) -> Basket | None:
        """Orders that hold these fractions of the equity, and nothing else of what is seen."""
        if here.row < 0:
            return None
        targets = self._targets(here, weights)
        if targets is None:
            return None
        seen, index, symbols, held = here.panel.index, here.block.index, here.block.symbols, self._account.positions
        lots, singly, short = self._market.lots, self._market.lot_size == 1.0, self._terms.short
        sales: list[_Order] = []
        others: list[_Order] = []
        for column in sorted({*targets, *(index[symbol] for symbol in held if symbol in seen)}):
            symbol = symbols[column]
            before, target = held.get(symbol, 0.0), targets.get(column, 0.0)
            asked = quantity = target - before
            after = target
            if not (singly and before % 1.0 == 0.0 and -_EXACT < asked < _EXACT and -_EXACT < before < _EXACT):
                if not -inf < asked < inf:
                    return None
                quantity = lots(asked)
                after = lots(before + quantity) + 0.0  # no -0
            if not quantity:
                continue
            if after < 0.0 and not short:
                return None
            if after * before < 0.0:
                return None
            (sales if before * quantity < 0.0 else others).append((symbol, column, target, asked, quantity, after))
        every = sales + others
        if not every:
            return Basket(here.now_ns)
        names, columns, wanted, missing, quantities, after_all = map(list, zip(*every, strict=True))
        return Basket(here.now_ns, names, columns, wanted, missing, quantities, after_all, len(sales))

    def _targets(self, here: OpenSession, weights: Mapping[str, float]) -> dict[int, float] | None:
        """Shares to hold, by the block's columns; None where a weight, or a price, is no plain number."""
        seen, index, closes, row = here.panel.index, here.block.index, here.block.last_close_floats, here.row
        lots, equity = whole if self._market.lot_size == 1.0 else self._market.lots, self._account.equity
        targets = {}
        for symbol, weight in weights.items():
            if symbol not in seen or not isinstance(weight, (float, int)):
                return None
            column = index[symbol]
            price = closes[row, column]
            wanted = float(weight) * equity / price if price > 0.0 else inf
            if not -inf < wanted < inf:
                return None
            targets[column] = lots(wanted)
        return targets

    def approve(self, basket: Basket, here: OpenSession) -> bool:
        """Approve what is ordered now: sales need no money, which purchases wait for."""
        if not basket.sales:
            basket.budgets = self._budgets(basket, here, self._account.standing)
            if basket.budgets is None:
                return False
            self._account.aside = basket.budgets
        basket.approved = True
        return True

    def _budgets(self, basket: Basket, here: OpenSession, standing: Payment) -> list[float] | None:
        """What is set aside for all but sales, standing there; None where money may not suffice for all."""
        sales, closes, row = basket.sales, here.block.last_close_floats, here.row
        prices = [closes[row, column] for column in basket.columns[sales:]]
        needs = self._account.needs(basket.quantity[sales:], prices)
        bears = self._account.bears(needs, standing, basket.symbols[:sales], basket.after[:sales])
        return needs if bears else None

    def part(self) -> None:
        """Have nothing set aside for a basket, whose orders go on one by one."""
        self._account.aside = ()

    def fill(self, basket: Basket, here: OpenSession, slots: Sequence[int], row: int) -> bool:
        """Fill all at a row's opens, if all have one. `slots`: of the block's symbols, in Holdings."""
        block, market, columns, quantity = here.block, self._market, basket.columns, basket.quantity
        reference = block.row_of("open", columns, row)
        if isnan(sum(reference)):
            return False
        prices = dearest = reference
        commissions = slippages = [0.0] * len(columns)
        if self._slips:
            bars = zip(
                quantity,
                reference,
                *(block.row_of(one, columns, row) for one in ("low", "high", "volume")),
                strict=True,
            )
            prices = [market.slipped(*one) for one in bars]
            dearest = [*map(max, prices, reference)]
            slippages = [abs(p - r) * abs(q) for p, r, q in zip(prices, reference, quantity, strict=True)]
        if self._charges:
            commissions = [*map(market.commission.of, quantity, prices)]
        costs = [q * p + c for q, p, c in zip(quantity, prices, commissions, strict=True)]
        paid = self._paid(basket, here, costs, dearest, commissions)
        if paid is None:
            return False
        self._account.take(paid, basket.symbols, basket.after)
        own, numbers = [slots[column] for column in columns], []
        position, cash, placed = self._holdings.positions, self._holdings.cashes, self._holdings.numbers
        for slot, after, cost in zip(own, basket.after, costs, strict=True):
            position[slot] = after
            cash[slot] -= cost
            placed[slot] = number = placed[slot] + 1
            numbers.append(number)
        times = basket.placed_ns, block.start_ns.item(row), block.end_ns.item(row)
        self._filled.note(times, own, numbers, basket.asked, quantity, prices, commissions, slippages)
        return True

    def take(self) -> FilledBaskets | None:
        """Fills since this was last asked; None for none."""
        if not self._filled.times:
            return None
        filled, self._filled = self._filled, FilledBaskets()
        return filled

    def _paid(
        self,
        basket: Basket,
        here: OpenSession,
        costs: list[float],
        dearest: Sequence[float],
        commissions: Sequence[float],
    ) -> Payment | None:
        """Where the account stands after all fills; None where it may not bear one."""
        account, sales, quantity, after = self._account, basket.sales, basket.quantity, basket.after
        standing = account.paid(account.standing, costs[:sales], quantity[:sales], after[:sales])
        if standing is None or sales == len(costs):
            return standing
        budgets = basket.budgets if basket.budgets is not None else self._budgets(basket, here, standing)
        if budgets is None:
            return None
        margin = self._terms.margin
        for number, budget in enumerate(budgets, sales):
            if not margin * dearest[number] * abs(quantity[number]) + commissions[number] <= budget:
                return None
        return account.paid(standing, costs[sales:], quantity[sales:], after[sales:])
