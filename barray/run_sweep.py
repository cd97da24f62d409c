"""A sweep from Python: many parameter sets of one strategy, the best of them, and how choosing would have fared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from barray.coordinator.config.file import ConfigLike
from barray.coordinator.config.model import SessionConfig, SweepSection
from barray.coordinator.strategies import StrategyLike, asked_for, plan_of, requirements_of
from barray.local.connection import load_calendar
from barray.local.progress import Progress, shown
from barray.market.errors import ConfigError
from barray.market.session_range import session_range_of
from barray.run_backtest import RemoteRun
from barray.sweep_journal import Journal
from barray.trading.engine.commands import Plan
from barray.trading.strategy.base import Strategy
from barray.trading.sweeps.evaluate import needs_of_all
from barray.trading.sweeps.parameter_sets import (
    Listed,
    ParameterSet,
    Sampler,
    Space,
    grid,
    parse_space,
    random_sets,
    set_key,
)
from barray.trading.sweeps.result import SweepResult
from barray.trading.sweeps.table import SetRow, rows_of, score, walk
from barray.trading.sweeps.walk_forward import walk_forward

_ROUND, _OPTUNA_ROUND = 128, 16
"""Sets evaluated before what came of them is written down; optuna learns from it that often."""


def sweep(
    strategy: StrategyLike | ConfigLike | None = None,
    config: ConfigLike | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
) -> SweepResult:
    """Evaluate a config's parameter sets on all its symbols and sessions; see examples/sweep.yaml.

    `strategy`, `config` and `parameters` (those that stay the same) as in `barray.backtest`.

    What is done is kept in a journal below `report.directory`: the same sweep, stopped and started again, goes on where
    it was. `fresh` begins anew. Symbols trade with their own capital each.
    """
    began = perf_counter()
    settings, source = asked_for(strategy, config, parameters)
    section = settings.sweep
    if section is None:
        raise ConfigError("the config has no sweep", remedy="add sweep: {parameters: {…}}; see examples/sweep.yaml")
    if settings.account.shared:
        raise ConfigError("a sweep has no shared account", remedy="leave account.shared out")
    plan = plan_of(settings, source)
    kind = plan.source.load()
    given = settings.strategy.parameters if settings.strategy else {}
    fixed = {name: value for name, value in given.items() if name not in section.parameters}
    plan = Plan(plan.source, fixed, plan.form, plan.market, plan.account)
    if plan.form == "on_window":
        raise ConfigError("a sweep runs on_bar or signals", remedy="set strategy.form")
    space = parse_space(kind, section.parameters, section.where)
    intervals, indicators = needs_of_all(kind, _listed(kind, section, space), fixed)
    requirements = requirements_of(settings, intervals, indicators)
    calendar = load_calendar(settings, requirements)
    days = calendar.between(settings.session.start, settings.session.end)
    session_range = session_range_of(requirements, calendar, days)
    walking = section.walk_forward
    windows = walk_forward(days, walking.in_sample, walking.out_of_sample, anchored=walking.anchored) if walking else []
    journal = Journal(Path(settings.report.directory), settings.name, _fingerprint(settings, plan), fresh=fresh)
    done = {row.key: row for row in journal.rows}
    sampler, wanted = _sampler(kind, section, space)
    rows: list[SetRow] = []
    timings = {"plan_s": perf_counter() - began}
    from barray.coordinator.sweep import SweepCoordinator

    dropped: dict[str, tuple[str, ...]] = {}
    symbols = 0
    with (
        shown(progress) as told,
        RemoteRun(settings, SweepCoordinator, session_range, requirements, plan, progress=told) as run,
    ):
        prepared = run.call("begin")
        timings["provision_s"] = perf_counter() - began - timings["plan_s"]
        symbols = len(prepared.symbols)
        size = _OPTUNA_ROUND if section.method == "optuna" else _ROUND
        while len(rows) < wanted and (asked := sampler.ask(min(size, wanted - len(rows)))):
            new = [one for one in asked if set_key(one) not in done]
            if new:
                found = rows_of(run.call("evaluate", new), len(days))
                journal.add(found)
                done.update({row.key: row for row in found})
            for one in asked:
                row = done[set_key(one)]
                rows.append(row)
                sampler.tell(one, score(row.figures(settings.account.capital * symbols), section.metric))
        timings["evaluate_s"] = perf_counter() - began - sum(timings.values())
        dropped = run.call("dropped")
    capital = settings.account.capital * (symbols - len([s for s in prepared.symbols if s in dropped]))
    timings["close_s"] = perf_counter() - began - sum(timings.values())
    return SweepResult(
        name=settings.name,
        strategy=kind.__name__,
        metric=section.metric,
        capital=capital,
        dates=tuple(day.isoformat() for day in days),
        rows=tuple(rows),
        dropped=dropped,
        journal=journal.path,
        walked=tuple(walk(rows, windows, days, capital, section.metric)),
        resumed=sum(1 for row in rows if row.key in journal.resumed),
        timings_s=timings,
    )


def _listed(kind: type[Strategy], section: SweepSection, space: Space) -> Sequence[ParameterSet]:
    """Sets whose needs cover what the sweep may ask for: all, or where they are endless, the corners."""
    if section.method == "random":
        return random_sets(kind, section.parameters, section.sets, section.seed, section.where)
    if space.size <= 10_000:
        return space.all()
    ends = [[a.low, a.high] if a.values is None else [a.values[0], a.values[-1]] for a in space.axes]
    low = {axis.parameter.name: end[0] for axis, end in zip(space.axes, ends, strict=True)}
    high = {axis.parameter.name: end[1] for axis, end in zip(space.axes, ends, strict=True)}
    return [low, high, *({**low, name: high[name]} for name in high), *({**high, name: low[name]} for name in low)]


def _sampler(kind: type[Strategy], section: SweepSection, space: Space) -> tuple[Sampler, int]:
    """Who says which sets to try, and how many at most."""
    if section.method == "optuna":
        from barray.trading.sweeps.optuna_sampler import OptunaSampler

        return OptunaSampler(space, section.seed), section.sets
    if section.method == "random":
        sets = random_sets(kind, section.parameters, section.sets, section.seed, section.where)
    else:
        sets = grid(kind, section.parameters, section.where)
    return Listed(sets), len(sets)


def _fingerprint(config: SessionConfig, plan: Plan) -> str:
    """What two runs must share for one to go on where the other stopped: everything but where and how wide they run."""
    chosen = config.model_dump_json(
        include={"session", "symbols", "history", "sources", "account", "costs", "strategy", "intervals", "indicators"}
    )
    text = "\n".join((chosen, plan.source.text or plan.source.where, plan.form))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
