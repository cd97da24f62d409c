"""The same on a cluster: nodes as processes of this machine, of which some are killed, drained, joined, slowed."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from barray.sample.universe import sample_symbols, write_sample_data
from bench.common import print_json_line
from bench.runs import DAY
from bench.troubles import (
    KINDS,
    MARK,
    STRATEGY,
    Outcome,
    Run,
    arguments_of,
    left_of,
    lost_calls,
    marked,
    write_config,
)
from tests.vendors.s3_server import Fault, S3Server, free_port, s3_server

FIRST = date(2024, 6, 17)
_FIRST_OF_SESSIONS = date(2024, 7, 1)
LETHAL = ("head", "gcs", "coordinator", "driver", "all")
"""What no run survives: it goes on by `barray resume`. `all`: the others at once."""
TROUBLES = ("kill", "stop", "node", "drain", "join", "s3", *LETHAL)
_IN_ENVIRONMENT: dict[str, dict[str, str]] = {
    # But for what a raylet hears of its objects: in another order than they came and went, it ends itself (Ray 2.60).
    "delay": {
        "RAY_testing_asio_delay_us": "*=0:3000,ObjectManager.ObjectAdded=0:0,ObjectManager.ObjectDeleted=0:0",
    },
    "rpc25": lost_calls(25),
}
_JOINING = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
_FAULTS = ("slow_down", "unavailable", "refuse", "stall", "cut")
_UP_S, _NODES_GONE_S, _DRAIN_S = 60.0, 60.0, 5.0
_COORDINATORS = tuple(f"ray::{kind}Coordinator" for kind in ("Backtest", "PortfolioBacktest", "Session", "Sweep"))
_OF_A_RUN = ("ray::Symbol", "ray::Backtest", "ray::Portfolio", "ray::Trader", "ray::Scan", "ray::Session")
_NOTHING_THERE = "there is nothing to resume"


@dataclass
class Nodes:
    """A head without CPUs, and nodes with one each that bear symbols: two, between runs."""

    folder: Path
    mark: str
    environment: dict[str, str]
    address: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    head: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start them, and wait until they are there."""
        self.address = f"127.0.0.1:{free_port()}"
        options = (f"--port={self.address.rpartition(':')[2]}", "--num-cpus=0", "--include-dashboard=false")
        self.head = self._node("--head", *options)
        self._ask(1)
        for count in (2, 3):
            self.join()
            self._ask(count)

    def join(self) -> None:
        """One node more."""
        self.workers.append(self._node(f"--address={self.address}", "--num-cpus=1"))

    def _node(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "barray", "node", "start", *options, "--node-ip-address=127.0.0.1", "--block"]
        if "--head" in options:
            command.append(f"--temp-dir={self.folder}")
        with (self.folder.parent / "nodes.log").open("ab") as log:
            return subprocess.Popen(
                command, env=self._environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **_JOINING, **self.environment, MARK: f"{self.mark}-nodes"}

    def _ask(self, *arguments: object) -> str:
        code = f"from bench.cluster_troubles import ask; ask({self.address!r}, *{arguments!r})"
        calm = {name: value for name, value in self._environment.items() if not name.startswith("RAY_testing")}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env={**calm, MARK: ""}, check=True, stdout=subprocess.PIPE, text=True, timeout=2 * _UP_S
        ).stdout.strip()

    def drain(self, chance: random.Random) -> None:
        """Say that a node is to go in a few seconds, and have it go then."""
        node = self._ask(1, chance.randrange(2), _DRAIN_S)
        time.sleep(_DRAIN_S)
        for raylet in self.raylets():
            with suppress(psutil.Error):
                if f"--node_id={node}" in raylet.cmdline():
                    raylet.kill()

    def vital(self, trouble: str) -> list[psutil.Process]:
        """What a trouble kills of the head: its coordinators, its control store, it (its raylet, too), or all."""
        if trouble == "coordinator":
            return self.members(*_COORDINATORS)
        if trouble == "gcs":
            return self.members("gcs_server")
        if trouble == "all":
            return [*self.vital("coordinator"), *self.vital("head")]
        return [*self.members("--head"), *self.members("gcs_server")]

    def restore(self) -> None:
        """Have two nodes again that bear symbols; those above that are killed. All anew, where the head has gone."""
        if self.head is None or self.head.poll() is not None or not self.members("gcs_server"):
            self._anew()
            return
        raylets = self.raylets()
        for raylet in raylets[2:]:
            _send(raylet, signal.SIGKILL)
        for count in range(len(raylets), 2):
            self.join()
            self._ask(2 + count)

    def _anew(self) -> None:
        """All of them; where that fails, on a machine that has no time for it, once more."""
        for is_last in (False, False, True):
            self.end()
            self.workers.clear()
            self.folder = self.folder.with_name(f"{self.folder.name}n")
            try:
                self.start()
                return
            except subprocess.SubprocessError:
                print((self.folder.parent / "nodes.log").read_text()[-2000:], file=sys.stderr)
                if is_last:
                    raise

    def members(self, *titles: str) -> list[psutil.Process]:
        """Their processes, and those of what runs on them; see marked."""
        return marked(f"{self.mark}-nodes", *titles)

    def raylets(self) -> list[psutil.Process]:
        """Of the nodes that bear symbols."""
        found = []
        for process in self.members():
            with suppress(psutil.Error):
                if process.name() == "raylet" and "--head" not in process.cmdline():
                    found.append(process)
        return found

    def end(self) -> int:
        """End all nodes; how many of their processes are left."""
        for process in (*self.workers, self.head):
            if process is not None:
                with suppress(OSError):
                    process.terminate()
        left = left_of(self.members, _NODES_GONE_S)
        for member in self.members():
            with suppress(psutil.Error):
                member.kill()
        for process in (*self.workers, self.head):
            if process is not None:
                process.wait()
        return left


