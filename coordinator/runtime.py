"""Starting Ray, joining it and leaving it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barray.coordinator.ray_alive import has_ended, require_ray
from barray.data_sources.environment import without_credentials
from barray.market.errors import SourceUnavailable

_ENVIRONMENT = {
    # Events of tasks, which `actors.options` turns off for each of ours. Without them leaving Ray takes 0.25 s less.
    "RAY_task_events_report_interval_ms": "0",
}
"""Read by Ray's library when it is loaded."""
_LOCAL_ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for laptops: it binds to 127.0.0.1 alone
    # Ray looks through our parent processes for `uv run`, to make workers elsewhere alike: 0.05 s. Ours are, here.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # One start in four the raylet looks for its object store before that listens, and sleeps. As long in all, by less.
    "RAY_raylet_client_connect_timeout_milliseconds": "20",  # default 1000
    "RAY_raylet_client_num_connect_attempts": "500",  # default 10
}


COORDINATORS = (
    "barray.coordinator.session_coordinator",
    "barray.coordinator.backtest",
    "barray.coordinator.portfolio_backtest",
)
"""Imported by the forkserver too: a coordinator's process then starts as fast as a symbol's, 0.3 s of CPU sooner."""

_loaded_for_loopback = False


class BegunForLoopback(BaseException):
    """A process that has called `load_for_loopback` is to join a Ray on other machines: it has to begin anew."""


def load_for_loopback() -> None:
    """Load Ray without starting or joining it, for processes forked from this one: they can join local Rays only."""
    global _loaded_for_loopback  # noqa: PLW0603
    _set_environment({})
    _prefer_loopback()
    _loaded_for_loopback = True


def name_process(title: str) -> None:
    """What `ps` shows for this process, which has loaded Ray."""
    from ray import _raylet

    _raylet.setproctitle(title)  # type: ignore[attr-defined]


def _set_environment(more: Mapping[str, str]) -> None:
    for name, value in {**_ENVIRONMENT, **more}.items():
        os.environ.setdefault(name, value)


def import_ray() -> None:
    """Import Ray with all that it reads then, without its advice to notebooks, on widgets that nothing here shows."""
    _set_environment({})
    logging.getLogger("ray.widgets.util").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray  # noqa: F401


def _prefer_loopback() -> None:
    """Make a Ray started here bind to 127.0.0.1 alone."""
    _set_environment(_LOCAL_ENVIRONMENT)
    import_ray()
    from ray._private import ray_constants

    # read from the environment when ray was imported, which may have been before us
    ray_constants.ENABLE_RAY_CLUSTER = os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "1"


def require_room(metrics_port: int | None = None) -> None:
    """ConfigError where this machine has no room for a Ray, or none that exports metrics: what to do about it."""
    from barray.actors.ray_start import room

    room.require_room()
    if metrics_port is not None:
        room.require_exporter()


@dataclass
class OwnRay:
    """A Ray that this process has started. `folder`: Ray's for it, with its logs."""

    folder: Path
    keep_logs: bool


_own: OwnRay | None = None


def begin_early() -> None:
    """Begin what workers of a Ray are forked from, which takes a second of imports, before this process imports what it
    needs itself to come to `start_ray`.
    """
    from barray.actors.ray_start import early_server

    with suppress(OSError):
        early_server.begin()


def start_ray(
    num_cpus: int | None = None,
    *,
    fork: bool = True,
    preload: Sequence[str] = (),
    keep_logs: bool = False,
    metrics_port: int | None = None,
) -> None:
    """Start Ray in this process, for this process: every listener on loopback, no dashboard, token authentication.

    Its processes get none of the credentials that this one's environment holds. `fork`: its workers are forked from a
    process that has imported our packages and `preload`; see barray.actors.forking. `keep_logs`: when Ray ends.
    `metrics_port`: where it exports metrics; None: nowhere. ConfigError where the machine has no room for it, or the
    packages that export are not installed.
    """
    global _own  # noqa: PLW0603
    require_room(metrics_port)
    _prefer_loopback()
    import ray

    from barray.actors.ray_start.patch import DEFAULT_PRELOAD, altered_ray, own_sigterm

    imported = (*DEFAULT_PRELOAD, *COORDINATORS, *preload) if fork else None
    with without_credentials(), own_sigterm(), altered_ray(imported, lean=True, agent=metrics_port is not None):
        ray.init(
            address="local",  # whatever other Ray this machine runs
            num_cpus=num_cpus,
            num_gpus=0,  # which Ray would look for
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            _metrics_export_port=metrics_port,
        )
    # The autoscaler, if there is one, has nothing to scale on one machine, and would take a second to end.
    node: Any = ray._private.worker._global_node
    node.kill_monitor(check_alive=False)
    _own = OwnRay(Path(node.get_session_dir_path()), keep_logs)
    _close_token()


