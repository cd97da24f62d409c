"""The `actors` and `placement` of a configuration: what processes are like, and where they go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from barray.actors.nodes import Claim, Placement, selects
from barray.coordinator.config.fields import Section

ACTORS_PER_CPU = 50
"""What a core bears: an idle worker wakes 100 times a second, and past this a node drowns in that (bench/README.md)."""


class ActorsSection(Section):
    """The symbols' processes. `reuse` keeps a config symbol's process from day to day, its state cleared.

    `spawn`: `fork` takes workers from a process that has imported everything (Linux, Ray that we start), `stock` leaves
    that to Ray; `preload` names further modules for that process to import. `symbols_per_actor`: how many symbols share
    a process; `auto` gives each its own up to what the nodes' cores bear, and packs beyond. `num_cpus`, `memory_mb`:
    what a process claims of its node's CPUs and memory. `call_timeout_s`: after it a call counts as hung (in a
    backtest, whose calls may take that for every session: a process that does not stir for so long); the process is
    killed and brought back, at most `max_restarts` times in an hour of session time. A strategy's call that takes
    longer is ended as its error.
    `heartbeat_s`: as a session's time passes, a process not heard for so long is asked for a sign of life.
    """

    lifecycle: Literal["kill", "reuse"] = "kill"
    spawn: Literal["fork", "stock"] = "fork"
    preload: tuple[str, ...] = ()
    symbols_per_actor: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    num_cpus: float = Field(0.001, ge=0, le=1)
    memory_mb: float = Field(0.0, ge=0, le=1_000_000)
    call_timeout_s: float = Field(120.0, gt=0, le=86_400)
    heartbeat_s: float = Field(5.0, ge=0, le=86_400)
    max_restarts: int = Field(3, ge=0)

    @property
    def claim(self) -> Claim:
        """What a process claims."""
        return Claim(self.num_cpus, self.memory_mb * 1_000_000)


def _selector(value: str) -> str:
    selects(value, None)
    return value


class PlacementSection(Section):
    """Which nodes of a cluster bear symbols. `head: false` keeps them off the head node; `labels` are those that a node
    must have, as Ray writes selectors: `eu-1a`, `!eu-1a`, `in(eu-1a,eu-1b)`.

    `cpus`: how many CPUs the run is to have: where there are fewer, the cluster's autoscaler is asked for nodes, which
    are waited for `wait_s` seconds at most. A backtest begins on what there is, and packs its symbols.
    """

    head: bool = True
    labels: dict[str, Annotated[str, AfterValidator(_selector)]] = Field(default_factory=dict)
    cpus: int | None = Field(None, ge=1)
    wait_s: float = Field(300.0, gt=0, le=86_400)

    @property
    def placement(self) -> Placement:
        """As the processes' starter wants it."""
        return Placement(self.head, self.labels, self.cpus, self.wait_s)
