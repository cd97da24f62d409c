"""The Ray of one machine without what serves clusters and dashboards.

Ray 2.60 starts eight processes, five of them Python that imports for half a second each, and waits for one after the
other. Of those a session on one machine needs the control store and the raylet.
"""

from __future__ import annotations

import time

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

    def _is_up(self) -> bool:
        return any(node.state == _ALIVE for node in self.get_gcs_client().get_all_node_info().values())  # type: ignore[no-untyped-call]
