"""A sweep from Python: many parameter sets of one strategy, the best of them, and how choosing would have fared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from barray.coordinator.config.file import ConfigLike
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import PreparedSweep, prepare_sweep
from barray.coordinator.strategies import StrategyLike, asked_for
from barray.local.connection import load_calendar
from barray.local.progress import Progress, shown
from barray.run_backtest import RemoteRun, warn_of_loss
from barray.sweep_journal import Journal
from barray.trading.engine.commands import Plan
from barray.trading.sweeps.parameter_sets import Listed, Sampler, set_key
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
    it was. `fresh` begins anew. Symbols trade with their own capital each. ConfigError where the config holds no
    sweep, or one that can't be run.
    """
    began = perf_counter()
    settings, source = asked_for(strategy, config, parameters)
    run = prepare_sweep(settings, load_calendar, source)
    section, days = run.section, run.session_range.dates
    walking = section.walk_forward
    windows = walk_forward(days, walking.in_sample, walking.out_of_sample, anchored=walking.anchored) if walking else []
    journal = Journal(Path(settings.report.directory), settings.name, _fingerprint(settings, run.plan), fresh=fresh)
    done = {row.key: row for row in journal.rows}
    sampler, wanted = _sampler(run)
    rows: list[SetRow] = []
    timings = {"plan_s": perf_counter() - began}
    from barray.coordinator.sweep import SweepCoordinator

    dropped: dict[str, tuple[str, ...]] = {}
    lost: tuple[str, ...] = ()
    symbols = 0
    with shown(progress) as told, RemoteRun(run, SweepCoordinator, progress=told) as remote:
        prepared = remote.call("begin")
        timings["provision_s"] = perf_counter() - began - timings["plan_s"]
        symbols = len(prepared.symbols)
        size = _OPTUNA_ROUND if section.method == "optuna" else _ROUND
        while len(rows) < wanted and (asked := sampler.ask(min(size, wanted - len(rows)))):
            new = [one for one in asked if set_key(one) not in done]
            if new:
                found = rows_of(remote.call("evaluate", new), len(days))
                journal.add(found)
                done.update({row.key: row for row in found})
            for one in asked:
                row = done[set_key(one)]
                rows.append(row)
                sampler.tell(one, score(row.figures(settings.account.capital * symbols), section.metric))
        timings["evaluate_s"] = perf_counter() - began - sum(timings.values())
        dropped, lost = remote.call("dropped"), remote.call("lost")
        warn_of_loss(lost)
    capital = settings.account.capital * (symbols - len([s for s in prepared.symbols if s in dropped]))
    timings["close_s"] = perf_counter() - began - sum(timings.values())
    return SweepResult(
        name=settings.name,
        strategy=run.plan.source.load().__name__,
        metric=section.metric,
        capital=capital,
        dates=tuple(day.isoformat() for day in days),
        rows=tuple(rows),
        dropped=dropped,
        journal=journal.path,
        walked=tuple(walk(rows, windows, days, capital, section.metric)),
        resumed=sum(1 for row in rows if row.key in journal.resumed),
        timings_s=timings,
        lost=lost,
    )


def _sampler(run: PreparedSweep) -> tuple[Sampler, int]:
    """Who says which sets to try, and how many at most."""
    if run.sets is not None:
        return Listed(run.sets), len(run.sets)
    from barray.trading.sweeps.optuna_sampler import OptunaSampler

    return OptunaSampler(run.space, run.section.seed), run.section.sets


def _fingerprint(config: SessionConfig, plan: Plan) -> str:
    """What two runs must share for one to go on where the other stopped: everything but where and how wide they run."""
    chosen = config.model_dump_json(
        include={"session", "symbols", "history", "sources", "account", "costs", "strategy", "intervals", "indicators"}
    )
    text = "\n".join((chosen, plan.source.text or plan.source.where, plan.form))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
