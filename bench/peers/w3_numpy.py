"""W3 in plain NumPy: the answer that every tool must give. Only the decisions cost anything."""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

import numpy as np  # noqa: E402

from bench.peers import w3  # noqa: E402


def main() -> None:
    """Do the work and print it."""
    options = work.asked()
    CLOCK.mark("import_s")
    _, opens, closes = w3.matrices(options.root, options.symbols)
    CLOCK.mark("read_s")
    held, cash, fills = np.zeros(closes.shape[1]), w3.CASH, 0
    for bar in filter(w3.decides, range(len(closes) - 1)):
        equity = cash + float(held @ closes[bar])
        wanted = w3.targets(closes[bar - w3.LOOKBACK], closes[bar], equity)
        fills += int((wanted != held).sum())
        cash -= float((wanted - held) @ opens[bar + 1])
        held = wanted
    CLOCK.mark("engine_s")
    w3.report(CLOCK, closes.size, fills, cash + float(held @ closes[-1]))


if __name__ == "__main__":
    main()
