"""A backtest from Python: one call, from a configuration to its result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from barray.checkpoint.keeping import PATIENCE_S, Keeping, keeping
from barray.checkpoint.made_of import Made, code_of_scans, made_of
from barray.coordinator import runtime
from barray.coordinator.config.file import ConfigLike
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import PreparedRun, prepare_run
from barray.coordinator.remote import Remote, new_coordinator
from barray.coordinator.scan_fleet import PreparedScan
from barray.coordinator.steps import Stepped
from barray.coordinator.strategies import StrategyLike, asked_for
from barray.data_sources.object_store.publish import Place
from barray.local.connection import ensure_ray, hand_over_credentials, load_calendar
from barray.local.progress import Progress, shown
from barray.local.strategy_logs import LogPrinter
from barray.market.bars import FloatArray
from barray.market.errors import ConfigError, shorten
from barray.runs.earlier import Earlier
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.logs import NO_LOGS, Logs
from barray.trading.results.result import SymbolResult
from barray.trading.results.totals import require_all_sessions, require_orders
from barray.trading.scans.result import ScannedSession, ScanResult, SessionScanned
from barray.trading.strategy.code_digest import code_digest

if TYPE_CHECKING:
    from barray.coordinator.backtest import BacktestCoordinator, Prepared

drop_logger = logging.getLogger("barray.dropped")
_POLL_S = 0.1
_TEARDOWN_S = 30.0


def backtest(
    strategy: StrategyLike | ConfigLike | None = None,
    config: ConfigLike | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    checkpoint: Keeping | Place | None = None,
) -> BacktestResult:
    """Run a strategy over all of a config's symbols and sessions; see examples/sma_cross.yaml.

        result = barray.backtest(SmaCross, "session.yaml", parameters={"fast": 5})
        result = barray.backtest("session.yaml")  # which names its strategy itself
        result.trades, result.equity, result.stats

    `strategy`: a class, from a script, a notebook's cell or a module (see ClassSource for how it travels), an object of
    one, or the path of a file. `config`: a path, a mapping or a SessionConfig; what it has under strategy (`form`,
    `window`, `parameters`) holds for a strategy given here too, and `parameters` go before it.

    Ray is joined or started as `Session` does it, and everything of it ends with the call, also after an error.
    `progress` hears the status about ten times a second; in a notebook it is shown by itself. What the strategy prints
    and logs is shown on standard error, with symbol and session time, as symbols are done; `result.logs` keeps it.
    `checkpoint`: a folder in which what is done is written down; the same call goes on there, whatever died, see
    docs/howto/checkpoints.md. ConfigError where the config or the strategy can't be meant, ValidationFailed where no
    symbol can run, errors of the checkpoint as in Checkpoint. BarrayError (`unaccounted`) where a symbol's session was
    neither run nor left out with a reason.
    """
    given = partial(backtested, strategy, config, parameters=parameters, progress=progress)
    with given(checkpoint=checkpoint) as (result, _):
        return result


@contextmanager
def backtested(
    strategy: StrategyLike | ConfigLike | None = None,
    config: ConfigLike | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], object] | None = None,
    checkpoint: Keeping | Place | None = None,
) -> Iterator[tuple[BacktestResult, PreparedRun]]:
    """The same for a block that goes on with the result, and what was run: what is left of Ray ends side by side with
    it, and with it.

    `meanwhile` is called once, while the first processes start: time for what the block is going to need. ConfigError
    and others as in `backtest`.
    """
    began = perf_counter()
    settings, source = asked_for(strategy, config, parameters)
    run = prepare_run(settings, load_calendar, source)
    timings = {"plan_s": perf_counter() - began}
    if run.scans is not None and checkpoint is not None:
        _require_kept(run.scans)
    with (
        shown(progress) as told,
        keeping(checkpoint, "backtest", lambda: made_of_run(run)) as kept,
        RemoteRun(
            settings, lambda: _coordinator_for(run), run.arguments, progress=told, patient=kept is not None
        ) as remote,
    ):
        timings["connect_s"] = perf_counter() - began - timings["plan_s"]
        earlier = Earlier.of(kept)
        prepared = remote.call("begin", tuple(earlier.results), meanwhile=meanwhile)
        timings["provision_s"] = perf_counter() - began - sum(timings.values())
        if earlier.steps:
            remote.call("take_up", earlier.steps, earlier.state_bytes())
        remote.call("start", prepared.grid_interval, kept is not None)
        results, said, scanned = _collect(remote, run, earlier)
        dropped, lost, error, events = (remote.call(asked) for asked in ("dropped", "lost", "error", "events"))
        warn_of_loss(lost)
        timings["run_s"] = perf_counter() - began - sum(timings.values())
        remote.close_beside()
        result = _assemble(run, prepared, results, dropped, lost, error, timings)
        every = (said, *(one.logs for one in result.symbols.values()))
        found = _scanned(run, scanned) if run.scans is not None else None
        result = replace(result, logs=Logs.together(every), events=events, scanned=found)
        require_orders(result)
        yield result, run
        if kept is not None and not lost:
            kept.finish()


def _coordinator_for(run: PreparedRun) -> type[BacktestCoordinator]:
    if run.scans is not None:
        from barray.coordinator.scanned_backtest import ScannedBacktestCoordinator

        return ScannedBacktestCoordinator
    if run.plan.in_windows:
        from barray.coordinator.portfolio_backtest import PortfolioBacktestCoordinator

        return PortfolioBacktestCoordinator
    from barray.coordinator.backtest import BacktestCoordinator

    return BacktestCoordinator


def _require_kept(scans: PreparedScan) -> None:
    own = [(plan.name, spec.key) for plan in scans.plans() for spec in plan.carry if spec.own]
    for name, key in own:
        raise ConfigError(
            f"a checkpoint can't hold what the scan {name} carries: {key} is your own function",
            remedy="carry indicators by their names, or leave --checkpoint out",
        )


def warn_of_loss(lost: Sequence[str]) -> None:
    """Log that a run is degraded, where it is; the command line says it itself."""
    if lost:
        drop_logger.warning("degraded: the machine failed, and lost %s", shorten(", ".join(lost), 200))


def made_of_run(run: PreparedRun) -> Made:
    """What a checkpoint of it must be of."""
    code = {"the strategy": code_digest(run.plan.source)} | code_of_scans(run.scans.scans if run.scans else ())
    tables = {f"the table {name}": table.digest for name, table in run.tables.items()}
    return {**made_of(run.config, run.session_range, code), **tables}


def _collect(
    remote: RemoteRun, run: PreparedRun, earlier: Earlier
) -> tuple[dict[str, SymbolResult], Logs, list[SessionScanned]]:
    """All results by symbol, what a strategy over all symbols said, and what scans found by session; what is said is
    shown as it comes.
    """
    results: dict[str, SymbolResult] = dict(earlier.results)
    scanned: list[SessionScanned] = []
    said = NO_LOGS
    printer = LogPrinter(run.session_range.timezone)
    while (done := remote.call("next_results")) is not None:
        earlier.keep(done, by_symbol=not run.plan.in_windows)
        for one in done:
            if isinstance(one, Stepped):
                continue
            if isinstance(one, Logs):
                said = Logs.together((said, one))
                printer.show(one)
            elif isinstance(one, ScannedSession | tuple):
                scanned.append(one)
            else:
                results[one.symbol] = one
                printer.show(one.logs)
    printer.close()
    return results, said, scanned


def _scanned(run: PreparedRun, done: list[SessionScanned]) -> ScanResult:
    names = [plan.name for plan in run.scans.plans()] if run.scans is not None else ()
    return ScanResult.of(run.config.name, names, run.session_range.dates, run.session_range.timezone, done, {})


class RemoteRun:
    """A coordinator, from its start to everything's end. `kind`: says of which class, once Ray is up: what workers are
    forked from takes longer to be ready than that to be imported. `arguments`: what it is made with, beside the config.
    `progress` hears its status while it works. `patient`: one of that name may be about to end, its driver dead.
    """

    def __init__(
        self,
        config: SessionConfig,
        kind: Callable[[], type],
        arguments: Sequence[Any],
        *,
        progress: Progress | None = None,
        patient: bool = False,
    ) -> None:
        self._config = config
        self._kind = kind
        self._arguments = tuple(arguments)
        self._progress = progress
        self._patience_s = PATIENCE_S if patient else 0.0
        self._connected = False
        self._remote: Remote | None = None
        self._closing: Future[None] | None = None

    def __enter__(self) -> Self:
        try:
            if not runtime.is_connected():
                self._connected = True
                ensure_ray(self._config)
            name, silence_s = self._config.name, self._config.actors.call_timeout_s
            self._remote = new_coordinator(
                name, self._kind(), self._config, *self._arguments, silence_s=silence_s, patience_s=self._patience_s
            )
            hand_over_credentials(self._config, self._remote)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closing is None:
            self._close()
        else:
            self._closing.result()

    def call(self, method: str, *arguments: Any, meanwhile: Callable[[], object] | None = None) -> Any:
        """Call the coordinator and wait; call `meanwhile` before waiting."""
        if self._remote is None:
            raise RuntimeError("not entered")
        reference = self._remote.submit(method, *arguments)
        if meanwhile is not None:
            meanwhile()
        if self._progress is None:
            return self._remote.wait(reference)
        while True:
            with suppress(TimeoutError):
                return self._remote.wait(reference, _POLL_S)
            self._progress(self._remote.call("status"))

    def close_beside(self) -> None:
        """Begin to end everything, side by side with what the caller does next; the block's end waits for it."""
        executor = ThreadPoolExecutor(1)
        self._closing = executor.submit(self._close)
        executor.shutdown(wait=False)

    def _close(self) -> None:
        if self._remote is not None:
            with suppress(Exception):  # it may be gone or hang; killing it ends its processes too
                self._remote.call("teardown", timeout_s=_TEARDOWN_S)
            with suppress(Exception):
                self._remote.kill()
            self._remote = None
        if self._connected:
            self._connected = False
            runtime.leave_ray()


