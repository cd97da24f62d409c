"""Scans of thousands of symbols beside plain Polars: `python -m bench.scan`.

Gap, volume against the ten sessions before and RSI(14)@5m at 10:00, the 50 busiest: one day and twenty, from files of
many symbols; one day, against the session before, from a file a symbol and day. Both find the same. `ratio_…`: ours ÷
Polars', each the median of runs in one process that has run it before, from files. `scan_s_in_session`: every five
minutes of a day, a scan. `day_s`: `barray run` with these scans and 20 full symbols, and `barray validate-dump`;
`peak_mb` of all its processes. `scan_s_live`: a look of a live day, in one process, by the minutes that have come;
`scan_s_live_all`: where every symbol passes, with an indicator and session values of each; `minute_s_live`: taking in a
minute of all; `equal_live`: whether each look found what the day at once finds. `promotion_s`: from a hit to a full
symbol, caught up. `bitwise_equal`: whether 200 random pairs of a symbol and a time have the same values in the scan and
in the promoted symbol. `daily_s`: `barray scan` of daily bars over 250 sessions. `backtest_s_a_day`: `barray backtest`
with such a scan every five minutes, and a strategy that trades the 20 or so symbols that it promotes; `scan_s_a_day`:
`barray scan` of the same days.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from barray.coordinator.config.file import parse_config
from barray.coordinator.prepare_scans import prepare_scan
from barray.local.connection import load_calendar
from barray.market.bars import COLUMNS
from barray.market.interval import Interval
from barray.market.universe.growing import Tape
from barray.sample.listed import ListedUniverse, write_listed_universe
from barray.session import Session
from barray.trading.scans.commands import ScanJob
from barray.trading.scans.evaluate import session_hits
from barray.trading.scans.follow import follow
from barray.trading.scans.hits import Hits as Found
from barray.trading.scans.shard import ScanShard
from bench.common import print_json_line
from bench.runs import PeakMemory, barray, finish

END = date(2024, 7, 5)
_MINUTE = Interval.parse("1m")
Hits = dict[str, list[str]]


def config_of(universe: ListedUniverse, first: date, last: date, back: int, **scan: Any) -> dict[str, Any]:
    """The scan of the bench over a universe. `back`: sessions that the volume is compared with."""
    layouts = ("{symbol}/{date}", "{symbol}") if universe.file_per_symbol else ("{date}", "{month}")
    names = zip(("minutes", "days"), layouts, ("1m", "1d"), strict=True)
    told = {
        "name": "busy",
        "at": "10:00",
        "where": ["gap > 0.01", f"relative_volume({back}) > 1.2", "RSI(14)@5m > 40"],
        "rank": f"relative_volume({back})",
        "keep": {"top": 50},
    }
    return {
        "name": "scan",
        "session": {"start": first, "end": last},
        "intervals": ["1m"],
        "sources": [
            {"name": name, "root": str(universe.root / name), "layout": f"{layout}.parquet", "interval": interval}
            for name, layout, interval in names
        ],
        "history": {"daily": "days"},
        "scans": [{**told, **scan}],
    }


def found(told: dict[str, Any]) -> tuple[Hits, int]:
    """Who is found on each day, in this process, and how many times were looked at."""
    prepared = prepare_scan(parse_config(told), load_calendar)
    span = prepared.session_range
    sessions = span.sessions.take(slice(int(span.rows[0]), int(span.rows[-1]) + 1))
    symbols = prepared.reader.stored(_MINUTE, sessions)
    shard = ScanShard(ScanJob(prepared.scans, symbols, span, _MINUTE, prepared.reader, prepared.daily))
    [plan] = prepared.plans()
    hits: Hits = {}
    times = 0
    for row in span.rows.tolist():
        part = shard.session(row, {}).parts[plan.name]
        kept = follow([plan], [session_hits(plan, span.timezone, part.times_ns, [part])]).kept
        last_ns = int(part.times_ns[-1])
        hits[str(span.sessions.dates[row])] = [one.symbol for one in kept if one.at_ns == last_ns]
        times += len(part.times_ns)
    return hits, times


def timed(work: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Median seconds after one run that doesn't count, and what the last came to."""
    taken, came = [], work()
    for _ in range(repeat):
        began = perf_counter()
        came = work()
        taken.append(perf_counter() - began)
    return statistics.median(taken), came


