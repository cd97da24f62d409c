"""Finding the strategy that a config names, and what it needs of every symbol."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from barray.coordinator.config.model import SessionConfig, StrategySection
from barray.market.errors import ConfigError
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements
from barray.trading.engine.commands import Plan
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.source import StrategySource


def strategy_source(section: StrategySection | None) -> StrategySource:
    """The strategy's code, read from its file; ConfigError where there is none."""
    if section is None:
        raise ConfigError("the config names no strategy", remedy="add strategy: {path: my_strategy.py}")
    if section.module is not None:
        return StrategySource(section.module, None, section.name)
    path = Path(str(section.path))
    try:
        return StrategySource(str(path), path.read_text(encoding="utf-8"), section.name)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"strategy {path}: {reason}", remedy="check strategy.path") from error


def choose_form(kind: type[Strategy], wanted: str | None) -> str:
    """The form to run: the one wanted, else on_window, signals, on_bar, whichever comes first that it has."""
    forms = kind.forms()
    if wanted is None:
        return next(form for form in ("on_window", "signals", "on_bar") if form in forms)
    if wanted not in forms:
        raise ConfigError(f"{kind.__name__} has no {wanted}", remedy=f"strategy.form can be {' or '.join(forms)}")
    return wanted


def plan_of(config: SessionConfig) -> Plan:
    """The config's strategy as it will run; ConfigError where anything about it is wrong."""
    if config.is_live:
        raise ConfigError("strategies run over sessions of the past", remedy="take session.mode: replay")
    section = config.strategy
    source = strategy_source(section)
    kind = source.load()
    parameters = kind(**section.parameters).values() if section else {}
    form = choose_form(kind, section.form if section else None)
    account = config.account
    return Plan(source, parameters, form, config.costs.market, account.account, account.shared, account.reserve)


def requirements_with(config: SessionConfig, strategies: Iterable[Strategy]) -> SymbolRequirements:
    """What the config and these strategies need of every symbol, together."""
    needs = [strategy.needs() for strategy in strategies]
    intervals = [interval for one in needs for interval in one.intervals]
    return requirements_of(config, intervals, [spec for one in needs for spec in one.indicators.values()])


def requirements_of(
    config: SessionConfig, intervals: Iterable[Interval], indicators: Iterable[IndicatorSpec]
) -> SymbolRequirements:
    """What the config needs of every symbol, and these intervals and indicators as well."""
    own = config.requirements
    return replace(
        own,
        intervals=tuple(sorted({*own.intervals, *intervals})),
        indicators=tuple(dict.fromkeys((*own.indicators, *indicators))),
    )
