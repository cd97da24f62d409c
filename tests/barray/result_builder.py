"""Backtest results built by hand: small ones for tests, and one of any size on plausible prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from barray.market.bars import Bars, FloatArray, IntArray
from barray.market.interval import Interval
from barray.market.symbol_data import Lineage
from barray.report.charts import Chart
from barray.trading.orders.fills import Fill, Fills
from barray.trading.orders.order import Order
from barray.trading.orders.order_columns import Orders
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.equity import EquityCurve
from barray.trading.results.result import SymbolResult, Trades

MINUTE_NS = 60_000_000_000
BARS_A_DAY = 390
OPEN_NS = 1_719_840_600_000_000_000
"""2024-07-01 09:30 in New York."""
HOSTILE = "</script><script>alert(1)</script>&\"'"


def dates(days: int) -> tuple[str, ...]:
    """Consecutive weekdays from 2024-07-01."""
    first = np.datetime64("2024-07-01")
    return tuple(str(day) for day in np.busday_offset(first, np.arange(days)))


def starts(days: int, bars_a_day: int = BARS_A_DAY) -> IntArray:
    """Starts of the minutes of those days."""
    offsets = (np.array(dates(days), "datetime64[D]") - np.datetime64("2024-07-01")).astype(np.int64)
    opens = OPEN_NS + offsets * 86_400_000_000_000
    return (opens[:, None] + np.arange(bars_a_day) * MINUTE_NS).ravel()


def no_trades() -> Trades:
    """None at all."""
    whole, real = np.empty(0, np.int64), np.empty(0)
    return Trades(whole, real, whole, real, real, real, real, real, real, whole)


def walk(days: int, seed: int, bars_a_day: int = BARS_A_DAY) -> Bars:
    """Minutes of a random walk near 100."""
    rng = np.random.default_rng(seed)
    count = days * bars_a_day
    close = 100.0 * np.exp(np.cumsum(rng.normal(2e-6, 7e-4, count)))
    start = np.concatenate(([100.0], close[:-1]))
    spread = np.abs(rng.normal(0, 4e-4, (2, count))) * close
    high, low = np.maximum(start, close) + spread[0], np.minimum(start, close) - spread[1]
    volume = np.round(
        rng.gamma(2, 900, count) * (1 + np.abs(np.linspace(-1, 1, bars_a_day))[None, :]).repeat(days, 0).ravel()
    )
    columns = (np.round(column, 2) for column in (start, high, low, close))
    return Bars(starts(days, bars_a_day), *columns, volume)


def traded(
    symbol: str, bars: Bars, days: int, entries: IntArray, exits: IntArray, quantity: FloatArray, capital: float
) -> SymbolResult:
    """What trading these rows of `bars` at their opens gives, for half a cent of commission a share."""
    bought, sold = bars.open[entries], bars.open[exits]
    fee = 0.005 * np.abs(quantity)
    path = [bars.close[i : o + 1] - p for i, o, p in zip(entries, exits, bought, strict=True)]
    trades = Trades(
        entry_ns=bars.start_ns[entries],
        entry_price=bought,
        exit_ns=bars.start_ns[exits],
        exit_price=sold,
        quantity=quantity,
        pnl=quantity * (sold - bought) - 2 * fee,
        commission=2 * fee,
        mae=np.array([min(0.0, float((q * p).min())) for q, p in zip(quantity, path, strict=True)]),
        mfe=np.array([max(0.0, float((q * p).max())) for q, p in zip(quantity, path, strict=True)]),
        bars=exits - entries,
    )
    fills = [
        Fill(int(row), int(bars.start_ns[row]), float(size), float(bars.open[row]), float(cost), float(cost) / 2, order)
        for order, (row, size, cost) in enumerate(
            sorted([*zip(entries, quantity, fee, strict=True), *zip(exits, -quantity, fee, strict=True)]), 1
        )
    ]
    held = np.zeros(len(bars))
    cash = np.full(len(bars), capital)
    for fill in fills:
        held[fill.row :] += fill.quantity
        cash[fill.row :] -= fill.quantity * fill.price + fill.commission
    equity = cash + held * bars.close
    closes = equity[BARS_A_DAY - 1 :: BARS_A_DAY] if len(bars) == days * BARS_A_DAY else equity[-1:]
    last = bars.close[len(bars) // days - 1 :: len(bars) // days]
    return SymbolResult(
        symbol=symbol,
        capital=capital,
        fills=(made := Fills.of(fills)),
        orders=Orders.at_market(symbol, made.bar_ns, made.quantity, made),
        trades=trades,
        curve=EquityCurve.of(cash, held * bars.close),
        session_close=last,
        session_pnl=np.diff(closes, prepend=capital),
        cash=float(cash[-1]),
        position=float(held[-1]),
        hold_capital=capital,
        first_price=float(bars.open[0]),
        last_price=float(bars.close[-1]),
        bars=len(bars),
        lineage=Lineage("parquet:bars", Interval.parse("1m"), int(bars.start_ns[0]), int(bars.start_ns[-1]), len(bars)),
        engine_s=len(bars) / 1.5e6,
    )


def with_orders(part: SymbolResult, fills: Fills, orders: Sequence[Order]) -> SymbolResult:
    """The same with these orders and fills, whatever else it says."""
    return replace(part, fills=fills, orders=Orders.of({part.symbol: orders}))


def random_symbol(symbol: str, days: int, trades: int, seed: int, capital: float = 100_000.0) -> SymbolResult:
    """A symbol with that many trades at random minutes of a random walk, one at a time."""
    bars = walk(days, seed)
    rng = np.random.default_rng(seed + 1)
    rows = np.sort(rng.choice(len(bars), 2 * trades, replace=False))
    quantity = rng.choice([-300.0, -200.0, 200.0, 300.0, 400.0], trades)
    return traded(symbol, bars, days, rows[0::2], rows[1::2], quantity, capital)


def backtest(symbols: Mapping[str, SymbolResult], days: int, **changes: Any) -> BacktestResult:
    """A result of these symbols, each with its own account."""
    start_ns = starts(days)
    capital = sum(part.capital for part in symbols.values())
    equity = np.sum([part.equity for part in symbols.values()], axis=0) if symbols else np.empty(0)
    result = BacktestResult(
        name="sma-cross",
        strategy="SmaCross",
        source="examples/strategies/sma_cross.py",
        form="event",
        parameters={"fast": 10, "slow": 30, "size": 0.95},
        settings={
            "commission": {"per_share": 0.005},
            "slippage": None,
            "flat_at_close": False,
            "intervals": ["1m", "5m"],
        },
        calendar="XNYS",
        timezone="America/New_York",
        base_interval="1m",
        dates=dates(days),
        grid_ns=start_ns + MINUTE_NS if symbols else np.empty(0, np.int64),
        grid_session=np.repeat(np.arange(days, dtype=np.int32), BARS_A_DAY) if symbols else np.empty(0, np.int32),
        symbols=dict(sorted(symbols.items())),
        dropped={},
        capital=capital,
        account_equity=equity,
        timings_s={"validate": 0.31, "load": 1.204, "run": 2.5},
    )
    return replace(result, **changes)


def random_backtest(symbols: int, days: int, trades: int, **changes: Any) -> BacktestResult:
    """That many symbols S000, S001 …; see `random_symbol`."""
    names = [f"S{number:03d}" for number in range(symbols)]
    return backtest({name: random_symbol(name, days, trades, seed) for seed, name in enumerate(names)}, days, **changes)


def chart(days: int, seed: int, minutes: int = 15) -> Chart:
    """Candles of `random_symbol`'s bars, with two averages over the price and one line of its own."""
    fine = walk(days, seed)
    shape = (-1, minutes)
    columns = [getattr(fine, name).reshape(shape) for name in ("open", "high", "low", "close", "volume")]
    bars = Bars(
        fine.start_ns.reshape(shape)[:, 0].copy(),
        columns[0][:, 0].copy(),
        columns[1].max(axis=1),
        columns[2].min(axis=1),
        columns[3][:, -1].copy(),
        columns[4].sum(axis=1),
    )
    lines = {f"SMA({window})": _average(bars.close, window) for window in (8, 21)}
    change = np.diff(bars.close, prepend=bars.close[0])
    rise, fall = _average(np.maximum(change, 0), 14), _average(np.maximum(-change, 0), 14)
    return Chart(f"{minutes}m", bars, {**lines, "RSI(14)": 100 * rise / (rise + fall)})


def _average(values: FloatArray, window: int) -> FloatArray:
    known = np.convolve(values, np.ones(window) / window, "valid")
    return np.concatenate((np.full(window - 1, np.nan), known))
