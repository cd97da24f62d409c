"""From a configuration to what its runs take: the one way there, so that a check judges just what a run will need.

What a backtest, a sweep and a check need of every symbol differs; how it is found, and laid out over the sessions, does
not. The strategy's file is read here, once a run; the exchange calendar comes from whatever the caller passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.config.strategy import SweepSection
from barray.coordinator.prepare_scans import LoadCalendar, with_scans
from barray.coordinator.read_tables import read_tables
from barray.coordinator.scan_fleet import PreparedScan
from barray.coordinator.strategies import plan_of, require_past
from barray.market.errors import ConfigError
from barray.market.known_table import KnownTables
from barray.market.requirements import SymbolRequirements
from barray.market.session_range import SessionRange, session_range_of
from barray.trading.engine.commands import Plan
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.needs import Needs, require_own_names
from barray.trading.strategy.source import StrategySource
from barray.trading.sweeps.evaluate import needs_of_all
from barray.trading.sweeps.parameter_sets import ParameterSet, Space, grid, parse_space, random_sets

Sets = list[ParameterSet] | None
"""Those that a sweep tries, in order; None where they are chosen on the way."""
_MOST_ASKED = 10_000
"""Sets whose needs are found one by one; of a larger space, only the corners are asked."""


@dataclass(frozen=True, eq=False)
class PreparedSessions:
    """A config's sessions laid out, each with its history, and what is needed of every symbol."""

    config: SessionConfig
    requirements: SymbolRequirements
    session_range: SessionRange


@dataclass(frozen=True, eq=False)
class PreparedRun(PreparedSessions):
    """A run laid out. `plan`: the strategy as it will run. `tables`: those of the config, read. `scans`: what looks for
    more symbols, None where nothing does.
    """

    plan: Plan
    tables: KnownTables = field(default_factory=dict, kw_only=True)
    scans: PreparedScan | None = field(default=None, kw_only=True)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What its coordinator is made with, beside the config."""
        some = () if self.scans is None else (self.scans,)
        return self.session_range, self.requirements, self.plan, self.tables, *some


@dataclass(frozen=True, eq=False)
class PreparedSweep(PreparedRun):
    """A sweep laid out. `plan` holds the parameters that stay as they are, `space` and `sets` those that vary. `needs`:
    of the sets together, as far as they are known.
    """

    section: SweepSection
    space: Space
    sets: Sets
    needs: Needs


def prepare_run(
    config: SessionConfig, load_calendar: LoadCalendar, source: StrategySource | None = None
) -> PreparedRun:
    """A backtest of the config's strategy, or of one given.

    ConfigError where the strategy can't be read or run, naming file and line, and where there are no such sessions;
    errors of its tables as in `read_tables`.
    """
    require_past(config)
    plan = plan_of(config, source)
    needs = plan.strategy().needs()
    wider, scans = with_scans(config.needing(needs.intervals, needs.indicators.values()), load_calendar)
    requirements = _requirements(wider if scans is not None else config, needs)
    session_range = session_range_for(config, requirements, load_calendar)
    return PreparedRun(config, requirements, session_range, plan, tables=read_tables(config), scans=scans)


def prepare_sweep(
    config: SessionConfig, load_calendar: LoadCalendar, source: StrategySource | None = None
) -> PreparedSweep:
    """A sweep over the config's parameter sets; errors as for a backtest, ConfigError where these can't be meant."""
    if config.sweep is None:
        raise ConfigError("the config has no sweep", remedy="add sweep: {parameters: {…}}; see examples/sweep.yaml")
    require_past(config)
    plan, space, sets = _swept(config, config.sweep, plan_of(config, source))
    needs = _needs_of_sets(config.sweep, plan, space, sets)
    if config.scans and not config.account.shared:
        raise ConfigError(
            f"{config.where}: a sweep with scans needs one account: which symbols have one hangs on each set",
            remedy="write account: {shared: true}",
        )
    wider, scans = with_scans(config.needing(needs.intervals, needs.indicators.values()), load_calendar)
    requirements = _requirements(wider if scans is not None else config, needs)
    session_range = session_range_for(config, requirements, load_calendar)
    told = config, requirements, session_range, plan, config.sweep, space, sets, needs
    return PreparedSweep(*told, tables=read_tables(config), scans=scans)


def prepare_sessions(config: SessionConfig, load_calendar: LoadCalendar) -> PreparedSessions:
    """Everything that a session, a backtest and a sweep of the config need together; errors as for each."""
    needs: list[Needs] = []
    if config.strategy is not None:
        read_tables(config)
        plan = plan_of(config)
        needs.append(plan.strategy().needs())
        if config.sweep is not None:
            needs.append(_needs_of_sets(config.sweep, *_swept(config, config.sweep, plan)))
    requirements = _requirements(config, *needs)
    return PreparedSessions(config, requirements, session_range_for(config, requirements, load_calendar))


def session_range_for(
    config: SessionConfig, requirements: SymbolRequirements, load_calendar: LoadCalendar
) -> SessionRange:
    """The config's sessions, each with the history that `requirements` ask for."""
    calendar = load_calendar(config, requirements)
    return session_range_of(requirements, calendar, calendar.between(config.session.start, config.session.end))


def _swept(config: SessionConfig, section: SweepSection, plan: Plan) -> tuple[Plan, Space, Sets]:
    """The plan without the parameters that vary, the space of these, and the sets to try of it."""
    kind = plan.source.load()
    fixed = config.strategy.parameters if config.strategy else {}
    fixed = {name: value for name, value in fixed.items() if name not in section.parameters}
    space = parse_space(kind, section.parameters, section.where)
    return replace(plan, parameters=fixed), space, _sets(kind, section)


def _sets(kind: type[Strategy], section: SweepSection) -> Sets:
    if section.method == "random":
        return random_sets(kind, section.parameters, section.sets, section.seed, section.where)
    return grid(kind, section.parameters, section.where) if section.method == "grid" else None


def _needs_of_sets(section: SweepSection, plan: Plan, space: Space, sets: Sets) -> Needs:
    """What the sets that the sweep tries need; where these are too many, or not known, what the corners do."""
    if section.method == "random" or space.size <= _MOST_ASKED:
        asked = space.all() if sets is None else sets
    else:
        asked = _corners(space)
    return needs_of_all(plan.source.load(), asked, plan.parameters)


def _corners(space: Space) -> list[ParameterSet]:
    """Sets with every parameter at its low end, at its high end, and with each alone at the other."""
    ends = [[a.low, a.high] if a.values is None else [a.values[0], a.values[-1]] for a in space.axes]
    low = {axis.parameter.name: end[0] for axis, end in zip(space.axes, ends, strict=True)}
    high = {axis.parameter.name: end[1] for axis, end in zip(space.axes, ends, strict=True)}
    return [low, high, *({**low, name: high[name]} for name in high), *({**high, name: low[name]} for name in low)]


def _requirements(config: SessionConfig, *needs: Needs) -> SymbolRequirements:
    """What the config needs of every symbol, and these as well."""
    own = config.requirements
    intervals = {*own.intervals, *(interval for some in needs for interval in some.intervals)}
    indicators = dict.fromkeys((*own.indicators, *(spec for some in needs for spec in some.indicators.values())))
    require_own_names(indicators)
    return replace(own, intervals=tuple(sorted(intervals)), indicators=tuple(indicators))