@dataclass(frozen=True)
class Drawn:
    """What a run is of, and what it is hit by. `turn`: what its nodes have in their environment."""

    kind: str
    turn: str
    troubles: tuple[str, ...]

    @property
    def is_lethal(self) -> bool:
        """Whether it can't survive."""
        return bool({*self.troubles} & {*LETHAL})


def draw(runs: int, seed: int, known: list[str]) -> list[Drawn]:
    """As many; each trouble comes first as often as any other, and up to two go with it, one of them lethal at most."""
    chance, deck, drawn = random.Random(seed), list[str](), list[Drawn]()
    turns = ["", *(one for one in _IN_ENVIRONMENT if one in known)]
    known = [one for one in known if one in TROUBLES]
    for number in range(runs):
        deck = deck or chance.sample(known, len(known))
        first = [deck.pop()] if known else []
        others = [one for one in known if one not in (*first, *LETHAL)]
        mixed = [*first, *chance.sample(others, min(len(others), chance.randint(0, 2)))]
        drawn.append(Drawn(chance.choice(list(KINDS)), turns[number % len(turns)], tuple(mixed)))
    return drawn


def hit(nodes: Nodes, run: Run, server: S3Server, drawn: Drawn, chance: random.Random, calm_s: float) -> list[str]:
    """Bring the troubles about, side by side, while the command runs; those that it came to. What no run survives comes
    soon after it has a coordinator, three times of four; the others while it runs.
    """
    chances = [random.Random(chance.random()) for _ in drawn.troubles]

    def bring(trouble: str, own: random.Random) -> bool:
        if trouble in LETHAL and (own.random() < 0.75 or trouble == "coordinator"):
            while run.runs and not nodes.vital("coordinator"):
                time.sleep(0.05)
            time.sleep(own.uniform(0.0, 0.2) * calm_s)
        else:
            time.sleep(own.uniform(0.1, 0.7) * calm_s)
        if came := run.runs:
            _hit(nodes, run, server, trouble, own)
        return came

    with ThreadPoolExecutor(len(chances) or 1) as threads:
        came = list(threads.map(bring, drawn.troubles, chances))
    return [trouble for trouble, did in zip(drawn.troubles, came, strict=True) if did]


