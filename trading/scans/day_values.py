"""What daily bars before a session come to."""

from __future__ import annotations

import numpy as np

from barray.market.bars import FloatArray, IntArray
from barray.market.universe.bars import UniverseBars
from barray.trading.scans.bars import Positions


def day_value(name: str, n: int, days: UniverseBars, who: Positions, stop: IntArray) -> FloatArray:
    """One value for each of `who` (positions in `days`), float64 (who,), of the bars before the rows `stop`.

    `close`: of the `n`th last; `highest`, `lowest`, `adv`, `average_volume`: of the last `n`. NaN where there are
    fewer.
    """
    enough = stop - n >= days.offsets[who]
    found = np.full(len(who), np.nan)
    last = stop[enough]
    bars = days.bars
    if name == "close":
        found[enough] = bars.close[last - n]
        return found
    rows = last[:, None] + np.arange(-n, 0)
    if name == "highest":
        found[enough] = bars.high[rows].max(axis=1, initial=-np.inf)
    elif name == "lowest":
        found[enough] = bars.low[rows].min(axis=1, initial=np.inf)
    elif name == "adv":
        found[enough] = (bars.close[rows] * bars.volume[rows]).mean(axis=1)
    else:
        found[enough] = bars.volume[rows].mean(axis=1)
    return found
