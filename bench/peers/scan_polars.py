"""The scan of bench.scan in plain Polars: `python -m bench.peers.scan_polars UNIVERSE FIRST LAST REPEAT DAYS`.

One lazy query over all files, symbols' minutes until 10:00 and the closes of the day before for the RSI (Wilder's, its
first value from the mean of the first 14 changes). Prints one JSON line: seconds of each run, and who is found.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import date
from datetime import time as clock
from pathlib import Path

import polars as pl

GAP, BUSY, RSI, TOP = 0.01, 1.2, 40.0, 50
TEN = clock(10, 0)
_NY = pl.col("timestamp").dt.convert_time_zone("America/New_York")
_GROUP = ["symbol", "day"]


def minutes(root: Path, first: date, last: date, back: int) -> tuple[pl.LazyFrame, list[date]]:
    """Regular minutes from `back` sessions before `first` on, with the sessions' dates from there."""
    by_symbol = any(path.is_dir() for path in root.iterdir())
    dates = sorted({date.fromisoformat(path.stem) for path in root.rglob("*.parquet")})
    chosen = dates[max(dates.index(first) - back, 0) : dates.index(last) + 1]
    if by_symbol:
        frame = pl.scan_parquet([root / "*" / f"{day}.parquet" for day in chosen], include_file_paths="path")
        frame = frame.with_columns(symbol=pl.col("path").str.split("/").list.get(-2))
    else:
        frame = pl.scan_parquet([root / f"{day}.parquet" for day in chosen])
    frame = frame.with_columns(pl.col("symbol").cast(pl.String))
    return frame.select("symbol", "open", "close", "volume", date=_NY.dt.date(), tod=_NY.dt.time()), chosen


def wilder(changes: pl.Expr, n: int = 14) -> pl.Expr:
    """Wilder's smoothing within each group, begun with the mean of the first n."""
    place = pl.int_range(pl.len()).over(_GROUP)  # 0 is the first bar, which has no change
    seeded = pl.when(place == n).then(changes.rolling_mean(n).over(_GROUP)).when(place > n).then(changes)
    return seeded.ewm_mean(alpha=1 / n, adjust=False, ignore_nulls=True).over(_GROUP)


def found(universe: Path, first: date, last: date, back: int) -> dict[str, list[str]]:
    """Who is found on each day, the busiest first."""
    bars, dates = minutes(universe / "minutes", first, last, back)
    early = bars.filter(pl.col("tod") < TEN)
    opens = early.sort("symbol", "date", "tod").group_by("symbol", "date", maintain_order=True)
    days = opens.agg(open=pl.col("open").first(), volume=pl.col("volume").sum()).with_columns(
        busy=pl.col("volume") / pl.col("volume").shift(1).rolling_mean(back, min_samples=1).over("symbol")
    )
    daily = pl.scan_parquet(universe / "days" / "**" / "*.parquet", include_file_paths="path")
    if (universe / "minutes" / "AAPL").exists():  # a file a symbol, named for it
        daily = daily.with_columns(symbol=pl.col("path").str.split("/").list.last().str.strip_suffix(".parquet"))
    day = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date()
    daily = daily.select(pl.col("symbol").cast(pl.String), "close", date=day)
    before = daily.sort("symbol", "date").with_columns(before=pl.col("close").shift(1).over("symbol")).drop("close")
    wanted = (
        days.filter(pl.col("date") >= first)
        .join(before, on=["symbol", "date"])
        .with_columns(gap=pl.col("open") / pl.col("before") - 1)
        .filter((pl.col("gap") > GAP) & (pl.col("busy") > BUSY))
        .select("symbol", pl.col("date").alias("day"), "busy")
    )
    following = pl.LazyFrame({"date": dates[:-1], "day": dates[1:]})
    fives = bars.with_columns(
        five=pl.col("tod").cast(pl.Time).dt.hour().cast(pl.Int32) * 12 + pl.col("tod").dt.minute() // 5
    )
    today = fives.filter(pl.col("tod") < TEN).with_columns(day=pl.col("date"))
    yesterday = fives.join(following, on="date")
    both = pl.concat([yesterday.select("symbol", "day", "date", "five", "tod", "close"),
                      today.select("symbol", "day", "date", "five", "tod", "close")])  # fmt: skip
    closes = (
        both.join(wanted.select("symbol", "day"), on=_GROUP, how="semi")
        .sort("symbol", "day", "date", "tod")
        .group_by("symbol", "day", "date", "five", maintain_order=True)
        .agg(pl.col("close").last())
    )
    change = pl.col("close").diff().over(_GROUP)
    rsi = (
        closes.with_columns(up=change.clip(lower_bound=0), down=-change.clip(upper_bound=0))
        .with_columns(up=wilder(pl.col("up")), down=wilder(pl.col("down")))
        .group_by("symbol", "day", maintain_order=True)
        .agg(rsi=100 * pl.col("up").last() / (pl.col("up").last() + pl.col("down").last()))
    )
    hits = (
        wanted.join(rsi, on=_GROUP)
        .filter(pl.col("rsi") > RSI)
        .sort("day", "busy", "symbol", descending=[False, True, False])
        .collect()
    )
    return {
        str(day[0]): part["symbol"].head(TOP).to_list() for day, part in hits.partition_by("day", as_dict=True).items()
    }


def main() -> None:
    """Print one JSON line."""
    universe, first, last = Path(sys.argv[1]), *map(date.fromisoformat, sys.argv[2:4])
    repeat, back = map(int, sys.argv[4:6])
    taken = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        hits = found(universe, first, last, back)
        taken.append(time.perf_counter() - began)
    print(json.dumps({"seconds": taken[1:], "hits": hits}))


if __name__ == "__main__":
    main()