def _hit(nodes: Nodes, run: Run, server: S3Server, trouble: str, chance: random.Random) -> None:
    if trouble in ("kill", "stop"):
        coordinators = {one.pid for one in nodes.vital("coordinator")}  # which no run survives
        victims = [one for one in nodes.members(*_OF_A_RUN) if one.pid not in coordinators]
        for victim in chance.sample(victims, min(len(victims), chance.randint(1, 3))):
            _send(victim, signal.SIGSTOP if trouble == "stop" else signal.SIGKILL)
    elif trouble == "node":
        for victim in chance.sample(nodes.raylets(), 1):
            _send(victim, signal.SIGKILL)
        nodes.join()  # as whoever runs a cluster has a node that died replaced
    elif trouble == "drain":
        with suppress(subprocess.SubprocessError):
            nodes.join()
            nodes.drain(chance)
    elif trouble == "join":
        nodes.join()
    elif trouble == "s3":
        kind = chance.choice(_FAULTS)
        server.faults.append(Fault(kind, times=chance.randint(1, 20), seconds=2.0))
    if trouble in ("driver", "all"):
        with suppress(psutil.Error):
            _send(psutil.Process(run.pid), signal.SIGKILL)
    if trouble in LETHAL and trouble != "driver":
        for victim in nodes.vital(trouble):
            _send(victim, signal.SIGKILL)


def _send(process: psutil.Process, number: int) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)


@contextmanager
def nodes_up(place: Path, mark: str, environment: dict[str, str]) -> Iterator[Nodes]:
    """Nodes for a block; they have ended after it."""
    nodes = Nodes(place, mark, environment)
    try:
        try:
            nodes.start()
        except subprocess.SubprocessError:
            print((place.parent / "nodes.log").read_text()[-3000:], file=sys.stderr)
            raise
        yield nodes
    finally:
        nodes.end()


