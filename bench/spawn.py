"""Time, memory and CPU to have actors ready: Ray's own way and forked, `python -m bench.spawn --actors 50`.

Each mode runs in a process of its own, one after the other. Prints one line of JSON; `stock_` and `ours_` go before
what was measured of each.
"""

import argparse
import contextlib
import importlib
import json
import logging
import os
import subprocess
import sys
import time
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]

IMPORTS = ("numpy", "pyarrow.parquet", "barray.market.talib_light", "barray.actors.symbol_actor")
IDLE_S = 10.0
MB = 2**20


class Symbol:
    """An actor with our packages imported, as a symbol's process has them."""

    def __init__(self) -> None:
        for name in IMPORTS:
            importlib.import_module(name)

    def pid(self) -> int:
        """Answers when the actor is ready."""
        return os.getpid()


def ray_processes(pids: list[int]) -> list[psutil.Process]:
    """Ourselves, all that Ray started, the workers and the forkserver that is their parent."""
    us = psutil.Process()
    workers = [psutil.Process(pid) for pid in pids]
    parents = [parent for worker in workers if (parent := worker.parent())]
    return list({us, *us.children(recursive=True), *parents, *workers})


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU seconds of these processes so far, and of their children that have ended, as launchers have."""
    return float(sum(sum(process.cpu_times()[:4]) for process in processes))


def measure(mode: str, count: int) -> dict[str, float]:
    """Starts a Ray and `count` actors, then a fifth as many again, whose CPU is `cpu_per_actor_s`: that of one more.

    What the first ones use meanwhile for being idle is not counted.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    from barray.actors.ray_start.patch import altered_ray

    started = time.perf_counter()
    with altered_ray() if mode == "ours" else contextlib.nullcontext():
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    init_s = time.perf_counter() - started
    options: dict[str, Any] = {"num_cpus": 0, "enable_task_events": False}
    actor: Any = ray.remote(**options)(Symbol)

    started = time.perf_counter()
    actors = [actor.remote() for _ in range(count)]
    pids = ray.get([one.pid.remote() for one in actors])
    ready_s = time.perf_counter() - started

    time.sleep(2)  # some of the start goes on behind the first answer
    idle_before = cpu_s(ray_processes(pids))
    time.sleep(2)
    before, started = cpu_s(ray_processes(pids)), time.perf_counter()
    more = [actor.remote() for _ in range(max(1, count // 5))]
    pids += ray.get([one.pid.remote() for one in more])
    idle_meanwhile = (before - idle_before) / 2 * (time.perf_counter() - started)
    cost = cpu_s(ray_processes(pids)) - before - idle_meanwhile

    workers = [psutil.Process(pid) for pid in pids]
    pss = sum(worker.memory_full_info().pss for worker in workers) / len(workers)
    servers = {parent for worker in workers if (parent := worker.parent()) and "raylet" not in parent.name()}
    server_pss = sum(server.memory_full_info().pss for server in servers if server.pid != 1)
    time.sleep(3)  # the first seconds are still start
    idle_before = cpu_s(workers)
    time.sleep(IDLE_S)
    idle = (cpu_s(workers) - idle_before) / IDLE_S / len(workers)
    threads = workers[0].num_threads()
    ray.shutdown()
    return {
        "init_s": round(init_s, 2),
        "ready_s": round(ready_s, 2),
        "actors_per_s": round(count / ready_s, 1),
        "cpu_per_actor_s": round(cost / len(more), 3),
        "pss_mb": round(pss / MB, 1),
        "server_pss_mb": round(server_pss / MB, 1),
        "idle_cpu_pct_per_actor": round(100 * idle, 2),
        "threads": threads,
    }


def main() -> None:
    """Runs each mode in a child process and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, default=50)
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--mode", choices=["stock", "ours"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        print(json.dumps(measure(options.mode, options.actors)))
        return
    result: dict[str, float] = {"actors": options.actors}
    for mode in ["ours"] if options.ours_only else ["stock", "ours"]:
        command = [sys.executable, "-m", "bench.spawn", "--actors", str(options.actors), "--mode", mode]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        result |= {f"{mode}_{name}": value for name, value in json.loads(output.splitlines()[-1]).items()}
    if options.ours_only:
        result |= {name.removeprefix("ours_"): value for name, value in result.items() if name != "actors"}
        result = {name: value for name, value in result.items() if not name.startswith("ours_")}
    else:
        result["ready_ratio"] = round(result["stock_ready_s"] / result["ours_ready_s"], 2)
        result["pss_ratio"] = round(result["stock_pss_mb"] / result["ours_pss_mb"], 2)
        result["cpu_per_actor_s"] = result["ours_cpu_per_actor_s"]
        result["ready_s"] = result["ours_ready_s"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
