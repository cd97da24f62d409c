"""barray: trading sessions over many symbols, each symbol a Ray actor of its own.

    import barray

    with barray.Session("session.yaml") as session:
        session.begin()
        session.advance_to("10:30")
        session.add_symbol("TSLA")
        print(session.snapshot("TSLA").bars["5m"].bars.close[-1])

Names are loaded on first use, so that `import barray` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barray.analysis import lookahead, warmup
    from barray.attached import AttachedSession, attach
    from barray.coordinator.config.file import read_config
    from barray.coordinator.config.model import SessionConfig
    from barray.coordinator.session_coordinator import SessionCoordinator
    from barray.coordinator.summary import AddResult, SessionSummary
    from barray.day_again import replay_day
    from barray.dump.read import SessionDump, read_dump
    from barray.dump.validate import validate_session_dump
    from barray.market.bars import Bar
    from barray.market.errors import (
        ActorFailed,
        BarrayError,
        ConfigError,
        DataError,
        IllegalTransition,
        NoDataError,
        SourceUnavailable,
        ValidationFailed,
    )
    from barray.market.indicators import IndicatorSpec
    from barray.market.interval import Interval
    from barray.market.own_indicator import OwnIndicator, indicator
    from barray.market.symbol_data import SymbolMetadata, SymbolSessionData
    from barray.market.table import Table
    from barray.market.validation import SymbolValidationResult
    from barray.runs.backtest import backtest
    from barray.runs.scan import scan
    from barray.runs.scan_here import explain, lookahead_of_scans
    from barray.runs.sweep import sweep
    from barray.sample.universe import write_sample_data
    from barray.session import Session, run
    from barray.trading.engine.day_again import DayAgain
    from barray.trading.results.backtest import BacktestResult
    from barray.trading.results.result import SymbolResult
    from barray.trading.strategy.base import Strategy
    from barray.trading.strategy.context import Context
    from barray.trading.strategy.data import SymbolData
    from barray.trading.strategy.parameter import parameter
    from barray.trading.strategy.signals import Signals
    from barray.trading.strategy.view import WindowView
    from barray.trading.sweeps.result import SweepResult

_HOME = {
    "barray.attached": ("AttachedSession", "attach"),
    "barray.analysis": ("lookahead", "warmup"),
    "barray.day_again": ("replay_day",),
    "barray.runs.backtest": ("backtest",),
    "barray.runs.scan": ("scan",),
    "barray.runs.scan_here": ("explain", "lookahead_of_scans"),
    "barray.runs.sweep": ("sweep",),
    "barray.sample.universe": ("write_sample_data",),
    "barray.session": ("Session", "run"),
    "barray.dump.read": ("SessionDump", "read_dump"),
    "barray.dump.validate": ("validate_session_dump",),
    "barray.coordinator.config.model": ("SessionConfig",),
    "barray.coordinator.config.file": ("read_config",),
    "barray.coordinator.session_coordinator": ("SessionCoordinator",),
    "barray.coordinator.summary": ("AddResult", "SessionSummary"),
    "barray.market.bars": ("Bar",),
    "barray.market.errors": (
        "ActorFailed",
        "BarrayError",
        "ConfigError",
        "DataError",
        "IllegalTransition",
        "NoDataError",
        "SourceUnavailable",
        "ValidationFailed",
    ),
    "barray.market.indicators": ("IndicatorSpec",),
    "barray.market.interval": ("Interval",),
    "barray.market.own_indicator": ("OwnIndicator", "indicator"),
    "barray.market.symbol_data": ("SymbolMetadata", "SymbolSessionData"),
    "barray.market.table": ("Table",),
    "barray.market.validation": ("SymbolValidationResult",),
    "barray.trading.strategy.context": ("Context",),
    "barray.trading.strategy.data": ("SymbolData",),
    "barray.trading.engine.day_again": ("DayAgain",),
    "barray.trading.sweeps.result": ("SweepResult",),
    "barray.trading.results.backtest": ("BacktestResult",),
    "barray.trading.results.result": ("SymbolResult",),
    "barray.trading.strategy.signals": ("Signals",),
    "barray.trading.strategy.base": ("Strategy",),
    "barray.trading.strategy.parameter": ("parameter",),
    "barray.trading.strategy.view": ("WindowView",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ActorFailed",
    "AddResult",
    "AttachedSession",
    "BacktestResult",
    "Bar",
    "BarrayError",
    "ConfigError",
    "Context",
    "DataError",
    "DayAgain",
    "IllegalTransition",
    "IndicatorSpec",
    "Interval",
    "NoDataError",
    "OwnIndicator",
    "Session",
    "SessionConfig",
    "SessionCoordinator",
    "SessionDump",
    "SessionSummary",
    "Signals",
    "SourceUnavailable",
    "Strategy",
    "SweepResult",
    "SymbolData",
    "SymbolMetadata",
    "SymbolResult",
    "SymbolSessionData",
    "SymbolValidationResult",
    "Table",
    "ValidationFailed",
    "WindowView",
    "attach",
    "backtest",
    "explain",
    "indicator",
    "lookahead",
    "lookahead_of_scans",
    "parameter",
    "read_config",
    "read_dump",
    "replay_day",
    "run",
    "scan",
    "sweep",
    "validate_session_dump",
    "warmup",
    "write_sample_data",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'barray' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value
