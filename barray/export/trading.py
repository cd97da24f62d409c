"""What a strategy's session came to, in figures: for tables, JSON and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from barray.trading.engine.session_trading import SessionTrading


@dataclass(frozen=True)
class TradedSymbol:
    """One symbol's part. `pnl` is not told: what is held is valued in the account."""

    symbol: str
    orders: int
    fills: int
    refused: int
    bought: float
    sold: float
    commission: float
    position: float


@dataclass(frozen=True)
class TradingFigures:
    """The account's figures. `equity`, `pnl`: at the last window's end, positions at their last closes; None where the
    strategy was not called. `errors`: by symbol, "" for a strategy over all; the last lines.
    """

    strategy: str
    orders: int
    fills: int
    refused: int
    commission: float
    cash: float | None
    equity: float | None
    pnl: float | None
    symbols: tuple[TradedSymbol, ...]
    errors: dict[str, str]

    @classmethod
    def of(cls, trading: SessionTrading) -> TradingFigures:
        """From what the session told."""
        pages, stood = trading.pages, trading.pages.stood
        errors = {one.own: str(one.detail["error"]) for one in pages.decisions if one.action == "error"}
        if trading.error is not None:
            errors.setdefault("", trading.error.strip().rpartition("\n")[2])
        return cls(
            trading.given.strategy,
            sum(len(_orders(trading, symbol)) for symbol in _traded(trading)),
            len(pages.fills),
            len(pages.refusals),
            sum(one.commission for one in pages.fills),
            stood[-1].cash if stood else None,
            stood[-1].equity if stood else None,
            stood[-1].equity - stood[0].equity if stood else None,
            tuple(_symbol(symbol, trading) for symbol in _traded(trading)),
            errors,
        )

    def as_json(self) -> dict[str, Any]:
        """In JSON types."""
        names = ("strategy", "orders", "fills", "refused", "commission", "cash", "equity", "pnl")
        symbols = {one.symbol: {k: v for k, v in vars(one).items() if k != "symbol"} for one in self.symbols}
        return {**{name: getattr(self, name) for name in names}, "symbols": symbols, "errors": self.errors}


def _traded(trading: SessionTrading) -> list[str]:
    """Symbols that were ordered, filled or held, sorted."""
    ordered = {one.symbol for one in trading.pages.decisions if one.action == "order"}
    return sorted({*ordered, *(one.symbol for one in trading.pages.fills), *trading.positions})


def _orders(trading: SessionTrading, symbol: str) -> set[int]:
    """Numbers of its orders: of all once the session has ended, before that of those placed one by one, or filled."""
    if trading.orders is not None:
        own = zip(trading.orders.symbol.tolist(), trading.orders.number.tolist(), strict=True)
        return {number for one, number in own if one == symbol}
    placed = (one for one in trading.pages.decisions if one.action == "order" and one.symbol == symbol)
    filled = (one.order for one in trading.pages.fills if one.symbol == symbol and one.order)
    return {*filled, *(int(one.detail["number"]) for one in placed)}


def _symbol(symbol: str, trading: SessionTrading) -> TradedSymbol:
    pages = trading.pages
    fills = [one for one in pages.fills if one.symbol == symbol]
    return TradedSymbol(
        symbol,
        len(_orders(trading, symbol)),
        len(fills),
        sum(one.symbol == symbol for one in pages.refusals),
        sum(one.quantity for one in fills if one.quantity > 0),
        -sum(one.quantity for one in fills if one.quantity < 0),
        sum(one.commission for one in fills),
        trading.positions.get(symbol, 0.0),
    )
