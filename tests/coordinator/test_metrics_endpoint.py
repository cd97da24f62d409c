"""A session's metrics at the endpoint of its own Ray."""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from barray.coordinator import runtime
from barray.coordinator.measures import MEASURES
from barray.market.errors import ConfigError
from tests.barray.cli.test_sessions import start, wait_for_phase, write_config
from tests.sessions import family
from tests.vendors.s3_server import free_port

try:
    import opencensus  # noqa: F401
    import prometheus_client  # noqa: F401
except ImportError:
    EXPORTS = False
else:
    EXPORTS = True


@pytest.mark.skipif(EXPORTS, reason="this Ray exports metrics")
def test_where_ray_exports_nothing_a_port_for_it_is_refused_with_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"exports no metrics.*pip install 'barray\[cluster\]'") as refused:
        runtime.start_ray(num_cpus=1, metrics_port=free_port())
    assert refused.value.code == "not_installed"


@pytest.mark.ray
@pytest.mark.skipif(not EXPORTS, reason="needs the extra cluster: ray[default], whose agent exports metrics")
def test_a_sessions_metrics_are_at_its_rays_endpoint_on_loopback_alone(universe: Path, tmp_path: Path) -> None:
    port = free_port()
    path = write_config(tmp_path, universe, "measured", pause_s=1)
    path.write_text(path.read_text().replace("ray: {num_cpus: 2}", f"ray: {{num_cpus: 2, metrics_port: {port}}}"))
    process = start(path)
    try:
        wait_for_phase(process, "running")
        none_yet = {"barray_live_lag_seconds", "barray_gateway_requests", "barray_process_restarts"}
        wanted = {one.exported_name: {"session", *one.tags} for one in MEASURES if one.name not in none_yet}
        until = time.monotonic() + 60
        while missing := wanted.keys() - (found := scraped(port)).keys():
            assert time.monotonic() < until, missing
            time.sleep(1)
        assert {name: tags & {"session", "phase", "state"} for name, tags in found.items()} == wanted
        everyone = [psutil.Process(process.pid), *family(process.pid)]
        listening = [c for p in everyone for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} <= {"127.0.0.1", "::1"}
        assert port in {c.laddr.port for c in listening}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def scraped(port: int) -> dict[str, set[str]]:
    """Names of what is exported of sessions, with their labels."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    ours = [line for line in lines if line.startswith("ray_barray_") and 'session="measured"' in line]
    return {line.partition("{")[0]: set(re.findall(r'[{,](\w+)="', line)) for line in ours}
