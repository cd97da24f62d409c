"""The `barray` command, also `python -m barray`. Imports next to nothing where `barray up` has it imported already."""

from __future__ import annotations

import sys

from barray.local.warm_commands.client import run_warm

INTERRUPTED = 130


def main() -> None:
    """Entry point of the `barray` command."""
    try:
        status = run_warm()
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status is None:
        run_here()
    sys.exit(status)


def run_here() -> None:
    """Run the command of `sys.argv` in this process, and end it."""
    try:
        from barray.cli.app import main as run

        run()
    except KeyboardInterrupt:  # during the import; a command handles its own
        print("error: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
