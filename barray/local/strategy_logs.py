"""Showing what a strategy says while it runs."""

from __future__ import annotations

import sys

from barray.trading.results.logs import Logs

_MOST = 1000


class LogPrinter:
    """Prints lines to standard error as they come, each behind symbol and session time; of a run no more than 1,000."""

    def __init__(self, timezone: str) -> None:
        self._timezone = timezone
        self._printed = self._left_out = 0

    def show(self, logs: Logs, of: str = "") -> None:
        """Print these, as far as there is room. `of`: what they are of, to stand before them."""
        if of and logs.lines and self._printed < _MOST:
            print(f"{of}:", file=sys.stderr)
        shown = logs.first(_MOST - self._printed)
        for line in shown.lines:
            print(line.shown(self._timezone), file=sys.stderr)
        self._printed += len(shown.lines)
        self._left_out += shown.left_out

    def close(self) -> None:
        """Say how many more there were."""
        if self._left_out:
            print(f"… {self._left_out:,} more lines of the strategy; result.logs has what is kept", file=sys.stderr)
