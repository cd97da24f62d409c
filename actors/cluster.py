"""What Ray says of a cluster: its nodes, who is leaving it, and what its autoscaler makes of a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from barray.actors.nodes import Claim, Node, Placement
from barray.market.errors import ConfigError

_HEAD = "node:__internal_head__"
_LEFT = (1, 3, 4)
"""Why a node is gone that did not fail, in Ray's NodeDeathInfo: terminated as expected, preempted, idle."""
_POLL_S = 0.5


def staying_nodes() -> list[Node]:
    """The nodes that have CPUs and are not about to leave."""
    told = _state()
    leaving, free = told.get_draining_nodes(), told.available_resources_per_node()
    return [
        Node(
            id=one["NodeID"],
            cpus=one["Resources"]["CPU"],
            free_cpus=free.get(one["NodeID"], {}).get("CPU", 0.0),
            free_memory=free.get(one["NodeID"], {}).get("memory", 0.0),
            labels=one["Labels"],
            is_head=_HEAD in one["Resources"],
            name=one["NodeName"],
        )
        for one in ray.nodes()  # type: ignore[no-untyped-call]
        if one["Alive"] and one["Resources"].get("CPU", 0.0) > 0 and one["NodeID"] not in leaving
    ]


def has_left(node: str) -> bool:
    """Whether a node is leaving, or is gone because somebody wanted it to go: no failure of what ran there."""
    if node in _state().get_draining_nodes():
        return True
    gone = [one for one in ray.nodes() if one["NodeID"] == node and not one["Alive"]]  # type: ignore[no-untyped-call]
    return any(one["DeathReason"] in _LEFT for one in gone)


def node_of(actor: Any) -> str:
    """The node that an actor runs on; empty while it waits for one."""
    found: str = _state().actor_table(actor._actor_id.hex()).get("Address", {}).get("NodeID", "")
    return found.strip("f") and found


async def bring_nodes(
    wanted: Sequence[Mapping[str, float]], placement: Placement, there: Callable[[], bool], what: str
) -> None:
    """Ask the autoscaler for room for `wanted` beside what is in use, and wait until it is `there`.

    ConfigError (`cluster_too_small`), which says `what` is asked for, where nodes can't be added, or are not in time.
    """
    from ray.autoscaler.sdk import request_resources

    if there():
        return
    if not _answers():
        raise too_small(what, placement, "and has no autoscaler (of version 2) that could add to them")
    used = [bundle for node in staying_nodes() if (bundle := _used(node))]
    asked = [*used, *map(dict, wanted)]
    selectors: list[dict[str, str]] = [{} for _ in used] + [dict(placement.labels) for _ in wanted]
    try:
        request_resources(bundles=asked, bundle_label_selectors=selectors)
        asked_at, end_s = (
            _told().cluster_resource_state.cluster_resource_state_version,
            time.monotonic() + placement.wait_s,
        )
        while not there():
            told = _told().autoscaling_state
            if (
                told.last_seen_cluster_resource_state_version > asked_at
                and told.infeasible_cluster_resource_constraints
            ):
                raise too_small(what, placement, f"and its autoscaler can't add enough of them{_most()}")
            if time.monotonic() > end_s:
                raise too_small(what, placement, f"and in {placement.wait_s:g} s its autoscaler has added no others")
            await asyncio.sleep(_POLL_S)
    finally:
        request_resources(bundles=[])  # what is in use stays; a request would hold nodes for ever


def too_small(what: str, placement: Placement, why: str) -> ConfigError:
    """The error of a plan that no nodes are there for: what is asked, what there is, why it can't be more."""
    nodes = staying_nodes()
    bearing = [node for node in nodes if placement.bears(node)]
    unknown = [name for name in placement.labels if not any(name in node.labels for node in nodes)]
    if unknown and nodes:
        known = ", ".join(sorted({name for node in nodes for name in node.labels}))
        return ConfigError(
            f"placement.labels: no node has a label {unknown[0]!r}",
            remedy=f"label nodes by `barray node start --labels=…`, or choose among {known}",
        )
    if not bearing and nodes:
        there = {name: sorted({node.labels.get(name, "none") for node in nodes}) for name in placement.labels}
        shown = "; ".join(f"{name} is {', '.join(values)}" for name, values in there.items()) or "all are heads"
        return ConfigError(
            f"placement: none of {len(nodes)} nodes with CPUs may bear symbols",
            remedy=f"of what is asked for they have: {shown}",
        )
    cpus, free = sum(node.cpus for node in bearing), sum(node.free_cpus for node in bearing)
    memory = sum(node.free_memory for node in bearing) / 1e9
    return ConfigError(
        f"{what}; the cluster's {len(bearing)} nodes that may bear symbols have {cpus:g} CPUs, of which {free:g} are "
        f"free, and {memory:.1f} GB of free memory, {why}",
        remedy="ask for less (actors.num_cpus, memory_mb, symbols_per_actor; placement.cpus), or add nodes",
        code="cluster_too_small",
    )


def claimed(claim: Claim, count: int) -> str:
    """What so many processes ask for, in words."""
    memory = f" and {claim.memory / 1e6:g} MB" if claim.memory else ""
    whole = f", {claim.memory * count / 1e9:.1f} GB" if claim.memory else ""
    return f"{count} processes of {claim.cpus:g} CPUs{memory} each ask for {claim.cpus * count:g} CPUs{whole}"


def _used(node: Node) -> dict[str, float]:
    return {"CPU": node.cpus - node.free_cpus} if node.cpus - node.free_cpus > 1e-6 else {}


def _answers() -> bool:
    """Whether an autoscaler looks after this cluster that says what it can't do."""
    return bool(_told().autoscaling_state.autoscaler_state_version)


def _most() -> str:
    """How many CPUs there could be, where the cluster's operator has told Ray."""
    most = (_state().get_max_resources_from_cluster_config() or {}).get("CPU")
    return f" ({most:g} CPUs at most)" if most else ""


def _told() -> Any:
    from ray.core.generated import autoscaler_pb2

    reply: Any = autoscaler_pb2.GetClusterStatusReply()  # type: ignore[attr-defined]
    worker: Any = ray._private.worker.global_worker
    reply.ParseFromString(worker.gcs_client.get_cluster_status())
    return reply


def _state() -> Any:
    return ray._private.state.state
