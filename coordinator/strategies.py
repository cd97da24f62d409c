"""Finding the strategy that a config names."""

from __future__ import annotations

from pathlib import Path

from barray.coordinator.config.model import SessionConfig, StrategySection
from barray.market.errors import ConfigError
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
    """The form to run: the one wanted (ConfigError if it lacks it), else the first of on_window, signals, on_bar."""
    forms = kind.forms()
    if wanted is None:
        return next(form for form in ("on_window", "signals", "on_bar") if form in forms)
    if wanted not in forms:
        raise ConfigError(f"{kind.__name__} has no {wanted}", remedy=f"strategy.form can be {' or '.join(forms)}")
    return wanted


def plan_of(config: SessionConfig) -> Plan:
    """The config's strategy as it will run; ConfigError where anything about it is wrong."""
    section = config.strategy
    source = strategy_source(section)
    kind = source.load()
    parameters = kind(**section.parameters).values() if section else {}
    form = choose_form(kind, section.form if section else None)
    account = config.account
    return Plan(source, parameters, form, config.costs.market, account.account, account.shared, account.reserve)
