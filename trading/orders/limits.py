"""How far the positions of a shared account may go; beyond it nothing more is opened.

Each limit is a share of the account's equity at its last closes:

- `gross`: of the positions' values without their signs, summed up. `symbol`: of each symbol's. `groups`: of the sum of
  a group's symbols, each group's own.
- `net`: of the difference between long and short positions, either way.

Positions count at their last closes, orders that work with as much as they may still open, at the prices that they are
judged at: as if they filled, those of one side alone if that is worse. What orders would close counts as still held,
but not against `net`, where it counts as closed if that is worse; what a stop_loss, take_profit or trailing_stop would
close is held. An order that opens more than all limits have room for is cut to whole lots, or refused. What closes a
position is never refused, and where prices take a position beyond a limit nothing is forced: no more is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class Group:
    """Symbols that may together be `most` of the equity."""

    symbols: frozenset[str]
    most: float


@dataclass(frozen=True)
class Limits:
    """Shares of equity, None for no limit; see the module. `groups`: by name."""

    gross: float | None = None
    net: float | None = None
    symbol: float | None = None
    groups: Mapping[str, Group] = field(default_factory=dict)


class Room(NamedTuple):
    """How much more may be opened, in currency, and the limit that says so: its name and share of equity."""

    value: float
    limit: str
    share: float


@dataclass(slots=True)
class _Exposure:
    """A symbol's, in currency. `held`: signed. By side, 1 to buy and -1 to sell: `ordered`, what works, at the last
    close, which is what they close; `opens`, as much of them as may open, at the prices that they are judged at.
    """

    held: float = 0.0
    ordered: dict[int, float] = field(default_factory=lambda: {1: 0.0, -1: 0.0})
    opens: dict[int, float] = field(default_factory=lambda: {1: 0.0, -1: 0.0})

    def side(self, side: int) -> float:
        """The most that it may come to on one side."""
        return max(side * self.held, 0.0) + self.opens[side]

    @property
    def gross(self) -> float:
        """The most that it may come to on either side."""
        return max(self.side(1), self.side(-1))

    def net(self, side: int) -> float:
        """The farthest that it may go towards one side, negative where it stays on the other."""
        return self.side(side) + min(min(side * self.held, 0.0) + self.ordered[side], 0.0)


class Exposures:
    """What positions and orders of an account may come to, and what room limits leave."""

    def __init__(self, limits: Limits, equity: float) -> None:
        self._limits, self.equity = limits, equity
        self._symbols: dict[str, _Exposure] = {}
        self._gross = 0.0
        self._net = {1: 0.0, -1: 0.0}
        self._groups = dict.fromkeys(limits.groups, 0.0)

    def hold(self, symbol: str, value: float) -> None:
        """Count a position's value, negative short."""
        self._count(symbol, -1.0)
        self._of(symbol).held += value
        self._count(symbol, 1.0)

    def order(self, symbol: str, side: int, value: float, opens: float) -> None:
        """Count an order's value at the last close, and what of it may open at its own price. `side`: 1 to buy, -1 to
        sell.
        """
        self._count(symbol, -1.0)
        one = self._of(symbol)
        one.ordered[side] += value
        one.opens[side] += opens
        self._count(symbol, 1.0)

    def room(self, symbol: str, side: int, closes: float) -> Room | None:
        """What an order may open that closes as much too (at the last close), by the tightest limit; None without."""
        limits, one, rooms = self._limits, self._of(symbol), []
        before = one.net(side)
        other = one.gross - one.side(side)  # as much on this side makes the gross no larger
        grosses = [("gross", limits.gross, self._gross)]
        grosses += [
            (f"groups.{name}", group.most, self._groups[name])
            for name, group in sorted(limits.groups.items())
            if symbol in group.symbols
        ]
        for name, share, gross in grosses:
            if share is not None:
                room = share * self.equity - gross
                rooms.append(Room(room + other if room >= 0 else 0.0, name, share))
        if limits.symbol is not None:
            rooms.append(Room(limits.symbol * self.equity - one.side(side), "symbol", limits.symbol))
        if limits.net is not None:
            one.ordered[side] += closes
            net = self._net[side] - before + one.net(side)
            one.ordered[side] -= closes
            rooms.append(Room(limits.net * self.equity - net, "net", limits.net))
        if not rooms:
            return None
        tightest = min(rooms)
        return tightest._replace(value=max(tightest.value, 0.0))

    def _of(self, symbol: str) -> _Exposure:
        return self._symbols.setdefault(symbol, _Exposure())

    def _count(self, symbol: str, sign: float) -> None:
        one = self._of(symbol)
        gross = sign * one.gross
        self._gross += gross
        for side in self._net:
            self._net[side] += sign * one.net(side)
        for name, group in self._limits.groups.items():
            if symbol in group.symbols:
                self._groups[name] += gross
