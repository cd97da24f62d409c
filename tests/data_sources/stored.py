"""What a fetch left in a store, read as anyone would, and known bars to compare it with."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from barray.data_sources.fetching.store import BarStore
from barray.market.bars import COLUMNS, Bars
from barray.market.interval import Interval
from tests.data_sources.gateway_fakes import MIN_NS, START_NS, bars_of


def universe(seed: int = 0, symbols: int = 5) -> dict[str, Bars]:
    """Bars that begin before the range, and end in it or behind it; some symbols have none."""
    chance = random.Random(seed)
    counts = [0, 400, *(chance.randrange(3_000) for _ in range(symbols - 2))]
    return {
        f"S{number}": bars_of(count, START_NS - 300 * MIN_NS, step=chance.randint(1, 5), price=10.0 + number)
        for number, count in enumerate(counts)
    }


class Stored:
    """`truth`: all bars there are, by symbol; those in `span` are to be in `store`."""

    truth: Mapping[str, Bars]
    span: tuple[int, int]
    store: BarStore
    interval: Interval

    def held(self, symbol: str) -> Bars:
        """What any reader of Parquet finds."""
        files = sorted((Path(self.store.place) / symbol / str(self.interval)).glob("*.parquet"))
        tables = [pq.read_table(file) for file in files]
        columns = {name: [value for table in tables for value in table[name].to_pylist()] for name in COLUMNS}
        stamps = [value for table in tables for value in table["timestamp"].cast("int64").to_pylist()]
        return Bars(np.array(stamps, np.int64), *(np.array(columns[name], np.float64) for name in COLUMNS))

    def expected(self, symbol: str) -> Bars:
        """What should be found."""
        bars = self.truth[symbol]
        return bars.take((bars.start_ns >= self.span[0]) & (bars.start_ns < self.span[1]))

    def is_true(self, symbol: str) -> bool:
        """Whether all of it is there, and nothing else."""
        return self.held(symbol).equals(self.expected(symbol))

    def invents_nothing(self, symbol: str) -> bool:
        """Whether what is there is true, and what counts as known is all there."""
        bars, held = self.truth[symbol], self.held(symbol)
        known = np.zeros(len(bars.start_ns), bool)
        for entry in self.store.fetched(symbol, self.interval):
            known |= (bars.start_ns >= entry.start_ns) & (bars.start_ns < entry.end_ns)
        rows = np.isin(bars.start_ns, held.start_ns)
        return held.equals(bars.take(rows)) and bool(np.all(rows[known]))
