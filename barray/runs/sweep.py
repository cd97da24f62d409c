"""A sweep from Python: many parameter sets of one strategy, the best of them, and how choosing would have fared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from barray.checkpoint.checkpoint import Checkpoint
from barray.checkpoint.keeping import Keeping, keeping
from barray.coordinator.config.file import ConfigLike
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import PreparedSweep, prepare_sweep
from barray.coordinator.strategies import StrategyLike, asked_for
from barray.data_sources.object_store.publish import Place
from barray.data_sources.object_store.store import is_object_uri
from barray.local.connection import load_calendar
from barray.local.progress import Progress, shown
from barray.local.strategy_logs import LogPrinter
from barray.market.errors import ConfigError
from barray.runs.backtest import RemoteRun, made_of_run, warn_of_loss
from barray.sweep_journal import Journal, KeptRows, Rows
from barray.trading.results.logs import NO_LOGS
from barray.trading.strategy.code_digest import code_digest
from barray.trading.strategy.needs import Needs
from barray.trading.sweeps.evaluate import needs_of_all
from barray.trading.sweeps.parameter_sets import Listed, ParameterSet, Sampler, set_key
from barray.trading.sweeps.result import SweepResult
from barray.trading.sweeps.table import SetRow, like_with_like, score, walk
from barray.trading.sweeps.walk_forward import walk_forward

if TYPE_CHECKING:
    from barray.coordinator.backtest import BacktestCoordinator

_MOST_FAILING = 10
"""Sets in error of which it is shown what the strategy said."""
_MOST_LAID = 64
"""Indicators of a portfolio that are there for all sets at once, at 8 bytes a bar and more."""
_ROUND, _OPTUNA_ROUND = 128, 16
"""Sets evaluated before what came of them is written down; optuna learns from it that often."""


def sweep(
    strategy: StrategyLike | ConfigLike | None = None,
    config: ConfigLike | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
    checkpoint: Keeping | Place | None = None,
) -> SweepResult:
    """Evaluate a config's parameter sets on all its symbols and sessions; see examples/sweep.yaml.

    `strategy`, `config` and `parameters` (those that stay the same) as in `barray.backtest`.

    What is done is kept in a journal below `report.directory`: the same sweep, stopped and started again, goes on where
    it was; what was made of other bars or other symbols than there are now is evaluated anew. `fresh` begins anew.
    `checkpoint`: a folder for the journal instead, which one process writes to at a time, and which goes on with this
    very sweep alone; see docs/howto/checkpoints.md. Errors of it as in Checkpoint.
    Symbols trade with their own capital each, unless `account.shared` has them trade with one. Where they share it, and
    where one strategy sees them all, a set's figures are those of the whole portfolio. What stops it carries a note
    that says how far it got. ConfigError where the config holds no sweep, or one that can't be run.
    """
    began = perf_counter()
    settings, source = asked_for(strategy, config, parameters)
    run = prepare_sweep(settings, load_calendar, source)
    section, days = run.section, run.session_range.dates
    walking = section.walk_forward
    windows = walk_forward(days, walking.in_sample, walking.out_of_sample, anchored=walking.anchored) if walking else []
    timings = {"plan_s": perf_counter() - began}
    with (
        shown(progress) as told,
        keeping(checkpoint, "sweep", lambda: made_of_run(run)) as kept,
        _journal(settings, run, checkpoint, kept, fresh=fresh) as journal,
        RemoteRun(
            settings, lambda: _coordinator_for(run), run.arguments, progress=told, patient=kept is not None
        ) as remote,
    ):
        remote.call("begin")
        data = remote.call("load", _needs_of(run, (run.sets or [])[:_ROUND]))
        timings["provision_s"] = perf_counter() - began - timings["plan_s"]
        rows = _evaluated(run, remote, journal, data)
        timings["evaluate_s"] = perf_counter() - began - sum(timings.values())
        dropped, lost = remote.call("dropped"), remote.call("lost")
        warn_of_loss(lost)
        if kept is not None and not lost and not isinstance(checkpoint, Keeping):
            kept.finish()
    made_of = like_with_like(rows)
    capital = _capital(settings, made_of or data)
    resumed, outdated = journal.done(data), journal.outdated(data)
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
        walked=tuple(walk([row for row in rows if row.data == made_of], windows, days, capital, section.metric)),
        resumed=sum(1 for row in rows if row.key in resumed),
        outdated=sum(1 for row in rows if row.key in outdated),
        timings_s=timings,
        lost=lost,
    )


def _coordinator_for(run: PreparedSweep) -> type[BacktestCoordinator]:
    if run.scans is not None:
        from barray.coordinator.scanned_sweep import ScannedSweepCoordinator

        return ScannedSweepCoordinator
    if run.plan.in_windows:
        from barray.coordinator.portfolio_sweep import PortfolioSweepCoordinator

        return PortfolioSweepCoordinator
    from barray.coordinator.sweep import SweepCoordinator

    return SweepCoordinator


@contextmanager
def _journal(
    settings: SessionConfig,
    run: PreparedSweep,
    asked: Keeping | Place | None,
    kept: Checkpoint | None,
    *,
    fresh: bool,
) -> Iterator[Rows]:
    """Where sets are written down that are done; where that is a checkpoint, it is finished if the block ends well."""
    if asked is None or kept is None:
        yield Journal(_journals(settings.report.directory), settings.name, _fingerprint(settings, run), fresh=fresh)
        return
    if fresh and kept.done:
        raise ConfigError("a sweep that begins anew needs a new checkpoint", remedy="give --checkpoint another folder")
    yield KeptRows(asked.place if isinstance(asked, Keeping) else asked, kept)


def _journals(directory: str) -> Path:
    """A local folder for the journal, even where the tables go to an object store: that appends nothing."""
    if not is_object_uri(directory):
        return Path(directory)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "barray" / "sweeps" / hashlib.sha256(directory.encode()).hexdigest()[:12]


def _evaluated(run: PreparedSweep, remote: RemoteRun, journal: Rows, data: Mapping[str, str]) -> list[SetRow]:
    """A row for every set that the sweep tries, in order. `data`: the symbols that there are, and their bars' digests.

    Only what is made of these is written down: not what came after symbols were lost, or bars changed, on the way.
    """
    section = run.section
    sampler, wanted = _sampler(run)
    size = _OPTUNA_ROUND if section.method == "optuna" else _ROUND
    done = journal.done(data)
    rows: list[SetRow] = []
    said = _Said(run.session_range.timezone)
    with _saying_how_far(rows, data, wanted, journal):
        while len(rows) < wanted and (asked := sampler.ask(min(size, wanted - len(rows)))):
            new = [one for one in asked if set_key(one) not in done]
            if new:
                found = said.of(remote.call("evaluate", new, _needs_of(run, new)))
                journal.add([row for row in found if row.data == data])
                done.update({row.key: row for row in found})
            for one in asked:
                row = done[set_key(one)]
                rows.append(row)
                sampler.tell(one, score(row.figures(_capital(run.config, row.data)), section.metric))
    said.printer.close()
    return rows


def _capital(config: SessionConfig, symbols: Collection[str]) -> float:
    """What the accounts of all these symbols begin with, or the one that they share."""
    account = config.account
    return account.capital if account.shared else account.capital * len(symbols)


def _needs_of(run: PreparedSweep, sets: Sequence[ParameterSet]) -> Needs:
    """What is laid out for these sets: with what all others need, too, as long as that is not much."""
    own = needs_of_all(run.plan.source.load(), sets, run.plan.parameters)
    every = own.also(run.needs)
    return every if len(every.indicators) <= _MOST_LAID else own


class _Said:
    """Shows and keeps what the strategy says with the first set, and with the first that are in error."""

    def __init__(self, timezone: str) -> None:
        self.printer = LogPrinter(timezone)
        self._room = _MOST_FAILING
        self._begun = False

    def of(self, rows: Sequence[SetRow]) -> list[SetRow]:
        """The rows, with logs only where these are kept."""
        kept: list[SetRow] = []
        for row in rows:
            keeps = not self._begun or (row.error is not None and self._room > 0)
            self._room -= self._begun and keeps
            self._begun = True
            if keeps:
                self.printer.show(row.logs, f"set {row.key}")
            kept.append(row if keeps else replace(row, logs=NO_LOGS))
        return kept


@contextmanager
def _saying_how_far(rows: Sequence[SetRow], data: Mapping[str, str], wanted: int, journal: Rows) -> Iterator[None]:
    """Give what ends the block early a note of how far it got."""
    try:
        yield
    except BaseException as error:
        kept = sum(1 for row in rows if row.data == data)
        error.add_note(
            f"{kept} of {wanted} sets are done and kept in {journal.where}: the same sweep goes on from there"
        )
        raise


def _sampler(run: PreparedSweep) -> tuple[Sampler, int]:
    """Who says which sets to try, and how many at most."""
    if run.sets is not None:
        return Listed(run.sets), len(run.sets)
    from barray.trading.sweeps.optuna_sampler import OptunaSampler

    return OptunaSampler(run.space, run.section.seed), run.section.sets


def _fingerprint(config: SessionConfig, run: PreparedSweep) -> str:
    """What two runs must share for one to go on where the other stopped: everything but where and how wide they run.

    The bars are not in it: every row says which it was made of.
    """
    chosen = config.model_dump_json(
        include={
            "session",
            "symbols",
            "history",
            "sources",
            "account",
            "costs",
            "strategy",
            "intervals",
            "indicators",
            "tables",
        }
    )
    plan, scans = run.plan, () if run.scans is None else run.scans.scans
    kind = plan.source.load().__qualname__
    digests = code_digest(plan.source), *(scan.digest for scan in scans)
    text = "\n".join((chosen, kind, *digests, plan.form, version("barray")))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
