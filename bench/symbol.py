"""One symbol in this process, no Ray: a year of minutes read, loaded, derived, judged, with and without indicators."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow.parquet as pq

from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.market.bars import Bars
from barray.market.commands import AppendBars, Load, TakeSnapshot
from barray.market.indicators import parse_indicator
from barray.market.interval import Interval
from barray.market.requirements import SessionContext, SymbolRequirements, calendar_for, session_context
from barray.market.symbol_session import SymbolSession
from barray.sample.universe import write_sample_data
from bench.common import median_s, print_json_line

SYMBOL, YEAR = "AAPL", 2024
FIRST, LAST = date(YEAR, 1, 2), date(YEAR, 12, 31)
LAYOUT = "{symbol}/{interval}/{year}.parquet"
MINUTE = Interval.parse("1m")
INTERVALS = tuple(map(Interval.parse, ("1m", "5m", "15m", "1h")))
INDICATORS = (
    "SMA(20)@1m", "EMA(12)@1m", "RSI(14)@1m", "MACD@1m", "SESSION_VWAP@1m",
    "SMA(20)@5m", "RSI(14)@5m", "ATR(14)@5m", "BBANDS(20)@5m", "ADX(14)@5m",
)  # fmt: skip


def context_of_the_year() -> SessionContext:
    """The last session of the year, with all others as its history."""
    calendar = calendar_for(SymbolRequirements((MINUTE,)), "XNYS", FIRST, LAST)
    days = calendar.between(FIRST, LAST)
    needs = SymbolRequirements(INTERVALS, trailing_days=len(days) - 1)
    return session_context(needs, calendar, days[-1])


def session_work(
    context: SessionContext, bars: Bars, source: ParquetSource, indicators: Sequence[str]
) -> Callable[[], SymbolSession]:
    """What is measured: load and derive, go on to the close, and take a snapshot, which measures quality."""
    specs = tuple(map(parse_indicator, indicators))
    load = Load(context, source, MINUTE, INTERVALS, specs, "config", context.open_ns)

    def work() -> SymbolSession:
        session = SymbolSession(SYMBOL)
        session.apply(load, bars)
        session.apply(TakeSnapshot(context.close_ns))
        return session

    return work


def append_ms(bars: Bars) -> float:
    """Median time that one more minute of a live session takes, five sessions and all indicators behind it."""
    calendar = calendar_for(SymbolRequirements((MINUTE,)), "XNYS", FIRST, LAST)
    needs = SymbolRequirements(INTERVALS, tuple(map(parse_indicator, INDICATORS)), trailing_days=5)
    context = session_context(needs, calendar, calendar.between(FIRST, LAST)[-1])
    reader = ParquetSource("/", layout=Layout(LAYOUT))
    load = Load(context, reader, MINUTE, INTERVALS, needs.indicators, "config", context.open_ns, live=True)
    known = bars.take((bars.start_ns >= context.loaded.open_ns[0]) & (bars.start_ns < context.open_ns))
    today = bars.take((bars.start_ns >= context.open_ns) & (bars.start_ns < context.close_ns))
    session = SymbolSession(SYMBOL)
    session.apply(load, known)
    taken = []
    for row in range(len(today)):
        begun = perf_counter()
        start_ns = int(today.start_ns[row])
        session.apply(AppendBars(today.take(slice(row, row + 1)), start_ns, start_ns + MINUTE.ns))
        taken.append(perf_counter() - begun)
    return 1_000 * statistics.median(taken)


def day_files(context: SessionContext, repeat: int) -> dict[str, float]:
    """CPU of reading the year as a file a day, milliseconds a file; and times what pyarrow alone takes, in turn."""
    with tempfile.TemporaryDirectory() as root:
        write_sample_data(Path(root), symbols=[SYMBOL], start=FIRST, end=LAST)
        paths = sorted(Path(root).glob("*/*/*.parquet"))
        taken: dict[str, list[float]] = {"ours": [], "pyarrow": []}
        for _ in range(repeat):
            begun = process_time()
            ParquetSource(root).read_bars(SYMBOL, MINUTE, context.loaded)
            between = process_time()
            for path in paths:
                pq.ParquetFile(path, pre_buffer=False).read(use_threads=False)
            taken["ours"].append(between - begun)
            taken["pyarrow"].append(process_time() - between)
    ours, pyarrow = (statistics.median(seconds) for seconds in taken.values())
    return {"read_day_file_ms": 1_000 * ours / len(paths), "read_day_file_ratio_pyarrow": ours / pyarrow}


def resident_bytes(*roots: object) -> int:
    """Bytes of all arrays that can be reached from `roots`, each block of memory once however many views it has."""
    blocks: dict[int, int] = {}
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, np.ndarray):
            while isinstance(item.base, np.ndarray):
                item = item.base
            blocks[item.__array_interface__["data"][0]] = item.nbytes
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        elif dataclasses.is_dataclass(item) or isinstance(item, SymbolSession):
            waiting += vars(item).values()
    return sum(blocks.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.symbol", description=__doc__)
    parser.add_argument("--repeat", type=int, default=9, help="runs of each measurement; the median counts")
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as root:
        write_sample_data(Path(root), symbols=[SYMBOL], start=FIRST, end=LAST, layout=LAYOUT)
        context = context_of_the_year()

        def source() -> ParquetSource:
            return ParquetSource(root, layout=Layout(LAYOUT))  # a new one lists and opens anew

        def read() -> Bars:
            return source().read_bars(SYMBOL, MINUTE, context.loaded)

        bars = read()
        plain = session_work(context, bars, source(), ())
        full = session_work(context, bars, source(), INDICATORS)
        count = len(bars)
        print_json_line(
            "symbol",
            {
                "bars": count,
                "sessions": len(context.loaded),
                "indicators": len(INDICATORS),
                "bars_per_s": count / median_s(plain, repeat=repeat),
                "bars_per_s_with_indicators": count / median_s(full, repeat=repeat),
                "read_bars_per_s": count / median_s(read, repeat=repeat),
                **day_files(context, repeat),
                "bytes_per_bar": resident_bytes(plain()) / count,
                "bytes_per_bar_with_indicators": resident_bytes(full()) / count,
                "append_ms": append_ms(bars),
                "repeat": repeat,
            },
        )


if __name__ == "__main__":
    main()
