"""A whole backtest, as it is handed to people: pandas, Arrow, HTML."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from barray.market.html import figure, html_table
from barray.trading.results.result import BacktestValues

if TYPE_CHECKING:
    import pandas as pd

    from barray.trading.results.tables import ResultTables

_SHOWN = ("pnl", "return_pct", "trades", "win_rate_pct", "max_drawdown_pct", "sharpe")
_SHOWN_SYMBOLS = 10


@dataclass(frozen=True, eq=False)
class BacktestResult(BacktestValues):
    """A whole backtest.

    `trades`, `orders`, `fills`, `equity`, `exposure` and `stats` are pandas objects, imported and made when first asked
    for; `tables` has the same for Polars, DuckDB and pyarrow. The plain values that they are made of, and `events`, are
    BacktestValues'.
    """

    @cached_property
    def tables(self) -> ResultTables:
        """Trades, orders, fills, equity, exposure, events and figures by the Arrow C stream protocol; see
        barray.market.table.Table.
        """
        from barray.trading.results.tables import ResultTables

        return ResultTables(self)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Round trips of all symbols; see ResultTables.trades."""
        return self.tables.trades.to_pandas(copy=True)

    @cached_property
    def orders(self) -> pd.DataFrame:
        """All orders, and what became of each; see ResultTables.orders."""
        return self.tables.orders.to_pandas(copy=True)

    @cached_property
    def fills(self) -> pd.DataFrame:
        """Executions of all symbols; see ResultTables.fills."""
        return self.tables.fills.to_pandas(copy=True)

    @cached_property
    def equity(self) -> pd.Series[float]:
        """The account at the end of every bar, by its stamp in UTC."""
        series: pd.Series[float] = self.tables.equity.to_pandas(copy=True).set_index("timestamp")["equity"]
        return series

    @cached_property
    def exposure(self) -> pd.DataFrame:
        """What the account held at the end of every bar, by its stamp in UTC; see ResultTables.exposure."""
        frame: pd.DataFrame = self.tables.exposure.to_pandas(copy=True).set_index("timestamp")
        return frame

    @cached_property
    def stats(self) -> pd.Series[float]:
        """The account's figures by name, NaN where one is not defined; see Statistics."""
        import pandas as pd

        return pd.Series(self.tables.numbers.total.as_dict(), dtype=float, name=self.strategy)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made on request."""
        return {name.name: getattr(self, name.name) for name in fields(self)}

    def _repr_html_(self) -> str:
        numbers = self.tables.numbers
        span = f"{self.dates[0]} to {self.dates[-1]}" if self.dates else "no session"
        by_symbol = {symbol: figures.as_dict() for symbol, figures in list(numbers.symbols.items())[:_SHOWN_SYMBOLS]}
        named = [("all", numbers.total.as_dict()), *by_symbol.items()]
        rows = [(symbol, *(figure(figures[name]) for name in _SHOWN)) for symbol, figures in named]
        left_out = f", {len(self.dropped)} dropped" if self.dropped else ""
        title = f"{self.strategy}, {len(self.symbols)} symbols{left_out}, {span}"
        return html_table(("symbol", *(name.replace("_", " ") for name in _SHOWN)), rows, title)
