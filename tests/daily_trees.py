"""Three Parquet trees of one sample symbol or more: minutes throughout, minutes of the last days, and daily bars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from barray.sample.universe import write_sample_data

FIRST, LAST = date(2024, 5, 20), date(2024, 7, 3)
MINUTES_FROM = date(2024, 6, 26)
"""Minutes of the last days begin here."""

STRATEGY = """
import numpy as np
from barray import Signals, Strategy, parameter


class Trend(Strategy):
    days: int = parameter(12, low=2, high=20)

    def indicators(self):
        return {"slow": f"SMA({self.days})@1d", "fast": "EMA(4)@1d", "week": "EMA(2)@1w", "minute": "SMA(20)"}

    def on_bar(self, ctx):
        seen = [ctx.indicators[name][-1] for name in ("slow", "fast", "week", "minute")]
        close, (slow, fast, week, minute) = ctx.close[-1], seen
        if ctx.minute % 15 == 0 and close > minute and (fast > slow or close > week) and not ctx.position:
            ctx.buy(10)
        elif ctx.minute % 20 == 0 and ctx.position and (close < minute or fast < slow):
            ctx.sell(ctx.position)
"""


WINDOWS = """
from barray import Strategy


class Around(Strategy):
    intervals = ("1d", "1w")

    def indicators(self):
        return {"slow": "SMA(10)@1d", "fast": "EMA(4)@1d", "week": "EMA(2)@1w"}

    def on_window(self, view):
        if view.session_date.day == 2 and view.minute == 60:
            assert view.add_symbol("MSFT"), view.add_symbol("MSFT").reason
        for symbol in view.symbols:
            if view.minute == 90:
                assert view.add_adhoc_indicator(symbol, "EMA(3)@1d"), symbol
        known = view.indicators
        days, weeks = (view.history("close", interval=name)[:, 0].tolist() for name in ("1d", "1w"))
        added = known.get("EMA(3)@1d", [float("nan")])
        print(*(known[name].tolist() for name in ("slow", "fast", "week")), days, weeks, "added", *added)
        for number, symbol in enumerate(view.symbols):
            up = view.close[number] > known["slow"][number]
            view.order_target(symbol, 10 if up == (view.minute % 60 == 0) else 0)
"""


@dataclass(frozen=True)
class Trees:
    """Roots of the trees."""

    whole: Path
    minutes: Path
    days: Path

    def config(self, *, daily: bool, **changes: Any) -> dict[str, Any]:
        """A config over minutes throughout, or over minutes of the last days and daily bars."""
        minutes = {"name": "minutes", "root": str(self.minutes if daily else self.whole)}
        days = {"name": "days", "root": str(self.days)}
        settings = {
            "name": "daily" if daily else "whole",
            "session": {"start": "2024-07-01", "end": "2024-07-03"},
            "symbols": ["AAPL", "MSFT"],
            "intervals": ["1m"],
            "sources": [minutes, days] if daily else [minutes],
            **changes,
        }
        history = {"trailing_days": 1, **settings.get("history", {})}
        return settings | {"history": history | ({"daily": "days"} if daily else {})}


def write_trees(root: Path, *symbols: str) -> Trees:
    """Write them; the daily bars are those of the minutes, which the sample universe derives."""
    trees = Trees(root / "whole", root / "minutes", root / "days")
    write_sample_data(trees.whole, symbols=symbols, start=FIRST, end=LAST)
    write_sample_data(trees.days, symbols=symbols, start=FIRST, end=LAST, interval="1d")
    for symbol in symbols:
        (trees.minutes / symbol / "1m").mkdir(parents=True)
        for file in (trees.whole / symbol / "1m").iterdir():
            if file.stem >= MINUTES_FROM.isoformat():
                (trees.minutes / symbol / "1m" / file.name).symlink_to(file)
    return trees
