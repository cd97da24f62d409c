"""A recorded day, run again: without Ray, from the recording alone."""

from __future__ import annotations

from pathlib import Path

from barray.coordinator.strategies import StrategyLike, trading_in_sessions
from barray.market.errors import ConfigError
from barray.trading.engine.day_again import DayAgain, run_again
from barray.trading.engine.recording import read_recording


def replay_day(path: str | Path, strategy: StrategyLike | None = None) -> DayAgain:
    """Run a recorded live day again, over its bars as they came, and once more over their last versions.

        again = barray.replay_day("out/live-2024-07-02-recording.jsonl")
        again.difference          # None: identical decisions

    The strategy is read anew from where the day's config had it, and runs here, in this process; `strategy` stands in
    its place. ConfigError where there is no such file or strategy, DataError where it is no recording.
    """
    source = Path(path)
    try:
        with source.open("rb") as lines:
            recording = read_recording(lines, str(source))
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}", remedy="give a recording of a live session") from error
    told = {**recording.config, "session": {**recording.config["session"], "mode": "replay"}}
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
    return run_again(recording, given)
