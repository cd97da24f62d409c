"""The same on a cluster: nodes as processes of this machine, of which some are killed, drained, joined, slowed.

Runs go in three turns: on nodes with nothing, with delays, and with lost calls in their environment; each of these on
some clusters side by side. What a trouble waits for is a phase of its run, not a time.
"""

from __future__ import annotations

import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from barray.sample.universe import sample_symbols, write_sample_data
from bench.common import print_json_line
from bench.processes import left_of, send
from bench.raylets import GONE_S, Nodes
from bench.runs import DAY
from bench.troubles import KINDS, STRATEGY, Outcome, Run, arguments_of, lost_calls, write_config
from tests.vendors.s3_server import Fault, S3Server, s3_server

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
_FAULTS = ("slow_down", "unavailable", "refuse", "stall", "cut")
_LIMIT_S = 900.0
"""After which a run hangs: with a quarter of its calls lost a session of two days needs more than three minutes."""
_DRAIN_S = 4.0
_LOOK_S = 0.2
PHASES = ("begins", "coordinates", "works")
"""A run's command is there; its coordinator; the processes that work for this."""
_PHASES_OF = {
    **dict.fromkeys(LETHAL, ("begins", *PHASES[1:] * 3)),
    "coordinator": ("coordinates", "works", "works"),
    "kill": ("works",),
    "stop": ("works",),
    "s3": ("begins",),
}
_NOTHING_THERE = "there is nothing to resume"
VERDICTS = ("identical", "degraded_and_told", "clear_error", "hang", "wrong", "leaked")


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


@dataclass(frozen=True)
class Calm:
    """A run that nothing hit: how it ended, and how many seconds each phase took."""

    outcome: Outcome
    phases_s: dict[str, float]


@dataclass(frozen=True)
class Hit:
    """A run that was to be hit: by what it was, how it ended, and whether it was `resumed` or `begun again`.

    `resume_s`: from the command that resumes to the first process that works for it. `whole_s`: with all that was
    waited for and replaced afterwards.
    """

    number: int
    drawn: Drawn
    came: tuple[str, ...]
    outcome: Outcome
    verdict: str
    lost_days: int = 0
    again: str = ""
    resume_s: float | None = None
    whole_s: float = 0.0


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