def beside(universe: ListedUniverse, first: date, last: date, back: int, repeat: int) -> tuple[float, float, bool]:
    """Our seconds, Polars', and whether both found the same."""
    own_s, (hits, _) = timed(lambda: found(config_of(universe, first, last, back)), repeat)
    command = [sys.executable, "-m", "bench.peers.scan_polars", str(universe.root), str(first), str(last)]
    done = subprocess.run([*command, str(repeat), str(back)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return own_s, statistics.median(told["seconds"]), told["hits"] == {day: some for day, some in hits.items() if some}


def in_session(universe: ListedUniverse, folder: Path, day: date) -> dict[str, Any]:
    """A day of scans every five minutes, with promotions; SystemExit where its dump is not valid."""
    told = config_of(universe, day, day, 1, at={"every": "5m", "since": "09:35"})
    told["scans"][0]["promote"] = {"full": 20, "evict": "rank", "light": 0}
    scans_s, (_, times) = timed(lambda: found(told), 1)
    config = folder / "day.json"
    config.write_text(json.dumps({**told, "export": {"directory": str(folder / "out")}}, default=str))
    with PeakMemory() as memory:
        began = perf_counter()
        finish(barray("run", config, "--quiet"))
        finish(barray("validate-dump", folder / f"out/scan-{day}.json"))
        day_s = perf_counter() - began
    promoted = []
    with Session({**told, "scans": [{**told["scans"][0], "promote": None}]}) as session:
        session.begin(day)
        session.advance_to("10:00")
        scanned = session.summary().scanned
        for row in [row for row in scanned.kept if row.at_ns == session.summary().now_ns][:10] if scanned else ():
            began = perf_counter()
            session.add_symbol(row.symbol, "scanner")
            promoted.append(perf_counter() - began)
    return {
        "scan_s_in_session": scans_s / times,
        "day_s": day_s,
        "peak_mb": memory.peak_mb,
        "promotion_s": statistics.median(promoted),
    }


def live(universe: ListedUniverse, day: date, back: int, **scan: Any) -> tuple[float, float, bool]:
    """A live day of scans every five minutes, in this process, by its minutes as they come: median seconds of a look
    and of taking a minute in, and whether each found what the day evaluated at once finds.
    """
    told = config_of(universe, day, day, back, at={"every": "5m", "since": "09:35"}, **scan)
    prepared = prepare_scan(parse_config(told), load_calendar)
    span, [plan] = prepared.session_range, prepared.plans()
    [row] = span.rows.tolist()
    today = span.sessions.take(slice(row, row + 1))
    symbols = prepared.reader.stored(_MINUTE, today)
    job = ScanJob(prepared.scans, symbols, span, _MINUTE, prepared.reader, prepared.daily)
    stack, _ = prepared.reader.read_stack(_MINUTE, today, symbols=symbols, columns=COLUMNS)
    shard = ScanShard(job)
    shard.open(row, {})
    bars = {symbol: stack.bars_of(symbol) for symbol in stack.symbols}
    tape = Tape.of(bars, {symbol: i for i, symbol in enumerate(symbols)})
    starts, looks, taken, hits = tape.bars.start_ns, list[float](), list[float](), list[str]()
    part = ScanShard(job).session(row, {}).parts[plan.name]
    expected = session_hits(plan, span.timezone, part.times_ns, [part]).hits
    due = set(part.times_ns.tolist())
    for start_ns in range(int(today.open_ns[0]), int(today.close_ns[0]), _MINUTE.ns):
        minute, began = tape.take(starts == start_ns), perf_counter()
        shard.take_in(minute)
        taken.append(perf_counter() - began)
        if start_ns + _MINUTE.ns in due:
            began = perf_counter()
            part = shard.look(start_ns + _MINUTE.ns, [plan.name]).parts[plan.name]
            [found] = session_hits(plan, span.timezone, part.times_ns, [part]).hits
            looks.append(perf_counter() - began)
            hits.append(_told(found))
    return statistics.median(looks), statistics.median(taken), hits == [*map(_told, expected)]


def _told(found: Found) -> str:
    return repr((found.symbols, found.scores.tolist()))


def unequal(universe: ListedUniverse, day: date, pairs: int = 200) -> list[str]:
    """Values of random pairs of a symbol and a time in which the scan and the promoted symbol differ by a bit."""
    times, keys = ("09:45", "10:00", "10:25", "10:40", "11:15", "11:50", "12:30", "13:00"), ("RSI(14)@5m", "SMA(5)@1d")
    where = [f"{key} > 0" for key in keys]
    told = config_of(universe, day, day, 1, at=list(times), where=where, rank="close", keep=None)
    random, wrong = np.random.default_rng(7), []
    with Session(told) as session:
        session.begin(day)
        session.advance_to(times[0])
        found = [row.symbol for row in session.summary().scanned.kept]  # type: ignore[union-attr]
        chosen = [str(symbol) for symbol in random.choice(found, min(pairs // len(times), len(found)), replace=False)]
        for symbol in chosen:
            session.add_symbol(symbol, "scanner")
        for time in times:
            session.advance_to(time)
            summary = session.summary()
            rows = summary.scanned.kept if summary.scanned else ()
            seen = {row.symbol: row.values for row in rows if row.at_ns == summary.now_ns}
            for symbol in chosen:
                shown = session.snapshot(symbol)
                full = {key: shown.indicators[key].values["real"][-1] for key in keys}
                full["close"] = shown.bars["1m"].bars.close[-1]
                wrong += [f"{symbol} {time} {key}" for key in full if seen.get(symbol, {}).get(key) != full[key]]
    return wrong


BUYER = """
from barray import Strategy


class Buyer(Strategy):
    def on_window(self, view):
        for symbol in view.symbols:
            if symbol not in view.positions and view.minutes_to_close > 60:
                view.order(symbol, 10)
        if view.minutes_to_close == 15:
            for symbol in view.positions:
                view.order_target(symbol, 0)
"""


def backtested(universe: ListedUniverse, folder: Path, first: date, last: date) -> dict[str, float]:
    """A backtest whose scan, every five minutes, promotes about 20 symbols a day, and `barray scan` of the same days:
    seconds a day of each, from command to files.
    """
    (folder / "buyer.py").write_text(BUYER)
    told = config_of(universe, first, last, 1, at={"every": "5m", "since": "09:35"})
    told["scans"][0]["promote"] = {"full": 20, "evict": "never", "light": 0}
    told |= {"strategy": {"path": str(folder / "buyer.py"), "window": "5m"}, "account": {"shared": True}}
    told["report"] = {"directory": str(folder / "backtests"), "formats": ["html", "parquet", "json"]}
    config = folder / "backtest.json"
    config.write_text(json.dumps(told, default=str))
    days, taken = sum(first <= day <= last for day in universe.sessions), {}
    for command in ("backtest", "scan"):
        began = perf_counter()
        finish(barray(command, config, "--quiet"))
        taken[command] = (perf_counter() - began) / days
    return {"backtest_s_a_day": taken["backtest"], "scan_s_a_day": taken["scan"]}


def daily_s(universe: ListedUniverse, folder: Path, sessions: int) -> float:
    """`barray scan` of daily bars alone."""
    told = config_of(universe, universe.days[-sessions], END, 1)
    told["sources"], told["history"], told["intervals"] = told["sources"][1:], {}, ["1d"]
    where = ["change > 0.02", "SMA(20)@1d > 10"]
    told["scans"] = [{"name": "strong", "at": "close", "where": where, "rank": "change", "keep": {"top": 50}}]
    config = folder / "daily.json"
    config.write_text(json.dumps({**told, "report": {"directory": str(folder / "scans")}}, default=str))
    began = perf_counter()
    finish(barray("scan", config, "--quiet"))
    return perf_counter() - began


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=5000)
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, Any] = {"symbols": options.symbols, "days": options.days}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shared = write_listed_universe(
            folder / "shared", symbols=options.symbols, end=END, sessions=options.days + 11, days=290
        )
        first, last = shared.sessions[10], shared.sessions[-2]  # some symbols are broken on the last day
        same = []
        for key, since in (("one_day", last), (f"{options.days}_days", first)):
            own, polars, equal = beside(shared, since, last, 10, options.repeat)
            figures |= {f"{key}_s": own, f"{key}_polars_s": polars, f"ratio_{key}": own / polars}
            same.append(equal)
        figures |= in_session(shared, folder, last)
        looks, minutes, alike = live(shared, last, 10)
        wide = ["RSI(14)@5m > 0", "vwap > 0", "session_high > 0"]
        widest, _, also = live(shared, last, 10, where=wide, rank="change")
        figures |= {
            "scan_s_live": looks,
            "scan_s_live_all": widest,
            "minute_s_live": minutes,
            "equal_live": alike and also,
        }
        figures["bitwise_equal"] = not unequal(shared, last)
        figures |= backtested(shared, folder, first, last)
        figures["daily_s"] = daily_s(shared, folder, 250)
        alone = write_listed_universe(
            folder / "alone", symbols=options.symbols, end=END, sessions=3, days=30, file_per_symbol=True
        )
        own, polars, equal = beside(alone, alone.sessions[-2], alone.sessions[-2], 1, 1)
        figures |= {"file_per_symbol_s": own, "file_per_symbol_polars_s": polars, "ratio_file_per_symbol": own / polars}
        figures["equal"] = all([*same, equal])
    print_json_line("scan", figures)


if __name__ == "__main__":
    main()