def _assemble(
    run: PreparedRun,
    prepared: Prepared,
    results: Mapping[str, SymbolResult],
    dropped: Mapping[str, tuple[str, ...]],
    lost: tuple[str, ...],
    error: str | None,
    timings: Mapping[str, float],
) -> BacktestResult:
    config, plan, session_range = run.config, run.plan, run.session_range
    grid_ns, grid_session = session_range.grid(prepared.grid_interval)
    ordered = {symbol: results[symbol] for symbol in sorted(results)}
    capital = config.account.capital
    total: FloatArray = np.full(len(grid_ns), capital if plan.shared else 0.0)
    for result in ordered.values():
        total += result.equity
    settings = config.model_dump(mode="json", by_alias=True, include={"account", "costs", "session", "history"})
    if run.tables:
        read = {name: {"rows": len(table), "digest": table.digest} for name, table in run.tables.items()}
        settings["tables"] = {n: {**section.model_dump(mode="json"), **read[n]} for n, section in config.tables.items()}
    whole = BacktestResult(
        name=config.name,
        strategy=plan.source.load().__name__,
        source=plan.source.where,
        form=plan.form,
        parameters=plan.parameters,
        settings=settings,
        calendar=session_range.calendar,
        timezone=session_range.timezone,
        base_interval=str(prepared.grid_interval),
        dates=tuple(day.isoformat() for day in session_range.dates),
        grid_ns=grid_ns,
        grid_session=grid_session.astype(np.int32),
        symbols=ordered,
        dropped=dict(dropped),
        capital=capital if plan.shared else capital * len(ordered),
        account_equity=total,
        shared=plan.shared,
        error=error,
        step0={symbol: prepared.step0[symbol] for symbol in sorted(prepared.step0)},
        timings_s=dict(timings),
        lost=lost,
    )
    require_all_sessions(config.symbols, whole)
    return whole
