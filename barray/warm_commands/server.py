"""Imports what commands need, once; then forks a process for each command that `client` hands over.

Run as a process of its own by what holds a warm Ray, with a pipe from that as standard input: it ends with its holder.
It never connects to Ray, and has one thread. Only this user can reach its socket.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from barray.actors.forking.handshake import SERVER_ENVIRONMENT
from barray.actors.forking.loaded_code import LoadedCode
from barray.actors.forking.request import Request
from barray.actors.forking.safety import draw_alike, keep_pages_shared, thread_count
from barray.actors.forking.server import Server, log
from barray.cli.here import run_here
from barray.coordinator import runtime
from barray.data_sources.environment import WITH_TAKEN, take_credentials
from barray.local.user_folder import notes_folder
from barray.warm_commands.client import COLD, SOCKET
from barray.warm_commands.origin import Origin, difference, origin

_HOLDER = 0
_MODULES = (
    *("typer", "rich.console", "rich.markup", "rich.progress", "rich.table", "rich._emoji_codes", "orjson"),
    *("pyarrow.parquet", "pyarrow.compute", "pyarrow.json", "pydantic.v1", "pydantic.deprecated.class_validators"),
    # What Ray imports as it connects, and NumPy in its first `unique`: 15 ms.
    *("ray._common.usage.usage_lib", "ray._common.pydantic_compat", "ray._private.arrow_serialization"),
    "numpy.ma",
    *(
        "barray.market.talib_light",
        "barray.coordinator.config.file",
        "barray.coordinator.config.unused",
        "barray.coordinator.portfolio_backtest",
        "barray.coordinator.session_coordinator",
        "barray.actors.options",
        "barray.actors.handles",
        "barray.actors.ray_start.patch",
    ),
    *(
        "barray.runs.backtest",
        "barray.report.files",
        "barray.trading.results.numbers",
        "barray.trading.results.tables",
        "barray.session",
        "barray.check",
    ),
    *(
        "barray.runs.sweep",
        "barray.report.sweep_page",
        "barray.analysis",
        "barray.dump.validate",
        "barray.dump.violations",
    ),
)
"""Not `barray.cli.app`, which looks at the terminal when it is imported."""
_FAREWELL_S = 5.0


class CommandRules:
    """Which commands are forked: those of processes like this one, while its code is as it was imported.

    `ours`, `code`: this process before it imported anything, and what it has imported.
    """

    def __init__(self, ours: Origin, code: LoadedCode) -> None:
        self._origin, self._code = ours, code
        self.begins_anew = False

    def objection(self, request: Request) -> str | None:
        """Why this command should run by itself, if it should."""
        if reason := difference(self._origin, request.more["origin"]):
            return reason
        if self._code.has_changed():
            self.begins_anew = True
            return "the code has changed since"
        return None

    def is_over(self, *, asked: bool) -> bool:
        """Whether another is needed, with the code of now."""
        return self.begins_anew


def run_command(request: Request) -> NoReturn:
    """Run the command in this forked process, to its end."""
    sys.argv, sys.path[:], sys.orig_argv[:] = request.argv, request.more["path"], request.more["orig_argv"]
    for stream, target in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.reconfigure(line_buffering=target == 2 or os.isatty(target))  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runtime.name_process(" ".join(["barray", *request.argv[1:]]))
    try:
        run_here()
    except runtime.BegunForLoopback:
        os.execve(sys.executable, sys.orig_argv, {**WITH_TAKEN, COLD: "1"})  # noqa: S606
    sys.exit()


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    return listener


def main() -> None:
    """Import, serve; in each forked child, run the command. Begins anew where the code has changed."""
    began_ns = time.time_ns()
    take_credentials()  # each command brings its own
    environment, ours = dict(os.environ), origin()
    os.environb.update(SERVER_ENVIRONMENT)
    gc.disable()
    runtime.load_for_loopback()
    for name in _MODULES:
        importlib.import_module(name)
    keep_pages_shared()
    if thread_count() != 1 or draw_alike():
        log("commands: no fork is safe: an import has started a thread or drawn ids of Ray")
        return
    rules, path = CommandRules(ours, LoadedCode(began_ns)), notes_folder() / SOCKET
    server = Server(str(path), _listen(path), _HOLDER, rules, dict(os.environb), attended=True, farewell_s=_FAREWELL_S)
    if (request := server.serve()) is not None:
        run_command(request)
    server.close()
    if rules.begins_anew and server.is_held:
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606


if __name__ == "__main__":
    main()
