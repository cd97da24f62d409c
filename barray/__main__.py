"""The `barray` command, also `python -m barray`. Imports next to nothing where `barray up` has it imported already."""

from __future__ import annotations

import sys

from barray.warm_commands.client import run_warm


def main() -> None:
    """Entry point of the `barray` command."""
    try:
        status = run_warm()
        if status is None:
            from barray.cli import main as run_here

            run_here()
    except KeyboardInterrupt:  # while this imports; a command handles its own
        print("error: interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