@dataclass
class Cluster:
    """Where runs are hit: nodes, and a store that holds their bars. `folder`: with their configs."""

    folder: Path
    nodes: Nodes
    server: S3Server

    def calm_run(self, kind: str) -> Calm:
        """One without troubles; SystemExit where it does not end well."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            run = self._begin(arguments_of(kind, self.folder / f"{kind}.yaml", Path(place)), Path(place))
            begun = [0.0]
            for phase in PHASES[1:]:
                self._wait_for(phase, run)
                begun.append(run.seconds)
            outcome = run.end()
        outcome.left += self.left_of_run()
        if outcome.status != 0 or outcome.left or not outcome.results:
            raise SystemExit(f"a calm {kind} ended with {outcome.status}, {outcome.left} left: {outcome.told}")
        ends = (*begun[1:], outcome.seconds)
        return Calm(outcome, {phase: end - start for phase, start, end in zip(PHASES, begun, ends, strict=True)})

    def run(self, number: int, drawn: Drawn, chance: random.Random, calm: Calm) -> Hit:
        """One run that is hit, resumed where it died of that. Nodes that it cost are replaced before the next."""
        again, resume_s, begun = "", None, time.perf_counter()
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            out = Path(place)
            kept = out / "checkpoint"
            config = self.folder / f"{drawn.kind}.yaml"
            command = arguments_of(drawn.kind, config, out, kept if drawn.is_lethal else None)
            run = self._begin(command, out)
            came = self._hit(run, drawn.troubles, chance, calm.phases_s)
            outcome = run.end()
            self.server.faults.clear()
            if drawn.is_lethal and outcome.status not in (0, None) and not outcome.left:
                self.nodes.restore()
                before = {one.pid for one in self.nodes.workers_of_runs()}
                run = self._begin(["resume", kept, "--quiet"], out)
                while run.runs and {one.pid for one in self.nodes.workers_of_runs()} <= before:
                    time.sleep(_LOOK_S)
                again, resume_s = "resumed", run.seconds
                outcome = run.end()
                if _NOTHING_THERE in outcome.told:  # it had not begun yet
                    again, resume_s = "begun again", None
                    outcome = self._begin(command, out).end()
        outcome.left += self.left_of_run()
        self.nodes.restore()
        lost = len(calm.outcome.results.keys() - outcome.results) if outcome.status == 0 else 0
        verdict, whole_s = outcome.verdict(calm.outcome), time.perf_counter() - begun
        return Hit(number, drawn, came, outcome, verdict, lost, again, resume_s, whole_s)

    def left_of_run(self) -> int:
        """How many processes a run has left on the nodes that should have gone with it."""
        if left := left_of(self.nodes.left_of_runs, GONE_S):
            for process in self.nodes.left_of_runs():
                with suppress(Exception):
                    print(f"left: {process.pid} {process.status()} {' '.join(process.cmdline())}", file=sys.stderr)
                send(process, signal.SIGKILL)
        return left

    def _begin(self, command: Sequence[object], out: Path) -> Run:
        return Run([*command, "--address", self.nodes.address], out, self.nodes.of_drivers(), _LIMIT_S)

    def _hit(
        self, run: Run, troubles: Sequence[str], chance: random.Random, phases_s: dict[str, float]
    ) -> tuple[str, ...]:
        """Bring the troubles about, side by side, while the command runs; those that struck something."""
        chances = [random.Random(chance.random()) for _ in troubles]

        def bring(trouble: str, own: random.Random) -> bool:
            phase = own.choice(_PHASES_OF.get(trouble, PHASES[1:]))
            self._wait_for(phase, run)
            time.sleep(own.uniform(0.0, 0.5) * phases_s[phase] if trouble != "s3" else 0.0)
            return run.runs and self._strike(run, trouble, own)

        with ThreadPoolExecutor(len(chances) or 1) as threads:
            struck = list(threads.map(bring, troubles, chances))
        return tuple(trouble for trouble, did in zip(troubles, struck, strict=True) if did)

    def _wait_for(self, phase: str, run: Run) -> None:
        while run.runs and not self._has_come_to(phase):
            time.sleep(_LOOK_S)

    def _has_come_to(self, phase: str) -> bool:
        if phase == "works":
            return bool(self.nodes.workers_of_runs())
        return phase == "begins" or bool(self.nodes.vital("coordinator"))

    def _strike(self, run: Run, trouble: str, chance: random.Random) -> bool:
        """Whether there was anything to be struck."""
        nodes = self.nodes
        if trouble in ("kill", "stop"):
            found = nodes.workers_of_runs()
            victims = chance.sample(found, min(len(found), chance.randint(1, 3)))
            return _send_all(victims, signal.SIGSTOP if trouble == "stop" else signal.SIGKILL)
        if trouble == "node":
            raylets = [raylet for node in nodes.alive() if (raylet := node.raylet())]
            struck = _send_all(chance.sample(raylets, min(len(raylets), 1)), signal.SIGKILL)
            nodes.join()  # as whoever runs a cluster has a node that died replaced
            return struck
        if trouble == "drain":
            alive = nodes.alive()
            nodes.join()
            with suppress(subprocess.SubprocessError):
                return bool(alive) and nodes.drain(chance.choice(alive), _DRAIN_S)
            return False
        if trouble == "join":
            nodes.join()
            return True
        if trouble == "s3":
            return self._fail_store(run, chance)
        victims = nodes.vital(trouble) if trouble != "driver" else []
        if trouble in ("driver", "all"):
            run.kill()
        return _send_all(victims, signal.SIGKILL) or trouble == "driver"

    def _fail_store(self, run: Run, chance: random.Random) -> bool:
        """Have the store fail for the next requests, of nodes that have kept no file of it; whether any came."""
        shutil.rmtree(self.nodes.environment["BARRAY_SHARDS"], ignore_errors=True)
        times = chance.randint(1, 20)
        fault = Fault(chance.choice(_FAULTS), times=times, seconds=2.0)
        self.server.faults.append(fault)
        while run.runs and fault.times == times:
            time.sleep(_LOOK_S)
        return fault.times < times


def _send_all(victims: Collection[Any], number: int) -> bool:
    for victim in victims:
        send(victim, number)
    return bool(victims)


@contextmanager
def cluster_up(place: Path, turn: str, bars: Path, symbols: tuple[str, ...]) -> Iterator[Cluster]:
    """Nodes, a store with the bars, and configs, for a block, in a folder of their own; all have ended after it."""
    place.mkdir()
    with s3_server() as server:
        for path in bars.rglob("*.parquet"):
            server.put(f"bars/{path.relative_to(bars)}", path.read_bytes())
        (place / "chaos.py").write_text(STRATEGY)
        for kind in KINDS:
            session = {"start": str(_FIRST_OF_SESSIONS if kind == "session" else FIRST), "end": str(DAY)}
            write_config(place, kind, symbols, sources=[{"root": server.uri("bars")}], session=session, ray={})
        own = {"BARRAY_SHARDS": str(place / "shards"), **_IN_ENVIRONMENT.get(turn, {})}
        nodes = Nodes(place / "n", {**server.environment, **own})
        try:
            nodes.start()
            yield Cluster(place, nodes, server)
        finally:
            nodes.end()


@dataclass
class Turns:
    """All runs, by turns, each in `shares`. `calm`: a run of each kind that nothing hits, made by the first for all."""

    folder: Path
    symbols: tuple[str, ...]
    all_drawn: list[Drawn]
    seed: int
    shares: int
    calm: Future[dict[str, Calm]] = field(default_factory=Future)

    def go(self, of: tuple[str, int]) -> tuple[list[Hit], int]:
        """The runs of one share of a turn; and how many processes its nodes left when they were ended."""
        turn, share = of
        hits = []
        try:
            mine = [(at, drawn) for at, drawn in enumerate(self.all_drawn) if drawn.turn == turn][share :: self.shares]
            place = self.folder / f"{turn or 'calm'}{share}"
            with cluster_up(place, turn, self.folder / "bars", self.symbols) as cluster:
                if of == ("", 0):
                    self.calm.set_result({kind: cluster.calm_run(kind) for kind in KINDS})
                calm = self.calm.result()
                for number, drawn in mine:
                    chance = random.Random(f"{self.seed} {number}")
                    hits.append(cluster.run(number, drawn, chance, calm[drawn.kind]))
                    _tell(hits[-1])
                return hits, cluster.nodes.end()
        except BaseException as error:
            if not self.calm.done():
                self.calm.set_exception(error)
            raise


def chaos_on_cluster(runs: int, seed: int, count: int, wanted: str, at_once: int) -> None:
    """Print one JSON line; SystemExit where a trouble is asked for that there is not. `at_once`: clusters."""
    known = wanted.split(",") if wanted else [*TROUBLES, *_IN_ENVIRONMENT]
    if unknown := [one for one in known if one not in (*TROUBLES, *_IN_ENVIRONMENT)]:
        raise SystemExit(f"{unknown[0]} is no trouble; there are {', '.join((*TROUBLES, *_IN_ENVIRONMENT))}")
    all_drawn = draw(runs, seed, known)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # short: Ray's sockets lie below
        folder, symbols = Path(place), tuple(sample_symbols(count))
        write_sample_data(folder / "bars", symbols=symbols, start=FIRST, end=DAY)
        turns = Turns(folder, symbols, all_drawn, seed, at_once)
        begun = time.perf_counter()
        with ThreadPoolExecutor(at_once) as threads:
            each = dict.fromkeys(drawn.turn for drawn in all_drawn)
            done = list(threads.map(turns.go, [(turn, share) for turn in each for share in range(at_once)]))
    hits = [hit for some, _ in done for hit in some]
    figures = {"runs": runs, "seed": seed, **summary(hits)}
    figures["leaked"] += sum(left > 0 for _, left in done)
    print_json_line("chaos_cluster", {**figures, "minutes": (time.perf_counter() - begun) / 60})


def summary(hits: Sequence[Hit]) -> dict[str, Any]:
    """Figures of all runs; and how often each trouble was drawn and struck, in sessions, too, and how these ended."""
    verdicts = Counter(hit.verdict for hit in hits)
    named = [(hit, trouble) for hit in hits for trouble in hit.drawn.troubles]
    by_trouble = {
        trouble: {
            "drawn": sum(one == trouble for _, one in named),
            "hit": sum(one == trouble and one in hit.came for hit, one in named),
            "sessions_drawn": sum(one == trouble and hit.drawn.kind == "session" for hit, one in named),
            "sessions_hit": sum(
                one == trouble and one in hit.came and hit.drawn.kind == "session" for hit, one in named
            ),
            **Counter(hit.verdict for hit, one in named if one == trouble and one in hit.came),
        }
        for trouble in dict.fromkeys(one for _, one in named)
    }
    turns = {
        turn: {"drawn": sum(hit.drawn.turn == turn for hit in hits)}
        | Counter(hit.verdict for hit in hits if hit.drawn.turn == turn)
        for turn in dict.fromkeys(hit.drawn.turn for hit in hits if hit.drawn.turn)
    }
    resumes = [hit.resume_s for hit in hits if hit.resume_s is not None]
    return {
        **{name: verdicts[name] for name in VERDICTS},
        "lost_days": sum(hit.lost_days for hit in hits),
        "again": dict(Counter(hit.again for hit in hits if hit.again)),
        "resume_s": statistics.median(resumes) if resumes else None,
        "run_s": statistics.median(hit.outcome.seconds for hit in hits),
        "troubles": {**by_trouble, **turns},
    }


def _tell(hit: Hit) -> None:
    drawn, outcome = hit.drawn, hit.outcome
    mixed = ", ".join((*drawn.troubles, *filter(None, [drawn.turn])))
    told = f"run {hit.number}, {drawn.kind}: {hit.verdict} after {mixed}, {outcome.seconds:.0f} of {hit.whole_s:.0f} s"
    if hit.came != drawn.troubles:
        told += f" (hit by {', '.join(hit.came) or 'none'})"
    if hit.again:
        told += f" ({hit.again}{f', worked after {hit.resume_s:.1f} s' if hit.resume_s else ''})"
    told += "" if hit.verdict == "identical" else f": {_gist(outcome.told)}"
    print(told, file=sys.stderr, flush=True)


def _gist(told: str) -> str:
    """What a command said that did not end well, without stacks of Ray's own code."""
    lines = [line for line in told.strip().splitlines() if ".so" not in line and "/raylet(" not in line]
    return "\n".join(line[:400] for line in lines[-25:])
