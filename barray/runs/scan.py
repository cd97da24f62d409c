"""Scans from Python: who is found over a range of sessions."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

from barray.coordinator.config.file import ConfigLike, as_config
from barray.coordinator.prepare_scans import prepare_scan
from barray.coordinator.scan_fleet import PreparedScan
from barray.local.connection import load_calendar
from barray.local.progress import Progress, shown
from barray.market.accounting import require_accounted
from barray.runs.backtest import RemoteRun
from barray.trading.scans.result import ScannedSession, ScanResult


def scan(config: ConfigLike, *, progress: Progress | None = None) -> ScanResult:
    """Run a config's scans over all its sessions; see examples/gappers.yaml and docs/scans.md.

        result = barray.scan("gappers.yaml")
        result.hits, result.history, result.left_out

    A few processes share the universe. A symbol whose bars can't be right is left out of the session with its reason;
    a scan that raises ends for that session. Ray is joined or started as `Session` does it, and everything of it ends
    with the call. ConfigError where the config has no scans, or they can't be meant; NoDataError where there is nothing
    to look at; SourceUnavailable; BarrayError (`unaccounted`) where a session was neither run nor skipped.
    """
    began = perf_counter()
    settings = as_config(config)
    prepared = prepare_scan(settings, load_calendar)
    timings = {"plan_s": perf_counter() - began}
    from barray.coordinator.scan import ScanCoordinator

    with shown(progress) as told, RemoteRun(settings, ScanCoordinator, (prepared,), progress=told) as remote:
        remote.call("begin")
        timings["provision_s"] = perf_counter() - began - timings["plan_s"]
        done: list[ScannedSession | tuple[str, str]] = []
        while (some := remote.call("next_sessions")) is not None:
            done += some
        timings["run_s"] = perf_counter() - began - sum(timings.values())
    return _assemble(prepared, done, timings)


def _assemble(
    prepared: PreparedScan, done: list[ScannedSession | tuple[str, str]], timings: Mapping[str, float]
) -> ScanResult:
    sessions = tuple(one for one in done if isinstance(one, ScannedSession))
    skipped = dict(one for one in done if isinstance(one, tuple))
    dates = [day.isoformat() for day in prepared.session_range.dates]
    require_accounted(set(dates), [one.day.isoformat() for one in sessions], skipped)
    return ScanResult(
        prepared.config.name,
        tuple(plan.name for plan in prepared.plans()),
        tuple(dates),
        sessions,
        skipped,
        prepared.session_range.timezone,
        dict(timings),
    )
