"""The files in deploy/ and cluster.yaml: what their schemas say of them, and their commands, run as they stand there.

Not run here: what needs another machine (ssh, pip, apt, docker, kubectl), and `ray stop`, which would end others' Rays.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
import yaml
from ray.util import get_node_ip_address

from barray.sample.universe import write_sample_data
from tests.sessions import family, wait_until
from tests.shared_data import SHARED
from tests.vendors.s3_server import free_port

ROOT = Path(__file__).parents[2]
KUBERAY = sorted((ROOT / "deploy/kuberay").glob("*.yaml"))
RAY_UP = [ROOT / "cluster.yaml", *sorted((ROOT / "deploy/ray_up").glob("*.yaml"))]
LIGHT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def pods(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Templates of the head and of each group of workers."""
    cluster = spec.get("rayClusterSpec", spec)
    yield cluster["headGroupSpec"]["template"]
    yield from (group["template"] for group in cluster["workerGroupSpecs"])


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_kuberay_s_schemas_accept_the_manifests(path: Path) -> None:
    for document in documents(path):
        if document["kind"] == "ConfigMap":
            continue
        schema = SHARED / f"specs/kuberay-{document['kind'].lower()}-v1.schema.json"
        if not schema.exists():
            pytest.skip(f"{schema} is not there")
        known = json.loads(schema.read_text())
        jsonschema.validate(document, known)
        assert not unknown(document["spec"], known["properties"]["spec"], "spec")
        document["spec"]["authOptions"] = {"mode": "none"}
        document["spec"].setdefault("rayClusterSpec", {})["authOptions"] = {"mode": "none"}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, known)


def unknown(found: Any, schema: dict[str, Any], place: str) -> list[str]:
    """Keys that a schema does not name: a misspelt one is valid, and means nothing."""
    if isinstance(found, list):
        return [name for one in found for name in unknown(one, schema.get("items", {}), place)]
    if not isinstance(found, dict) or "properties" not in schema:
        return []
    own = schema["properties"]
    return [f"{place}.{name}" for name in found if name not in own] + [
        name for key, value in found.items() for name in unknown(value, own.get(key, {}), f"{place}.{key}")
    ]


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_tokens_are_asked_for_the_head_is_kept_free_and_workers_are_forked(path: Path) -> None:
    [spec] = [document["spec"] for document in documents(path) if document["kind"].startswith("Ray")]
    cluster = spec.get("rayClusterSpec", spec)
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for pod in pods(spec):
        assert pod["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
        assert "barray node start" in pod["spec"]["containers"][0]["args"][0]


@pytest.mark.long
@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_ray_up_accepts_the_cluster_files(path: Path) -> None:
    """In a process of its own: Ray's validator imports half of Ray."""
    code = (
        "import sys, yaml; from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "config = prepare_config(yaml.safe_load(open(sys.argv[1])))\n"
        "validate_config(config); print(config['cluster_name'])\n"
        "config['provider'] = 3\n"
        "try: validate_config(config)\n"
        "except Exception: print('refused')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout.split() == ["barray", "refused"], result.stderr


def test_the_image_holds_the_wheel_and_what_it_needs_alone() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert copied == [["constraints.txt", "dist/barray-*.whl"]]
    assert "USER barray" in lines


def environment_of(folder: Path) -> dict[str, str]:
    """That of a machine of its own: `~/barray-venv`, a token, `barray` and `python` on the path."""
    home = folder / "home"
    (home / ".ray").mkdir(parents=True)
    (home / "barray-venv").symlink_to(sys.prefix)
    (home / ".ray/auth_token").write_text("f" * 64)
    kept = ("RAY_AUTH_MODE", "RAY_TMPDIR")  # others are this process's own: for loopback alone, where it has loaded Ray
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") or name in kept}
    return {**own, **LIGHT, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """A node for as long as the block lasts; it and all it started are ended."""
    with log.open("wb") as output:
        node = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield psutil.Process(node.pid)
    finally:
        members = family(node.pid) if node.poll() is None else []
        node.terminate()
        node.wait(60)
        _, alive = psutil.wait_procs(members, timeout=30)
        for process in alive:
            process.kill()


JOINED = """
import ray, time
ray.init(log_to_driver=False)
end = time.monotonic() + 120
while ray.cluster_resources().get("CPU", 0) < 2:
    assert time.monotonic() < end, "no worker has joined"
    time.sleep(0.5)
"""


@pytest.mark.ray
def test_the_rayjob_runs_on_nodes_started_as_its_pods_are(tmp_path: Path) -> None:
    """KubeRay's part is played by hand: the command that it generates, and the address that it tells a job."""
    environment = environment_of(tmp_path)
    config_map, job = documents(ROOT / "deploy/kuberay/rayjob.yaml")
    head, worker = (pod["spec"]["containers"][0] for pod in pods(job["spec"]))
    port, here = free_port(), get_node_ip_address()
    labels = """--labels='{"a":"b"}'"""
    generated = {
        "head": f"ray start --head --port={port} --include-dashboard=false --block --num-cpus=0 {labels}",
        "worker": f"ray start --address={here}:{port} --block --num-cpus=2",
    }
    write_sample_data(tmp_path / "my-bucket/bars", symbols=["AAPL", "AMZN"], start="2024-06-10", end="2024-07-05")
    for name, text in config_map["data"].items():  # the bucket is a folder here
        (tmp_path / name).write_text(text.replace("s3://my-bucket", str(tmp_path / "my-bucket")))
    commands = {name: [*pod["command"], *pod["args"]] for name, pod in (("head", head), ("worker", worker))}
    own = {name: {**environment, "KUBERAY_GEN_RAY_START_CMD": text} for name, text in generated.items()}
    with started(commands["head"], own["head"], tmp_path / "head.log"), contextlib.ExitStack() as later:
        wait_until(lambda: listens(here, port), 90)
        node = later.enter_context(started(commands["worker"], own["worker"], tmp_path / "worker.log"))
        entrypoint = job["spec"]["entrypoint"].replace("/config/", f"{tmp_path}/")
        there = {**environment, "RAY_ADDRESS": f"{here}:{port}"}
        joined = subprocess.run(
            [sys.executable, "-c", JOINED], env=there, timeout=150, capture_output=True, text=True, check=False
        )
        assert joined.returncode == 0, joined.stderr + (tmp_path / "worker.log").read_text()[-1000:]
        done = run_until(entrypoint, there, tmp_path)
        assert done.returncode == 0, done.stderr + (tmp_path / "head.log").read_text()[-1000:]
        servers = [one for one in family(node.pid) if "forking.workers import server" in " ".join(one.cmdline())]
        assert servers, "its workers were forked"
    assert (tmp_path / "my-bucket/backtests/momentum/report.html").exists()
    assert json.loads((tmp_path / "my-bucket/backtests/momentum/summary.json").read_bytes())["statistics"]["trades"] > 0


def listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def run_until(command: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell's command again until it does well, for the nodes may not all be there; a minute at most."""
    import time

    end = time.monotonic() + 60
    while True:
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=150, check=False
        )
        if done.returncode == 0 or time.monotonic() > end:
            return done
        time.sleep(0.5)
