"""Running a command in this process. Imports next to nothing before it does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from barray.cli.shortage import shortage
from barray.data_sources.environment import take_credentials

BAD_USAGE, INTERRUPTED = 2, 130


def run_here(*, alone: bool = False) -> None:
    """Run the command of `sys.argv` in this process, and end it. What it starts gets no credentials. `alone`: nothing
    was imported yet; beside its imports begins what workers will be forked from.
    """
    take_credentials()
    try:
        if alone:
            _begin_early(sys.argv[1:])
        from barray.cli.app import main as run

        run()
    except KeyboardInterrupt:  # during the import; a command handles its own
        print("error: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (ImportError, MemoryError, OSError) as error:
        if (reason := shortage(error)) is None:
            raise
        print(f"error: {reason}", file=sys.stderr)
        sys.exit(BAD_USAGE)


def _begin_early(words: Sequence[str]) -> None:
    """Where a command is one that starts a Ray as a rule, and none is up."""
    elsewhere = any(word.partition("=")[0] in ("--address", "--help") for word in words)
    if words[:1] in (["backtest"], ["run"], ["scan"], ["sweep"]) and not elsewhere:
        from barray.coordinator import runtime
        from barray.local import warm_ray
        from barray.market.errors import BarrayError

        with suppress(BarrayError):  # no safe folder, of which the command tells
            if warm_ray.find() is None:
                runtime.begin_early()
