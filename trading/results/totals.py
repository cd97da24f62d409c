"""A backtest's totals: every symbol has gone through every session, or it is said why not."""

from __future__ import annotations

from collections.abc import Iterable

from barray.market.accounting import require_accounted
from barray.trading.results.result import BacktestValues


def require_all_sessions(symbols: Iterable[str], result: BacktestValues) -> None:
    """BarrayError (`unaccounted`), naming symbol and sessions, where one of `symbols` was neither run nor left out.

    Left out are a dropped symbol's sessions, those skipped, and those after an error of the strategy or the run.
    """
    for symbol in dict.fromkeys(symbols):
        part = result.symbols.get(symbol)
        if part is None:
            require_accounted(result.dates, (), dict.fromkeys(result.dates, result.dropped.get(symbol)), symbol=symbol)
            continue
        left_out = dict.fromkeys(set(result.dates) - set(part.sessions), part.error or result.error)
        require_accounted(result.dates, part.sessions, {**left_out, **part.skipped}, symbol=symbol)