@dataclass
class Cluster:
    """Where runs are hit: nodes, and a store that holds their bars."""

    folder: Path
    nodes: Nodes
    server: S3Server

    def run(self, drawn: Drawn, chance: random.Random, calm_s: float) -> tuple[Outcome, list[str]]:
        """One run, and the troubles that it was hit by. Nodes that it cost are replaced before the next."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            out = Path(place)
            self.server.faults.clear()
            kept = out / "checkpoint"
            command = arguments_of(
                drawn.kind, self.folder / f"{drawn.kind}.yaml", out, kept if drawn.is_lethal else None
            )
            environment = {**self.nodes.environment, **_JOINING}
            run = Run([*command, "--address", self.nodes.address], out, environment)
            came = hit(self.nodes, run, self.server, drawn, chance, calm_s)
            outcome = run.end()
            if drawn.is_lethal and outcome.status not in (0, None) and not outcome.left:
                self.nodes.restore()
                self.server.faults.clear()
                there = "--address", self.nodes.address
                outcome = Run(["resume", kept, "--quiet", *there], out, environment).end()
                came.append("resumed")
                if _NOTHING_THERE in outcome.told:  # it had not begun yet
                    outcome = Run([*command, *there], out, environment).end()
                    came[-1] = "begun again"
        outcome.left += left_of(lambda: self.nodes.members(*_OF_A_RUN))
        self.nodes.restore()
        return outcome, came

    def calm_run(self, kind: str, symbols: tuple[str, ...]) -> Outcome:
        """One without; SystemExit where it does not end well."""
        first = _FIRST_OF_SESSIONS if kind == "session" else FIRST
        session = {"start": str(first), "end": str(DAY)}
        bars = [{"root": self.server.uri("bars")}]
        write_config(self.folder, kind, symbols, sources=bars, session=session, ray={})
        calm, _ = self.run(Drawn(kind, "", ()), random.Random(), 0.0)
        if calm.status != 0 or calm.left or not calm.results:
            raise SystemExit(f"a calm {kind} ended with {calm.status}, {calm.left} left: {calm.told}")
        return calm


def chaos_on_cluster(runs: int, seed: int, count: int, wanted: str) -> None:
    """Print one JSON line; SystemExit where a trouble is asked for that there is not.

    Runs go in three turns: on nodes with nothing, with delays, and with lost calls in their environment.
    """
    known = wanted.split(",") if wanted else [*TROUBLES, *_IN_ENVIRONMENT]
    if unknown := [one for one in known if one not in (*TROUBLES, *_IN_ENVIRONMENT)]:
        raise SystemExit(f"{unknown[0]} is no trouble; there are {', '.join((*TROUBLES, *_IN_ENVIRONMENT))}")
    all_drawn = draw(runs, seed, known)
    found, seconds, hits = Counter[str](), list[float](), Counter[str]()
    with tempfile.TemporaryDirectory(dir="/tmp") as place, s3_server() as server:  # short: Ray's sockets lie below
        folder = Path(place)
        symbols = tuple(sample_symbols(count))
        write_sample_data(folder / "bars", symbols=symbols, start=FIRST, end=DAY)
        for path in (folder / "bars").rglob("*.parquet"):
            server.put(f"bars/{path.relative_to(folder / 'bars')}", path.read_bytes())
        (folder / "chaos.py").write_text(STRATEGY)
        calm: dict[str, Outcome] = {}
        for at, turn in enumerate(dict.fromkeys(one.turn for one in all_drawn)):
            more = {"BARRAY_SHARDS": str(folder / "shards"), **_IN_ENVIRONMENT.get(turn, {})}
            with nodes_up(folder / f"ray{at}", f"{os.getpid()}-{at}", {**server.environment, **more}) as nodes:
                cluster = Cluster(folder, nodes, server)
                for number, drawn in enumerate(all_drawn):
                    if drawn.turn != turn:
                        continue
                    if drawn.kind not in calm:
                        calm[drawn.kind] = cluster.calm_run(drawn.kind, symbols)
                    is_calm = calm[drawn.kind]
                    outcome, came = cluster.run(drawn, random.Random(f"{seed} {number}"), is_calm.seconds)
                    verdict = outcome.verdict(is_calm)
                    found[verdict] += 1
                    found["lost_days"] += len(is_calm.results.keys() - outcome.results) if outcome.status == 0 else 0
                    seconds.append(outcome.seconds)
                    hits.update([*came, *([turn] if turn else [])])
                    _tell(number, drawn, came, verdict, outcome)
                found["leaked"] += nodes.end() > 0
    names = ("identical", "degraded_and_told", "clear_error", "hang", "wrong", "leaked", "lost_days")
    times = Counter(one for drawn in all_drawn for one in (*drawn.troubles, *filter(None, [drawn.turn])))
    figures = {"runs": runs, "seed": seed, **{name: found[name] for name in names}, "drawn": times, "hit": hits}
    print_json_line("chaos_cluster", {**figures, "run_s": statistics.median(seconds)})


def _tell(number: int, drawn: Drawn, came: list[str], verdict: str, outcome: Outcome) -> None:
    mixed = ", ".join((*drawn.troubles, *filter(None, [drawn.turn])))
    told = f"run {number}, {drawn.kind}: {verdict} after {mixed}, {outcome.seconds:.0f} s"
    if (*came[: len(drawn.troubles)],) != drawn.troubles:
        told += f" (hit by {', '.join(came) or 'none'})"
    elif len(came) > len(drawn.troubles):
        told += f" ({came[-1]})"
    told += "" if verdict == "identical" else f": {_gist(outcome.told)}"
    print(told, file=sys.stderr, flush=True)


def _gist(told: str) -> str:
    """What a command said that did not end well, without stacks of Ray's own code."""
    lines = [line for line in told.strip().splitlines() if ".so" not in line and "/raylet(" not in line]
    return "\n".join(line[:400] for line in lines[-25:])


def ask(address: str, nodes: int, drained: int | None = None, within_s: float = 0.0) -> None:
    """Wait until there are so many nodes; or drain one and print which. In a process that joins no Ray."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    until = time.monotonic() + _UP_S
    alive: list[Any] = []
    while len(alive) < nodes:
        if time.monotonic() > until:
            raise SystemExit(f"{len(alive)} of {nodes} nodes are up")
        time.sleep(0.2)
        with suppress(Exception):  # nobody is there yet
            client = GcsClient(address=address)
            alive = [one for one in client.get_all_node_info(timeout=5).values() if one.state == 0]
    if drained is None:
        return
    others = [one for one in alive if not one.is_head_node]
    node = others[drained % len(others)].node_id.hex()
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")  # type: ignore[attr-defined]
    client.drain_node(node, reason, "the machine is wanted elsewhere", int((time.time() + within_s) * 1000))
    print(node)
