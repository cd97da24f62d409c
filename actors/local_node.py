"""The Ray of one machine without what serves clusters and dashboards; see `lean_node`.

Ray 2.60 starts eight processes, five of them Python that imports for half a second each, and waits for one after the
other. Of those a session on one machine needs the control store and the raylet.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray._private.node
from ray._private import services
from ray._private.node import Node

from barray.actors import idle_agent
from barray.actors.forkserver import objection

_IDLE_AGENT = [sys.executable, "-IS", str(Path(idle_agent.__file__))]
_DASHBOARD_AGENT, _RUNTIME_ENV_AGENT = "--dashboard_agent_command=", "--runtime_env_agent_command="
_UNUSED_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
_RUNTIME_ENV_PORT = "runtime_env_agent_port"
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


@contextlib.contextmanager
def lean_node() -> Iterator[None]:
    """A Ray started within, by `ray.init`, is a `LeanNode`, and its raylet's agents are `idle_agent`s.

    Where that is not known to work, it is Ray's own.
    """
    if objection():
        yield
        return
    start: Callable[..., Any] = services.start_ray_process

    def start_with_idle_agents(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        return start(with_idle_agents(command) if process_type == "raylet" else command, process_type, *args, **kwargs)

    node = ray._private.node
    services.start_ray_process, node.Node = start_with_idle_agents, LeanNode  # type: ignore[misc]
    try:
        yield
    finally:
        services.start_ray_process, node.Node = start, Node  # type: ignore[misc]


def with_idle_agents(command: list[str]) -> list[str]:
    """The raylet's command with agents that wait to be wanted; that of the dashboard only where it serves nobody."""
    options = dict(argument.partition("=")[::2] for argument in command)
    folder, node_id = options["--session_dir"], options["--node_id"]
    return [_idle(argument, folder, node_id, options["--node_ip_address"]) for argument in command]


def _idle(argument: str, folder: str, node_id: str, host: str) -> str:
    if argument.startswith(_RUNTIME_ENV_AGENT):
        words = shlex.split(argument.removeprefix(_RUNTIME_ENV_AGENT))
        file = f"{folder}/{_RUNTIME_ENV_PORT}_{node_id}"
        return _RUNTIME_ENV_AGENT + subprocess.list2cmdline([*_IDLE_AGENT, file, host, *words])
    if argument.startswith(_DASHBOARD_AGENT) and "--minimal" in shlex.split(argument):
        for name in _UNUSED_PORTS:
            idle_agent.write_port(f"{folder}/{name}_{node_id}", -1)
        return _DASHBOARD_AGENT + subprocess.list2cmdline(_IDLE_AGENT)
    return argument
