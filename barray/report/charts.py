"""What the page's script draws: numbers as JSON, thinned to what a screen can show.

Time is written as seconds of the exchange's wall clock, as if that were UTC, so the page needs no time zones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from numpy.typing import NDArray

from barray.market.bars import Bars, FloatArray, IntArray
from barray.market.interval import NS_PER_SECOND
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.numbers import ResultNumbers
from barray.trading.results.result import SymbolResult, Trades

MAX_POINTS = 2_000
MAX_CANDLES = 3_000
MAX_CHARTS = 8
_QUARTER_S = 900


@dataclass(frozen=True, eq=False)
class Chart:
    """Candles of one symbol: `bars` of `interval` (name, such as 5m), and indicator lines by name, float64 (n_bars,).

    `below`: names drawn in a pane of their own; None leaves that to their values (what moves with the price is drawn
    over it). Trades are those of the result.
    """

    interval: str
    bars: Bars
    indicators: Mapping[str, FloatArray] = field(default_factory=dict)
    below: frozenset[str] | None = None


def default_symbols(result: BacktestResult, best: int = 3, worst: int = 3) -> list[str]:
    """The symbols worth a chart: those that won most, then those that lost most, of those that traded at all."""
    traded = [entry for entry in result.symbols.values() if len(entry.trades)]
    ranked = sorted(traded, key=lambda entry: (-entry.pnl, entry.symbol))
    chosen = ranked if len(ranked) <= best + worst else ranked[:best] + ranked[len(ranked) - worst :]
    return [entry.symbol for entry in chosen]


def local_seconds(stamps_ns: IntArray, timezone: str) -> IntArray:
    """Wall-clock seconds at the exchange of UTC ns, int64: what a clock there shows, counted as if it were UTC."""
    seconds = np.asarray(stamps_ns, np.int64) // NS_PER_SECOND
    quarters, rows = np.unique(seconds // _QUARTER_S, return_inverse=True)  # clocks change on a quarter of an hour
    zone = ZoneInfo(timezone)
    offsets = [
        datetime.fromtimestamp(quarter * _QUARTER_S, UTC).astimezone(zone).utcoffset() for quarter in quarters.tolist()
    ]
    shifts = np.array([int(offset.total_seconds()) if offset else 0 for offset in offsets], np.int64)
    return seconds + (shifts[rows] if len(shifts) else 0)


def thin(values: FloatArray, most: int = MAX_POINTS) -> NDArray[np.intp]:
    """Rows to draw, ascending: all if they are few, else the lowest and highest of equal ranges, and both ends."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, (most - 2) // 2 + 1).astype(np.intp)[:-1]
    session_range = np.repeat(np.arange(len(edges)), np.diff(np.append(edges, count)))
    order = np.lexsort((np.nan_to_num(values), session_range))
    last = np.append(edges[1:], count) - 1
    return _each_once(np.concatenate(([0], order[edges], order[last], [count - 1])))


def _each_once(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.flatnonzero(np.bincount(rows))  # np.unique would import numpy.ma: 20 ms


def page_data(result: BacktestResult, numbers: ResultNumbers, charts: Mapping[str, Chart]) -> bytes:
    """Everything the script reads, as JSON that may stand inside a script element."""
    data = {
        "equity": _equity(result, numbers) if len(result.account_equity) else None,
        "candles": [
            _candles(result.symbols[symbol], chart, result.timezone)
            for symbol, chart in list(charts.items())[:MAX_CHARTS]
            if symbol in result.symbols
        ],
    }
    return in_script(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY))


def in_script(encoded: bytes) -> bytes:
    """JSON with every `<`, `>` and `&` as an escape: no text in it can end the script element or open a comment."""
    for character in b"<>&":
        encoded = encoded.replace(bytes([character]), rb"\u%04x" % character)
    return encoded


def _equity(result: BacktestResult, numbers: ResultNumbers) -> dict[str, Any]:
    rows = thin(result.account_equity)
    deepest = int(np.argmin(numbers.drawdown_pct))
    rows = _each_once(np.append(rows, deepest))
    closes = np.flatnonzero(np.diff(result.grid_session, append=-1))
    hold, equity = numbers.hold_equity, result.account_equity[rows]
    return {
        "x": rows,
        "t": local_seconds(result.grid_ns[rows], result.timezone),
        "equity": np.round(equity, 2),
        "drawdown": np.round(numbers.drawdown_pct[rows], 4),
        **{name: np.round(_of_equity(getattr(numbers.exposure, name)[rows], equity), 2) for name in ("gross", "net")},
        "capital": result.capital,
        "hold": None
        if hold is None or len(hold) != len(closes)
        else {"x": np.append(0, closes), "y": np.round(np.append(result.capital, hold), 2)},
    }


def _of_equity(value: FloatArray, equity: FloatArray) -> FloatArray:
    """In per cent of equity, NaN where there is none."""
    share: FloatArray = np.divide(100.0 * value, equity, out=np.full(len(equity), np.nan), where=equity > 0)
    return share


def _candles(result: SymbolResult, chart: Chart, timezone: str) -> dict[str, Any]:
    shown = slice(max(0, len(chart.bars) - MAX_CANDLES), None)
    bars = chart.bars.take(shown)
    lines = {name: values[shown] for name, values in chart.indicators.items()}
    below = chart.below if chart.below is not None else frozenset(n for n, v in lines.items() if _apart(v, bars))
    return {
        "symbol": result.symbol,
        "interval": chart.interval,
        "pnl": round(result.pnl, 2),
        "left_out": len(chart.bars) - len(bars),
        "t": local_seconds(bars.start_ns, timezone),
        **{name: _short(getattr(bars, name)) for name in ("open", "high", "low", "close")},
        "volume": bars.volume,
        "lines": [{"name": name, "below": name in below, "y": _short(values)} for name, values in lines.items()],
        "trades": _markers(result.trades, bars.start_ns),
    }


def _short(values: FloatArray) -> FloatArray:
    """Prices with six significant digits at least, the rest would be noise on a screen."""
    largest = float(np.nanmax(np.abs(values), initial=0.0)) if len(values) else 0.0
    digits = 6 if largest < 1 else 4 if largest < 1_000 else 2
    rounded: FloatArray = np.round(values, digits)
    return rounded


def _apart(values: FloatArray, bars: Bars) -> bool:
    """Whether a line does not move with the price: it lies further from it than the price itself moves."""
    known = np.isfinite(values)
    if not known.any():
        return False
    span = float(bars.high.max() - bars.low.min())
    return bool(np.median(np.abs(values[known] - bars.close[known])) > span)


def _markers(trades: Trades, start_ns: IntArray) -> list[list[float | None]]:
    """`[entry row, entry price, exit row or null, exit price, quantity, pnl]` of the trades entered on these bars."""
    entry = np.searchsorted(start_ns, trades.entry_ns, side="right") - 1
    leave = np.searchsorted(start_ns, trades.exit_ns, side="right") - 1
    columns = (entry, trades.entry_price, leave, trades.exit_price, trades.quantity, trades.pnl, trades.is_open)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        [into, _rounded(price), None if still else out, _rounded(last), quantity, round(pnl, 2)]
        for into, price, out, last, quantity, pnl, still in rows
        if into >= 0
    ]


def _rounded(price: float) -> float:
    return float(f"{price:.8g}")