def _close_token() -> None:
    """Ray 2.60 leaves the token it makes readable by all."""
    with suppress(OSError):
        (Path.home() / ".ray" / "auth_token").chmod(0o600)


def hold_ray(poll_s: float = 0.25) -> None:
    """For the process that holds a local Ray: returns when that has ended."""
    while not has_ended():
        time.sleep(poll_s)


def start_node(arguments: Sequence[str]) -> int:
    """`ray start ARGUMENTS` in this process, the node's workers forked; returns the exit status.

    With `--block` the node has ended by then, and what Ray would have later programs join is forgotten. ConfigError
    where the machine has no room for it.
    """
    from barray.actors.ray_start.patch import forget_current_cluster, ray_start

    _close_token()
    try:
        with without_credentials():
            return ray_start(arguments)
    finally:
        if "--block" in arguments:
            forget_current_cluster(arguments)


def join_ray(address: str) -> None:
    """Join the Ray at `host:port` (or `auto`: one that runs on this machine).

    SourceUnavailable if there is none, BegunForLoopback where it is not here and this process can't join it.
    """
    _set_environment({})
    address = _resolved(address)
    host, _, port = address.rpartition(":")
    if host:
        _require_listener(host, port, address)
    local = address == "auto" or host.startswith("127.")
    if _loaded_for_loopback and not local:
        raise BegunForLoopback
    if local:
        _prefer_loopback()
        from ray._private.authentication import authentication_token_setup

        # a Ray started by `start_ray` asks for this user's token; joining one does not look for it by itself
        logging.getLogger("ray").setLevel(logging.ERROR)
        authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    import_ray()
    import ray

    from barray.actors.ray_start.patch import own_sigterm

    try:
        with own_sigterm():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceUnavailable(
            f"no Ray at {address}: {reason}", remedy="start a session first, or give the address of the cluster"
        ) from error


def _resolved(address: str) -> str:
    """What `auto` means, as far as Ray has left word of it: within a job, or on a node. All else as it is."""
    if address != "auto":
        return address
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    from ray._common.utils import get_ray_address_file

    with suppress(OSError):
        return Path(get_ray_address_file(None)).read_text().strip() or address
    return address


def _require_listener(host: str, port: str, address: str) -> None:
    """Fail at once where nobody listens; Ray itself would try for minutes."""
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            pass
    except (OSError, ValueError) as error:
        raise SourceUnavailable(
            f"no Ray at {address}: {error}", remedy="start a session first, or give the address of the cluster"
        ) from error


def ray_address() -> str:
    """The address of the Ray this process is connected to, `host:port`."""
    import ray

    address: str = ray.get_runtime_context().gcs_address
    return address


def cluster_cpus() -> int:
    """CPUs of all nodes together. BarrayError (`ray_lost`) where Ray is gone, and would not answer for a minute."""
    require_ray()
    from barray.actors import options

    return options.cluster_cpus()


def is_connected() -> bool:
    """Whether this process has started or joined Ray already."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def keep_logs() -> Path | None:
    """Have the Ray that this process started keep its logs when it ends: where they are; None where it started none."""
    if _own is None:
        return None
    _own.keep_logs = True
    return _own.folder / "logs"


def leave_ray() -> None:
    """Leave Ray; one that this process started ends, with everything in it, and its files go."""
    global _own
    ray = sys.modules.get("ray")
    shutdown = getattr(ray, "shutdown", None)  # not there yet if Ctrl-C came while ray was imported
    own, _own = _own, None
    if own is not None:
        from barray.actors.ray_start.lean_node import end_control_store

        end_control_store()
    if shutdown is not None:
        shutdown()
    if own is not None:
        from barray.actors.ray_start import leftovers

        if not own.keep_logs:
            leftovers.remove(own.folder)
        leftovers.sweep(own.folder.parent, time.time())


def prewarm() -> None:
    """Have a first worker started, without waiting: its forkserver then imports while other things are done here."""
    from barray.actors import options

    options.start_idle_worker()
