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
    from barray.run_backtest import backtest
    from barray.run_sweep import SweepResult, sweep
    from barray.sample_data import write_sample_data
    from barray.session import AttachedSession, Session, attach, run
    from barray.validate_dump import validate_session_dump
    from coordinator.config import SessionConfig
    from coordinator.config_file import read_config
    from coordinator.session_coordinator import SessionCoordinator
    from coordinator.summary import AddResult, SessionSummary
    from market.bars import Bar
    from market.errors import (
        ActorFailed,
        BarrayError,
        ConfigError,
        DataError,
        IllegalTransition,
        NoDataError,
        SourceUnavailable,
        ValidationFailed,
    )
    from market.indicators import IndicatorSpec
    from market.interval import Interval
    from market.symbol_data import SymbolMetadata, SymbolSessionData
    from market.validation import SymbolValidationResult
    from trading.context import Context
    from trading.data import SymbolData
    from trading.results import BacktestResult, SymbolResult
    from trading.signals import Signals
    from trading.strategy import Strategy, parameter
    from trading.window import WindowView

_HOME = {
    "barray.analysis": ("lookahead", "warmup"),
    "barray.run_backtest": ("backtest",),
    "barray.run_sweep": ("SweepResult", "sweep"),
    "barray.sample_data": ("write_sample_data",),
    "barray.session": ("AttachedSession", "Session", "attach", "run"),
    "barray.validate_dump": ("validate_session_dump",),
    "coordinator.config": ("SessionConfig",),
    "coordinator.config_file": ("read_config",),
    "coordinator.session_coordinator": ("SessionCoordinator",),
    "coordinator.summary": ("AddResult", "SessionSummary"),
    "market.bars": ("Bar",),
    "market.errors": (
        "ActorFailed",
        "BarrayError",
        "ConfigError",
        "DataError",
        "IllegalTransition",
        "NoDataError",
        "SourceUnavailable",
        "ValidationFailed",
    ),
    "market.indicators": ("IndicatorSpec",),
    "market.interval": ("Interval",),
    "market.symbol_data": ("SymbolMetadata", "SymbolSessionData"),
    "market.validation": ("SymbolValidationResult",),
    "trading.context": ("Context",),
    "trading.data": ("SymbolData",),
    "trading.results": ("BacktestResult", "SymbolResult"),
    "trading.signals": ("Signals",),
    "trading.strategy": ("Strategy", "parameter"),
    "trading.window": ("WindowView",),
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
    "IllegalTransition",
    "IndicatorSpec",
    "Interval",
    "NoDataError",
    "Session",
    "SessionConfig",
    "SessionCoordinator",
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
    "ValidationFailed",
    "WindowView",
    "attach",
    "backtest",
    "lookahead",
    "parameter",
    "read_config",
    "run",
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
