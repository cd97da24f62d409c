"""Ray's own autoscaler, with nodes of this machine, under a running backtest: `bench.elastic`, made small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


def test_a_cluster_grows_and_shrinks_under_a_backtest_and_nothing_is_lost() -> None:
    options = ("--symbols", "16", "--least", "1", "--most", "2", "--think-s", "0")
    done = subprocess.run(
        [sys.executable, "-m", "bench.elastic", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["most_nodes"], told["lost"], told["equal"]) == (2, 0, True)
