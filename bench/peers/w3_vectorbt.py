"""W3 in vectorbt: a compiled callback at every bar, over one group of columns that share the cash. Run twice: a process
compiles at the first run.
"""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

import time  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import vectorbt as vbt  # noqa: E402
from numba import njit  # noqa: E402
from vectorbt.portfolio import nb  # noqa: E402
from vectorbt.portfolio.enums import Direction, NoOrder, SizeType  # noqa: E402

from bench.peers import w3  # noqa: E402

WEIGHT, EVERY, MINUTES = w3.WEIGHT, w3.EVERY, w3.MINUTES


@njit
def decide(context, rises, closes, wanted, lookback, hold):  # type: ignore[no-untyped-def]
    """Before a bar's orders: what the close before it says."""
    bar = context.i - 1
    minute = bar % MINUTES + 1
    wanted[:] = np.nan
    if bar >= lookback and minute % EVERY == 0 and minute < MINUTES:
        equity = context.last_cash[context.group]
        for column in range(closes.shape[1]):
            equity += context.last_position[column] * closes[bar, column]
        wanted[:] = 0.0
        for column in np.argsort(-rises[bar], kind="mergesort")[:hold]:
            wanted[column] = np.floor(WEIGHT * equity / closes[bar, column])
        context.call_seq_now[:] = np.argsort((wanted - context.last_position) * closes[bar], kind="mergesort")
    return (wanted,)


@njit
def order(context, wanted, opens):  # type: ignore[no-untyped-def]
    """What is missing to that, at the bar's open."""
    size = wanted[context.col] - context.position_now
    if np.isnan(size) or size == 0.0:
        return NoOrder
    return nb.order_nb(
        size=size,
        price=opens[context.i, context.col],
        size_type=SizeType.Amount,
        direction=Direction.Both,
    )


def simulate(opens: w3.Matrix, closes: w3.Matrix, lookback: int = w3.LOOKBACK, hold: int = w3.HOLD) -> Any:
    """The whole portfolio."""
    rises = np.full_like(closes, -np.inf)
    rises[lookback:] = closes[lookback:] / closes[:-lookback]
    return vbt.Portfolio.from_order_func(
        closes,
        order,
        opens,
        pre_segment_func_nb=decide,
        pre_segment_args=(rises, closes, np.full(closes.shape[1], np.nan), lookback, hold),
        init_cash=w3.CASH,
        cash_sharing=True,
        group_by=True,
        freq="1min",
        call_pre_segment=True,
        update_value=False,
        ffill_val_price=True,
    )


def run(opens: w3.Matrix, closes: w3.Matrix, lookback: int, hold: int) -> tuple[int, float]:
    """Fills and equity."""
    portfolio = simulate(opens, closes, lookback, hold)
    return len(portfolio.orders.values), float(np.sum(portfolio.final_value()))


def main() -> None:
    """Do the work twice and print it."""
    options = work.asked()
    if options.sets:
        w3.sweep(options, run)
        return
    CLOCK.mark("import_s")
    _, opens, closes = w3.matrices(options.root, options.symbols)
    CLOCK.mark("read_s")
    portfolio = simulate(opens, closes)
    equity, fills = float(np.sum(portfolio.final_value())), len(portfolio.orders.values)
    CLOCK.mark("engine_s")
    began = time.perf_counter()
    float(np.sum(simulate(opens, closes).final_value()))
    w3.report(CLOCK, closes.size, fills, equity, engine_again_s=time.perf_counter() - began)


if __name__ == "__main__":
    main()
