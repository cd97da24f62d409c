"""Scans from Python: who is found over a range of sessions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from barray.checkpoint.checkpoint import Checkpoint
from barray.checkpoint.keeping import Keeping, keeping
from barray.checkpoint.made_of import Made, code_of_scans, made_of
from barray.coordinator.config.file import ConfigLike, as_config
from barray.coordinator.prepare_scans import prepare_scan
from barray.coordinator.scan_fleet import MOST_AT_ONCE, PreparedScan
from barray.data_sources.object_store.publish import Place
from barray.local.connection import load_calendar
from barray.local.progress import Progress, shown
from barray.market.bars import FloatArray
from barray.runs.backtest import RemoteRun
from barray.trading.scans.forward import ForwardReturns, FoundRows, Horizon, asked_closes, horizons_of
from barray.trading.scans.result import ScannedSession, ScanResult, SessionScanned

if TYPE_CHECKING:
    from barray.coordinator.scan import ScanCoordinator

logger = logging.getLogger("barray")


def scan(
    config: ConfigLike,
    *,
    forward: Sequence[str] = (),
    progress: Progress | None = None,
    checkpoint: Keeping | Place | None = None,
) -> ScanResult:
    """Run a config's scans over all its sessions; see examples/gappers.yaml and docs/scans.md.

        result = barray.scan("gappers.yaml")
        result.hits, result.history, result.left_out
        scan("gappers.yaml", forward=["5m", "30m", "close", "1d"]).forward.by_place

    `forward`: how long after each hit its return is taken, in `result.forward`; see
    barray.trading.scans.forward.Horizon.
    A few processes share the universe. A symbol whose bars can't be right is left out of the session with its reason;
    a scan that raises ends for that session. Ray is joined or started as `Session` does it, and everything of it ends
    with the call. `checkpoint`: a folder in which sessions are written down that are done; the same call goes on there,
    see docs/howto/checkpoints.md. Errors of it as in Checkpoint. ConfigError where the config has no scans, or they
    can't be meant; NoDataError where there is nothing to look at; SourceUnavailable; BarrayError (`unaccounted`) where
    a session was neither run nor skipped.
    """
    began = perf_counter()
    settings = as_config(config)
    horizons = horizons_of(forward)
    prepared = prepare_scan(settings, load_calendar, later=max((one.sessions for one in horizons), default=0))
    timings = {"plan_s": perf_counter() - began}
    with (
        shown(progress) as told,
        keeping(checkpoint, "scan", lambda: _made_of(prepared)) as kept,
        RemoteRun(settings, _coordinator, (prepared,), progress=told, patient=kept is not None) as remote,
    ):
        done: list[SessionScanned] = [
            one for one in (kept.done if kept else ()) if isinstance(one, ScannedSession | tuple)
        ]
        horizons_of(forward, remote.call("begin", tuple(map(_day_of, done))))
        timings["provision_s"] = perf_counter() - began - timings["plan_s"]
        while (some := remote.call("next_sessions")) is not None:
            done += some
            _keep(kept, some)
        timings["run_s"] = perf_counter() - began - sum(timings.values())
        span, names = prepared.session_range, [plan.name for plan in prepared.plans()]
        result = ScanResult.of(settings.name, names, span.dates, span.timezone, done, timings)
        if horizons:
            result = replace(result, forward=_earned(prepared, result, horizons, remote))
        if kept is not None and not isinstance(checkpoint, Keeping):
            kept.finish()
    return result


def _earned(
    prepared: PreparedScan, result: ScanResult, horizons: Sequence[Horizon], remote: RemoteRun
) -> ForwardReturns:
    """What hits earned: the closes are read where the bars are."""
    found = FoundRows.of((one.day, one.kept) for one in result.sessions)
    sessions, later = prepared.session_range.sessions, max(one.sessions for one in horizons)
    asked = asked_closes(found, horizons, sessions, later)
    told: dict[int, dict[str, FloatArray]] = {}
    every = tuple(asked)
    for first in range(0, len(every), MOST_AT_ONCE):
        rows = every[first : first + MOST_AT_ONCE]
        told.update(zip(rows, remote.call("closes", rows, tuple(asked[row] for row in rows)), strict=True))
    return ForwardReturns.of(found, horizons, sessions, asked, told)


def _coordinator() -> type[ScanCoordinator]:
    from barray.coordinator.scan import ScanCoordinator

    return ScanCoordinator


def _made_of(prepared: PreparedScan) -> Made:
    tables = {f"the table {name}": table.digest for name, table in prepared.tables.items()}
    return {**made_of(prepared.config, prepared.session_range, code_of_scans(prepared.scans)), **tables}


def _day_of(one: SessionScanned) -> str:
    return one[0] if isinstance(one, tuple) else one.day.isoformat()


def _keep(kept: Checkpoint | None, outcomes: Sequence[SessionScanned]) -> None:
    """Write sessions down, but those that ask for a user's own indicators: these are functions."""
    for one in outcomes if kept is not None else ():
        try:
            kept.add([one])  # type: ignore[union-attr]
        except TypeError as error:
            logger.warning("%s is not kept: %s", _day_of(one), error)
