"""A recorded day, run again: without Ray, from the recording alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from barray.coordinator.config.file import as_config
from barray.coordinator.day_recorder import OF_SCANS
from barray.coordinator.prepare_scans import prepare_scan
from barray.coordinator.scans_again import others_of, run_scans_again
from barray.coordinator.strategies import StrategyLike, trading_in_sessions
from barray.local.connection import load_calendar
from barray.market.errors import ConfigError
from barray.trading.engine.day_again import DayAgain, Others, run_again
from barray.trading.engine.notes import Pages
from barray.trading.engine.recording import Recording, read_recording


def replay_day(path: str | Path, strategy: StrategyLike | None = None) -> DayAgain:
    """Run a recorded live day again, over its bars as they came, and once more over their last versions.

        again = barray.replay_day("out/live-2024-07-02-recording.jsonl")
        again.difference          # None: identical decisions

    The strategy is read anew from where the day's config had it, and runs here, in this process; `strategy` stands in
    its place. Its scans run again, too, over the universe's bars as they came; what they look at of earlier sessions is
    read from the config's sources. ConfigError where there is no such file, strategy or scan, DataError where it is no
    recording, errors of the sources where bars of earlier sessions can't be read.
    """
    source = Path(path)
    try:
        with source.open("rb") as lines:
            recording = read_recording(lines, str(source))
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}", remedy="give a recording of a live session") from error
    if not recording.scanned.universe:
        return _strategy_again(recording, source, strategy, None)
    prepared = prepare_scan(as_config(recording.config).standing_in(str(source)), load_calendar)
    scans = run_scans_again(recording, prepared)
    if not recording.code and strategy is None:
        return DayAgain(Pages(), Pages(), Pages(), False, scans)
    others = others_of(recording, prepared, scans)
    return replace(_strategy_again(recording, source, strategy, others), scans=scans)


def _strategy_again(
    recording: Recording, source: Path, strategy: StrategyLike | None, others: Others | None
) -> DayAgain:
    of_bars = OF_SCANS - {"scans"}  # the strategy has its bars from the recording
    of_strategy = {name: told for name, told in recording.config.items() if name not in of_bars}
    told = {**of_strategy, "session": {**recording.config["session"], "mode": "replay"}}
    named = told.get("strategy") or {}
    if strategy is None and not (named.get("path") or named.get("module")):
        raise ConfigError(
            f"{source} was recorded with a strategy that a program gave", remedy="give it: replay_day(path, strategy)"
        )
    if strategy is not None and named:
        told["strategy"] = {**named, "path": None, "module": None, "class": None}
    _, given = trading_in_sessions({**told, "sources": [{"root": "."}], "intervals": [recording.base]}, strategy)
    if given is None:
        raise ConfigError(f"{source} has no strategy", remedy="give one: replay_day(path, strategy)")
    return run_again(recording, given, others)
