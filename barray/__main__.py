"""The `barray` command, also `python -m barray`. Imports next to nothing where `barray up` has it imported already."""

from __future__ import annotations

import sys

from barray.cli.here import INTERRUPTED, run_here
from barray.warm_commands.client import run_warm


def main() -> None:
    """Entry point of the `barray` command."""
    try:
        status = run_warm()
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status is None:
        run_here(alone=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
