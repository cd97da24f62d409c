"""The usual figures of a backtest, from its equity and trades. All percentages are in per cent, money in currency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray
from barray.trading.orders.fills import Fills
from barray.trading.results.result import Trades

SessionArray = NDArray[np.int32]
_ROUNDING = 1e-10
"""Share of the equity, or of the capital, below which money is rounding."""
_CONSTANT = 1e-14
"""Session returns that spread less than this are all the same, but for rounding."""


@dataclass(frozen=True)
class Statistics:
    """Figures of one account or symbol. None stands where a figure isn't defined; none is NaN or infinite.

    Below, E is equity on the grid, C the capital, n the sessions, A sessions a year, r the returns of sessions by their
    closes (the first one's from C). Trades' figures are of closed ones, after commissions, unless they say otherwise.

    - `pnl` = E[-1] − C, `return_pct` = pnl ÷ C, `hold_return_pct`: the same of buying and holding.
    - `cagr_pct` = (E[-1] ÷ C)^(A ÷ n) − 1: compound annual growth rate; −100 where nothing is left.
    - `volatility_pct` = std(r, ddof 1) × √A, `sharpe` = mean(r) ÷ std(r, ddof 1) × √A, risk-free rate 0 (Sharpe 1994).
    - `sortino` = mean(r) ÷ √mean(min(r, 0)²) × √A, over all n sessions, target 0 (Sortino & Price 1994).
      These three are None where a session begins with nothing.
    - `max_drawdown` ≥ 0: deepest fall of E below its high so far, C included, by bar; `max_drawdown_pct` the deepest in
      per cent of that high (Magdon-Ismail & Atiya 2004). `max_drawdown_bars`: longest run of grid stamps below the
      high, to the recovery or the end; `max_drawdown_sessions`: most sessions that such a run touches.
    - `calmar` = cagr_pct ÷ max_drawdown_pct (Young 1991, over the whole run).
    - `exposure_pct`: share of grid stamps with a position. `turnover`: value bought and sold ÷ mean(E), over the run.
    - `trades` closed and `open_trades` not; `win_rate_pct`: share with profit above 0; `profit_factor`: profits ÷
      losses, None without losses; `expectancy`: mean profit; `average_win`, `average_loss` ≤ 0, `best_trade`,
      `worst_trade`; `average_bars` held.
    - `commission`: of all fills. `slippage`: of all fills, None where they weren't given.
    """

    pnl: float
    return_pct: float | None
    cagr_pct: float | None
    volatility_pct: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float
    max_drawdown_pct: float | None
    max_drawdown_bars: int
    max_drawdown_sessions: int
    calmar: float | None
    exposure_pct: float | None
    turnover: float | None
    trades: int
    open_trades: int
    win_rate_pct: float | None
    profit_factor: float | None
    expectancy: float | None
    average_win: float | None
    average_loss: float | None
    best_trade: float | None
    worst_trade: float | None
    average_bars: float | None
    commission: float
    slippage: float | None
    hold_return_pct: float | None

    def as_dict(self) -> dict[str, float | int | None]:
        """All figures by name, in JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def statistics(
    equity: FloatArray,
    exposure: FloatArray,
    grid_session: SessionArray,
    trades: Trades | Sequence[Trades],
    capital: float,
    sessions_per_year: float = 252,
    hold_equity: FloatArray | None = None,
    *,
    fills: Fills | Sequence[Fills] | None = None,
) -> Statistics:
    """Figures of a run, or of a range of its sessions.

    `equity`, `exposure` float64 (n_grid,), `grid_session` int32 (n_grid,) ascending: which session each stamp lies in.
    `capital`: equity before the first stamp; with 0 (a symbol's share in an account of many) percentages of it are
    None. `trades` and `fills`: of one symbol or of several. `hold_equity` float64: any stamps, oldest first.
    """
    closes = equity[_last_of_sessions(grid_session)]
    final = float(closes[-1]) if len(closes) else capital
    cagr_pct = _cagr_pct(final, capital, len(closes), sessions_per_year)
    fall = _fall(equity, capital)
    max_drawdown_pct = _deepest_pct(equity, capital)
    bars, sessions = _longest(fall, grid_session)
    hold_pnl = float(hold_equity[-1]) - capital if hold_equity is not None and len(hold_equity) else None
    every = _together(trades)
    return Statistics(
        pnl=final - capital,
        return_pct=_percent(final - capital, capital),
        cagr_pct=cagr_pct,
        **_of_returns(_returns(closes, capital), sessions_per_year),
        max_drawdown=float(fall.max(initial=0.0)),
        max_drawdown_pct=max_drawdown_pct,
        max_drawdown_bars=bars,
        max_drawdown_sessions=sessions,
        calmar=_ratio(cagr_pct, max_drawdown_pct),
        exposure_pct=_percent(int(np.count_nonzero(exposure)), len(exposure)),
        turnover=_ratio(_traded_value(every), float(equity.mean())) if capital > 0 and len(equity) else None,
        **_of_trades(every),
        commission=float(every.commission.sum()),
        slippage=_slippage(fills),
        hold_return_pct=_percent(hold_pnl, capital),
    )


def session_statistics(session_pnl: FloatArray, capital: float, sessions_per_year: float = 252) -> dict[str, Any]:
    """The figures that profits by session alone give: return_pct, cagr_pct, volatility_pct, sharpe, sortino,
    close_drawdown_pct and close_calmar. `session_pnl` float64 (n_sessions,).

    The last two know equity at session closes alone: what was lost and won back within a session is not in them, as it
    is in `max_drawdown_pct` and `calmar`, which know every bar.
    """
    closes: FloatArray = capital + np.cumsum(session_pnl)
    final = float(closes[-1]) if len(closes) else capital
    cagr = _cagr_pct(final, capital, len(closes), sessions_per_year)
    deepest = _deepest_pct(closes, capital)
    return {
        "return_pct": _percent(final - capital, capital),
        "cagr_pct": cagr,
        **_of_returns(_returns(closes, capital), sessions_per_year),
        "close_drawdown_pct": deepest,
        "close_calmar": _ratio(cagr, deepest),
    }


def drawdown(equity: FloatArray, capital: float | None = None) -> FloatArray:
    """How far equity is below its high so far, in per cent of that high: float64 (n,), ≤ 0, 0 at highs.

    `capital`: equity before the first stamp, a high as well. NaN where the high isn't above 0.
    """
    high = _high(equity, -np.inf if capital is None else capital)
    with np.errstate(divide="ignore", invalid="ignore"):
        percent: FloatArray = np.where(high > 0, 100.0 * (equity - high) / high, np.nan)
    return percent


def monthly_returns(
    equity: FloatArray, grid_session: SessionArray, dates: Sequence[str], capital: float | None = None
) -> dict[str, float]:
    """Return of each month in per cent, by `YYYY-MM`, from the last close of the month before.

    `dates`: ISO dates that `grid_session` counts in. `capital`: what the first month starts from, by default its first
    stamp's equity. A month that starts from 0 or less is left out.
    """
    if not len(equity):
        return {}
    last = _last_of_sessions(grid_session)
    closes = {dates[grid_session[row]][:7]: float(equity[row]) for row in last.tolist()}  # a month's last close stays
    found, before = {}, float(equity[0]) if capital is None else capital
    for month, close in closes.items():
        percent = _percent(close - before, before)
        if percent is not None:
            found[month] = percent
        before = close
    return found


def _last_of_sessions(grid_session: SessionArray) -> NDArray[np.intp]:
    """Last stamp of each session that has any."""
    return np.flatnonzero(np.diff(grid_session, append=grid_session[-1:] + 1))


def _high(equity: FloatArray, start: float) -> FloatArray:
    high: FloatArray = np.maximum(np.maximum.accumulate(equity), start)
    return high


def _fall(equity: FloatArray, capital: float) -> FloatArray:
    """Currency below the high so far, float64 (n,), ≥ 0; rounding is 0."""
    fall = _high(equity, capital) - equity
    scale = max(abs(capital), float(np.abs(equity).max(initial=0.0)))
    fall[fall <= _ROUNDING * scale] = 0.0
    return fall


def _deepest_pct(equity: FloatArray, capital: float) -> float | None:
    if capital <= 0:
        return None
    deepest = -float(drawdown(equity, capital).min(initial=0.0))
    return deepest if deepest > 100.0 * _ROUNDING else 0.0


def _longest(fall: FloatArray, grid_session: SessionArray) -> tuple[int, int]:
    """Most stamps, and most sessions touched, of a run below the high."""
    edges = np.flatnonzero(np.diff(fall > 0, prepend=False, append=False))
    first, stop = edges[0::2], edges[1::2]
    if not len(first):
        return 0, 0
    number = np.cumsum(np.diff(grid_session, prepend=grid_session[:1]) != 0)
    return int((stop - first).max()), int((number[stop - 1] - number[first]).max()) + 1


def _returns(closes: FloatArray, capital: float) -> FloatArray | None:
    """Sessions' returns, float64 (n,); None where one starts from nothing, but for rounding, or less."""
    starts = np.concatenate(([capital], closes[:-1]))[: len(closes)]
    return closes / starts - 1.0 if (starts > _ROUNDING * capital).all() and capital > 0 else None


def _of_returns(returns: FloatArray | None, sessions_per_year: float) -> dict[str, Any]:
    if returns is None or len(returns) < 2:
        return {"volatility_pct": None, "sharpe": None, "sortino": None}
    mean, spread = float(returns.mean()), float(returns.std(ddof=1))
    below = sqrt(float(np.square(np.minimum(returns, 0.0)).mean()))
    year = sqrt(sessions_per_year)
    return {
        "volatility_pct": 100.0 * spread * year,
        "sharpe": mean / spread * year if spread > _CONSTANT else None,
        "sortino": mean / below * year if below > _CONSTANT else None,
    }


def _cagr_pct(final: float, capital: float, sessions: int, sessions_per_year: float) -> float | None:
    if capital <= 0 or not sessions:
        return None
    if final <= 0:
        return -100.0
    try:
        return _percent(float((final / capital) ** (sessions_per_year / sessions)) - 1.0, 1.0)
    except OverflowError:  # a few sessions' fortune, made a year of
        return None


def _of_trades(trades: Trades) -> dict[str, Any]:
    closed = ~trades.is_open
    pnl, held = trades.pnl[closed], trades.bars[closed]
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    return {
        "trades": len(pnl),
        "open_trades": len(trades) - len(pnl),
        "win_rate_pct": _percent(len(wins), len(pnl)),
        "profit_factor": _ratio(float(wins.sum()), -float(losses.sum())),
        "expectancy": _mean(pnl),
        "average_win": _mean(wins),
        "average_loss": _mean(losses),
        "best_trade": float(pnl.max()) if len(pnl) else None,
        "worst_trade": float(pnl.min()) if len(pnl) else None,
        "average_bars": _mean(held.astype(np.float64)),
    }


def _traded_value(trades: Trades) -> float:
    ends = trades.entry_price + np.where(trades.is_open, 0.0, trades.exit_price)
    return float((np.abs(trades.quantity) * ends).sum())


def _together(trades: Trades | Sequence[Trades]) -> Trades:
    if isinstance(trades, Trades):
        return trades
    if not trades:
        none, never = np.empty(0, np.float64), np.empty(0, np.int64)
        return Trades(never, none, never, none, none, none, none, none, none, never)
    return Trades(*(np.concatenate([getattr(one, column.name) for one in trades]) for column in fields(Trades)))


def _slippage(fills: Fills | Sequence[Fills] | None) -> float | None:
    if fills is None:
        return None
    return float(sum(one.slippage.sum() for one in ([fills] if isinstance(fills, Fills) else fills)))


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _ratio(value: float | None, by: float | None) -> float | None:
    """`value` ÷ `by`; None where either is unknown, `by` is not above 0, or the ratio isn't finite."""
    if value is None or by is None or by <= 0:
        return None
    ratio = value / by
    return ratio if isfinite(ratio) else None


def _percent(part: float | None, whole: float) -> float | None:
    return None if part is None else _ratio(100.0 * part, whole)
