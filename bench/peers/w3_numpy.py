"""W3 in plain NumPy: the answer that every tool must give. Only the decisions cost anything."""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

import numpy as np  # noqa: E402

from bench.peers import w3  # noqa: E402


def run(opens: w3.Matrix, closes: w3.Matrix, lookback: int = w3.LOOKBACK, hold: int = w3.HOLD) -> tuple[int, float]:
    """Fills and equity."""
    held, cash, fills = np.zeros(closes.shape[1]), w3.CASH, 0
    for bar in range(len(closes) - 1):
        if not w3.decides(bar, lookback):
            continue
        equity = cash + float(held @ closes[bar])
        wanted = w3.targets(closes[bar - lookback], closes[bar], equity, hold)
        fills += int((wanted != held).sum())
        cash -= float((wanted - held) @ opens[bar + 1])
        held = wanted
    return fills, cash + float(held @ closes[-1])


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    if options.sets:
        w3.sweep(options, run)
        return
    CLOCK.mark("import_s")
    _, opens, closes = w3.matrices(options.root, options.symbols)
    CLOCK.mark("read_s")
    fills, equity = run(opens, closes)
    CLOCK.mark("engine_s")
    w3.report(CLOCK, closes.size, fills, equity)


if __name__ == "__main__":
    main()
