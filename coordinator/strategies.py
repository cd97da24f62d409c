"""Finding the strategy that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from barray.actors.by_value import pickled_by_value
from barray.coordinator import runtime
from barray.coordinator.config.file import ConfigLike, as_config
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.config.strategy import StrategySection
from barray.coordinator.read_tables import read_tables
from barray.market.errors import ConfigError
from barray.trading.engine.commands import Plan
from barray.trading.engine.session_trading import TradingPlan
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.class_source import class_source
from barray.trading.strategy.code_digest import code_digest
from barray.trading.strategy.siblings import siblings_of
from barray.trading.strategy.source import Code, StrategySource

C = TypeVar("C", bound=Code)
StrategyLike = type[Strategy] | Strategy | StrategySource | str | Path
"""A class, an object of it with its parameters, the path of a file that defines one, or where a class comes from."""


def asked_for(
    strategy: StrategyLike | ConfigLike | None,
    config: ConfigLike | None,
    parameters: Mapping[str, Any] | None,
) -> tuple[SessionConfig, StrategySource]:
    """The configuration and the strategy that `barray.backtest(strategy, config)` means, or `(config)` alone.

    A strategy given stands in place of the config's; the `form`, `window` and `parameters` that the config has under
    strategy hold for it too, below those of the object given, below `parameters`. ConfigError where either is missing,
    and where the session is a live one.
    """
    if config is None:
        strategy, config = None, _config_alone(strategy)
    settings = as_config(config, strategy_given=strategy is not None)
    require_past(settings)
    return _meant(settings, strategy, parameters)


def _meant(
    settings: SessionConfig, strategy: StrategyLike | ConfigLike | None, parameters: Mapping[str, Any] | None = None
) -> tuple[SessionConfig, StrategySource]:
    section = settings.strategy or StrategySection()
    own = strategy.values() if isinstance(strategy, Strategy) else {}
    merged = section.model_copy(update={"parameters": {**section.parameters, **own, **(parameters or {})}})
    if strategy is None:
        return settings.model_copy(update={"strategy": merged}), strategy_source(settings.strategy)
    nameless = merged.model_copy(update={"path": None, "module": None, "name": None})
    return settings.model_copy(update={"strategy": nameless}), _given_source(strategy)


def trading_in_sessions(
    config: ConfigLike, strategy: StrategyLike | None = None
) -> tuple[SessionConfig, TradingPlan | None]:
    """A config for sessions, with what its strategy, or one given, needs of every symbol; and that as it will run.

    None where there is no strategy. ConfigError where it can't be read or run; errors of tables as in `read_tables`.
    """
    settings = as_config(config, strategy_given=strategy is not None)
    if strategy is None and settings.strategy is None:
        return settings, None
    settings, source = _meant(settings, strategy)
    plan = plan_of(settings, source)
    kind = plan.source.load()
    needs = plan.strategy().needs()
    window = settings.strategy.window if settings.strategy is not None else None
    given = TradingPlan(plan, needs, kind.__name__, code_digest(plan.source), window, read_tables(settings))
    return settings.needing(needs.intervals, needs.indicators.values()), given


def require_past(config: SessionConfig) -> None:
    """Refuse a live session, with ConfigError: strategies run over the past."""
    if config.is_live:
        raise ConfigError("strategies run over sessions of the past", remedy="take session.mode: replay")


def _config_alone(given: object) -> Any:
    """What is given alone is a config."""
    if given is None or isinstance(given, Strategy | StrategySource | type) or str(given).endswith(".py"):
        raise ConfigError("there is no config", remedy='give one after the strategy, such as "session.yaml" or a dict')
    return given


def _given_source(strategy: object) -> StrategySource:
    if isinstance(strategy, StrategySource):
        return strategy
    if isinstance(strategy, str | Path):
        path = str(Path(strategy).expanduser().resolve())
        return read_code(StrategySource, path, None, None, "strategy.path")
    kind = strategy if isinstance(strategy, type) else type(strategy)
    if not issubclass(kind, Strategy):
        raise ConfigError(f"{kind.__name__} is no strategy", remedy="derive the class from barray.Strategy")
    runtime.import_ray()
    return class_source(kind, pickled_by_value)


def strategy_source(section: StrategySection | None) -> StrategySource:
    """The strategy's code, read from its file or module, with the modules beside it that it imports; beside a module
    is what lies in the working directory. ConfigError where there is none.
    """
    if section is None:
        raise ConfigError("the config names no strategy", remedy="add strategy: {path: my_strategy.py}")
    return read_code(StrategySource, section.path, section.module, section.name, "strategy.path")


def read_code(kind: type[C], path: str | None, module: str | None, name: str | None, key: str) -> C:
    """Code in a file or a module, with the modules beside it that it imports. `key`: where the config names it;
    ConfigError where neither is named, or the file can't be read.
    """
    if module is not None:
        return kind(module, None, name, siblings_of(f"import {module}", Path.cwd()))
    if path is None:
        raise ConfigError(f"{kind.told_as} names no code", remedy="give either path (a Python file) or module")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{kind.told_as} {path}: {reason}", remedy=f"check {key}") from error
    return kind(path, text, name, siblings_of(text, Path(path).parent))


def choose_form(kind: type[Strategy], wanted: str | None) -> str:
    """The form to run: the one wanted (ConfigError if it lacks it), else the first of on_window, signals, on_bar."""
    forms = kind.forms()
    if wanted is None:
        return next(form for form in ("on_window", "signals", "on_bar") if form in forms)
    if wanted not in forms:
        raise ConfigError(f"{kind.__name__} has no {wanted}", remedy=f"strategy.form can be {' or '.join(forms)}")
    return wanted


def plan_of(config: SessionConfig, source: StrategySource | None = None) -> Plan:
    """A strategy, by default the config's, as it will run; ConfigError where anything about it is wrong."""
    section = config.strategy
    source = source or strategy_source(section)
    kind = source.load()
    parameters = kind(**section.parameters).values() if section else {}
    form = choose_form(kind, section.form if section else None)
    if config.scans and form != "on_window" and section is not None and section.window is not None:
        raise ConfigError(
            f"strategy.window is {section.window}: with scans {kind.__name__}.{form} is told of every bar before they"
            " look, so that what it holds or orders stays",
            remedy="leave window out",
        )
    account = config.account
    timeout_s = config.actors.call_timeout_s
    market, terms = config.costs.market, account.account
    limits = account.limits.limits if account.limits is not None else None
    return Plan(source, parameters, form, market, terms, account.shared, account.reserve, timeout_s, limits)
