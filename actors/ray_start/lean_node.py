"""The Ray of one machine without what serves clusters and dashboards.

Ray 2.60 starts eight processes, five of them Python that imports for half a second each, and waits for one after the
other. Of those a session on one machine needs the control store and the raylet.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray._private import ray_constants, worker
from ray._private.node import Node

_ALIVE = 0
_POLL_S, _START_S = 0.01, 30.0


class LeanNode(Node):
    """A head node with no autoscaler, dashboard and log monitor, that notices at once when its raylet is up."""

    def start_monitor(self) -> None:
        """There is nothing to scale on one machine."""

    def start_log_monitor(self) -> None:
        """Nobody follows the workers' logs: `log_to_driver` is off."""

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """With the dashboard off, it would only report usage."""
        self._webui_url = ""

    def start_ray_processes(self) -> None:
        """Ray would look for the raylet once a second."""
        super().start_ray_processes()  # type: ignore[no-untyped-call]
        raylet = self.all_processes["raylet"][0].process
        end_s = time.monotonic() + _START_S
        while not self._is_up() and raylet.poll() is None and time.monotonic() < end_s:
            time.sleep(_POLL_S)

    def end_control_store(self) -> None:
        """Kill it, and nothing else."""
        self._kill_process_type(ray_constants.PROCESS_TYPE_GCS_SERVER, check_alive=False)

    def kill_all_processes(self, check_alive: bool = True, allow_graceful: bool = False, wait: bool = False) -> None:
        """Without its control store a raylet does not end by itself: it is killed, and what it started after it."""
        graceful = allow_graceful and ray_constants.PROCESS_TYPE_GCS_SERVER in self.all_processes
        raylets = self.all_processes.get(ray_constants.PROCESS_TYPE_RAYLET, ())
        children = [] if graceful else [child for raylet in raylets for child in _children(raylet.process.pid)]
        super().kill_all_processes(check_alive, graceful, wait)
        for child in children:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(child, signal.SIGKILL)
            os.close(child)

    def _is_up(self) -> bool:
        return any(node.state == _ALIVE for node in self.get_gcs_client().get_all_node_info().values())  # type: ignore[no-untyped-call]


def _children(pid: int) -> Iterator[int]:
    """Of any of its threads, as pidfds."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in path.read_text().split():
                yield os.pidfd_open(int(child))


def end_control_store() -> None:
    """Before Ray is left, where this process holds a `LeanNode`: end the control store, and no other process.

    While it runs it tells a driver of its own leaving, which then asks for more when nobody waits for an answer any
    more: the socket of that question stays open for good (Ray 2.60). It also takes longer.
    """
    node: Any = worker._global_node
    if isinstance(node, LeanNode):
        worker.disconnect()  # type: ignore[no-untyped-call]
        node.end_control_store()
