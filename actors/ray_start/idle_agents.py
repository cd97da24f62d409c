"""Raylets whose agents, Python that imports for half a second each, start when they are wanted."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from barray.actors.ray_start import idle_agent

_IDLE_AGENT = [sys.executable, "-IS", str(Path(idle_agent.__file__))]
_DASHBOARD_AGENT, _RUNTIME_ENV_AGENT = "--dashboard_agent_command=", "--runtime_env_agent_command="
_UNUSED_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
_RUNTIME_ENV_PORT = "runtime_env_agent_port"


def with_idle_agents(command: list[str]) -> list[str]:
    """The raylet's command with agents that wait to be wanted; that of the dashboard only where it serves nobody.

    KeyError or OSError if it is not the command expected.
    """
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
