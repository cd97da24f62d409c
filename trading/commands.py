"""What the process that holds a symbol's data can be told in a backtest, and what it answers. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from market.bars import IntArray
from market.commands import BarReader
from market.interval import Interval
from market.stretch import Stretch
from trading.broker import Account
from trading.costs import Market
from trading.results import SymbolResult
from trading.strategy import Strategy
from trading.strategy_source import StrategySource


@dataclass(frozen=True)
class Plan:
    """A strategy with its parameters, and how to run it. `form`: on_bar or signals."""

    source: StrategySource
    parameters: Mapping[str, Any]
    form: str
    market: Market
    account: Account

    def strategy(self) -> Strategy:
        """A fresh object of the strategy."""
        return self.source.load()(**self.parameters)


@dataclass(frozen=True)
class LoadStretch:
    """Read a symbol's bars of a stretch of sessions. `skipped`: sessions that Step 0 refused, with the reason."""

    symbol: str
    stretch: Stretch
    reader: BarReader
    base_interval: Interval
    skipped: Mapping[date, str]


@dataclass(frozen=True)
class RunStretch:
    """Load a stretch, run a strategy over it, and let go of the bars. Leaves nothing behind."""

    load: LoadStretch
    plan: Plan
    grid_ns: IntArray


@dataclass(frozen=True)
class StretchRun:
    """What came of a run."""

    result: SymbolResult
