"""Running a command in this process. Imports next to nothing before it does."""

from __future__ import annotations

import sys

from barray.cli.shortage import shortage
from barray.data_sources.environment import take_credentials

BAD_USAGE, INTERRUPTED = 2, 130


def run_here() -> None:
    """Run the command of `sys.argv` in this process, and end it. What it starts gets no credentials."""
    take_credentials()
    try:
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
