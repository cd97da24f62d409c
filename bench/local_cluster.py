"""Clusters of this machine's own, for measurements: so many raylets, or an autoscaler that adds and removes them.

Ray's AutoscalingCluster would do, but that it runs `ray stop --force`, which ends every Ray on the machine.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_MARK = "BARRAY_LOCAL_CLUSTER"
_HEAD = f"{'f' * 51}00000"
_HEAD_TYPE = "ray.head.default"  # as the provider has it
_STORE = 80_000_000
_ROOT = Path(__file__).parents[1]
_START_S = 120.0
LIGHT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "f" * 64,
    "RAY_USAGE_STATS_ENABLED": "0",
    "BARRAY_COLD": "1",
}
"""What is in the environment of every process of such a cluster, and of those that join it."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""And of the autoscaler's."""


@dataclass(frozen=True)
class LocalCluster:
    """One that runs. `config`: the autoscaler's file, where there is one, which it reads again and again."""

    address: str
    config: Path

    def resize(self, most: int) -> None:
        """Have the autoscaler keep no more workers than that."""
        told = json.loads(self.config.read_text())
        told["max_workers"] = told["available_node_types"]["worker"]["max_workers"] = most
        told["available_node_types"]["worker"]["min_workers"] = min(
            told["available_node_types"]["worker"]["min_workers"], most
        )
        whole = self.config.with_suffix(".new")
        whole.write_text(json.dumps(told))
        whole.replace(self.config)


@contextmanager
def autoscaling(folder: Path, *, least: int, most: int, idle_s: float = 10.0) -> Iterator[LocalCluster]:
    """A head without CPUs, and from `least` to `most` workers of one CPU, as its autoscaler sees fit."""
    port = _free_port()
    config = folder / "autoscaler.json"
    config.write_text(json.dumps(_autoscaler(port, least, most, idle_s)))
    more = {
        "RAY_enable_autoscaler_v2": "1",
        "RAY_FAKE_CLUSTER": "1",
        **LOOPBACK,
        "RAY_CLOUD_INSTANCE_ID": _HEAD,
        "RAY_NODE_TYPE_NAME": _HEAD_TYPE,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "PYTHONPATH": str(_ROOT),
    }
    with _head(folder, port, more, f"--autoscaling-config={config}"):
        yield LocalCluster(f"127.0.0.1:{port}", config)


@contextmanager
def nodes(count: int, shards: Path | None = None) -> Iterator[str]:
    """A head without CPUs and so many workers of one: its address. They are this process's, which is to have LIGHT.

    `shards`: a folder in which each keeps copies of its own, as machines do.
    """
    from ray.cluster_utils import Cluster

    from barray.actors.ray_start.patch import altered_ray

    with altered_ray():
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE}
        cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        for number in range(count):
            own = {"BARRAY_SHARDS": str(shards / str(number))} if shards else {}
            cluster.add_node(num_cpus=1, object_store_memory=_STORE, env_vars=own, node_name=f"worker-{number}")
    try:
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        for node in cluster.list_all_nodes()[::-1]:  # the head last
            cluster.remove_node(node, allow_graceful=False)


@contextmanager
def _head(folder: Path, port: int, more: Mapping[str, str], *options: str) -> Iterator[None]:
    try:
        words = ("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", *options)
        process = _node(folder, more, *words)
        end_s = time.monotonic() + _START_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end_s:
                raise SystemExit((folder / "nodes.log").read_text()[-3000:])
            time.sleep(0.1)
        yield
    finally:
        _end(folder)


def _node(folder: Path, more: Mapping[str, str], *options: str) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**own, **LIGHT, **more, _MARK: str(folder), "RAY_TMPDIR": str(folder)}
    fixed = ("--node-ip-address=127.0.0.1", f"--object-store-memory={_STORE}", "--block")
    command = [sys.executable, "-m", "barray", "node", "start", *options, *fixed]
    with (folder / "nodes.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=_ROOT)


def _end(folder: Path) -> None:
    """End every process of the cluster, who has its mark."""
    for _ in range(3):  # what one has just started
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == str(folder):
                    process.kill()
        time.sleep(0.2)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _free_port() -> int:
    """One that Ray doesn't give its workers (10002 to 19999)."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = int(found.getsockname()[1])
        if port > 20_000:
            return port


def _autoscaler(port: int, least: int, most: int, idle_s: float) -> dict[str, Any]:
    worker = {"resources": {"CPU": 1, "object_store_memory": _STORE}, "node_config": {}, "labels": {"zone": "local"}}
    provider = {
        "type": "external",
        "module": "bench.local_provider.LocalProvider",
        "launch_multiple": True,
        "head_node_id": _HEAD,
        "gcs_address": f"127.0.0.1:{port}",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    lists = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {
        "cluster_name": "local",
        "max_workers": most,
        "idle_timeout_minutes": idle_s / 60,
        "upscaling_speed": 10.0,
        "provider": provider,
        "available_node_types": {
            _HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {**worker, "min_workers": least, "max_workers": most},
        },
        "head_node_type": _HEAD_TYPE,
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in lists},
    }
