"""Every `ray.remote` of the project, with its options beside it.

None is called before it is wanted: for a class it draws a random id, and forked workers, whose server has imported
this, would all go on from there, with the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from barray.actors.backtest_actor import BacktestActor
from barray.actors.nodes import Claim
from barray.actors.portfolio_actor import PortfolioActor
from barray.actors.ray_start.patch import quick_exports
from barray.actors.scan_actor import ScanActor
from barray.actors.symbol_actor import SymbolActor
from barray.actors.trader_actor import TraderActor
from barray.actors.validation import validate_chunk
from barray.data_sources.fetching.gateway import Gateway

COORDINATOR = "coordinator"
_NAMESPACE = "barray-"
_PULSE = "pulse"


@cache
def _remote(kind: Any) -> Any:
    return ray.remote(kind)


@cache
def _remote_with_pulse(kind: Any) -> Any:
    """Calls are carried out one after another in a thread of their own, and `pulse` is answered meanwhile."""
    remote: Any = ray.remote  # its types don't know concurrency groups
    return remote(concurrency_groups={_PULSE: 1})(kind)


def _nothing() -> None:
    pass


def new_symbol_actor(**where: Any) -> ActorHandle[SymbolActor]:
    """Ask Ray for a symbol actor (`where`: options of `placed`); it belongs to the caller and dies with it.

    Ray restarts nothing: the coordinator brings a dead one back by replay.
    """
    handle: ActorHandle[SymbolActor] = _new_actor(_remote(SymbolActor), where)
    return handle


def new_backtest_actor(**where: Any) -> ActorHandle[BacktestActor]:
    """The same, to hold a range of sessions and run strategies over it. It has a pulse, for its work may take long."""
    handle: ActorHandle[BacktestActor] = _new_actor(_remote_with_pulse(BacktestActor), where)
    return handle


def new_portfolio_actor(**where: Any) -> ActorHandle[PortfolioActor]:
    """The same, to run a portfolio over what others have published."""
    handle: ActorHandle[PortfolioActor] = _new_actor(_remote_with_pulse(PortfolioActor), where)
    return handle


def new_trader_actor(**where: Any) -> ActorHandle[TraderActor]:
    """The same, to trade in a session."""
    handle: ActorHandle[TraderActor] = _new_actor(_remote_with_pulse(TraderActor), where)
    return handle


def new_scan_actor(**where: Any) -> ActorHandle[ScanActor]:
    """The same, to evaluate scans on a share of a universe."""
    handle: ActorHandle[ScanActor] = _new_actor(_remote_with_pulse(ScanActor), where)
    return handle


def placed(claim: Claim, node: str | None, selector: Mapping[str, str]) -> dict[str, Any]:
    """Options of an actor that claims so much, on a node (elsewhere, should it be gone), or wherever there is room.

    Then it may have to wait for a node that Ray's autoscaler adds.
    """
    options: dict[str, Any] = {"num_cpus": claim.cpus, "label_selector": dict(selector) or None}
    if claim.memory:
        options["memory"] = claim.memory
    if node is not None:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=True)
    return options


def this_actor() -> Any:
    """A handle of the actor that asks, for others to call."""
    return ray.get_runtime_context().current_actor


def pulse(actor: Any) -> Any:
    """Ask an actor that has a pulse whether it is alive."""
    return actor.pulse.options(concurrency_group=_PULSE, enable_task_events=False).remote()


def _new_actor(kind: Any, where: Mapping[str, Any]) -> Any:
    with quick_exports():
        return kind.options(max_restarts=0, max_task_retries=0, enable_task_events=False, **where).remote()


def submit_validation(
    num_cpus: float, selector: Mapping[str, str], node: str | None, *arguments: Any
) -> ray.ObjectRef[Any]:
    """Run `validate_chunk` as a task, anywhere that `selector` allows: on `node`, if it has room now.

    Ray can't tell a call that was lost on its way from a worker that died, so it tries often.
    """
    task = _remote(validate_chunk)
    there = NodeAffinitySchedulingStrategy(node, soft=True, _spill_on_unavailable=True) if node else "SPREAD"
    reference: ray.ObjectRef[Any] = task.options(
        num_cpus=num_cpus,
        label_selector=dict(selector) or None,
        max_retries=20,
        scheduling_strategy=there,
        enable_task_events=False,
    ).remote(*arguments)
    return reference


def gateway_actor(credential: str) -> ActorHandle[Gateway]:
    """The gateway of a credential on this Ray, started on this node where there is none; the starter's end is its end.

    It is one a credential, whatever sessions run: the rate limit is the credential's.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    handle: ActorHandle[Gateway] = (
        _remote(Gateway)
        .options(
            name=f"gateway-{credential}",
            namespace=f"{_NAMESPACE}gateways",
            get_if_exists=True,
            num_cpus=0,
            scheduling_strategy=here,
            max_restarts=0,
            max_concurrency=16,
            enable_task_events=False,
        )
        .remote()
    )
    return handle


def on_each_host(work: Callable[..., Any], *arguments: Any) -> list[ray.ObjectRef[Any]]:
    """Call a function once on each machine that has a node of this Ray, or several."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    hosts = {node["NodeManagerHostname"]: node["NodeID"] for node in nodes if node["Alive"]}
    there = [NodeAffinitySchedulingStrategy(node, soft=False) for node in hosts.values()]
    task = _remote(work)
    return [
        task.options(num_cpus=0, scheduling_strategy=one, enable_task_events=False).remote(*arguments) for one in there
    ]


def start_idle_worker() -> None:
    """Have Ray start a worker; it stays idle, for the first task that comes."""
    _remote(_nothing).options(num_cpus=0.5, enable_task_events=False).remote()


def new_coordinator(kind: type, session_name: str, *arguments: Any) -> ActorHandle[Any]:
    """Start the coordinator of a session under its name, in a namespace of its own, so that others can attach.

    It runs on the node of its driver: no other node's end is the session's end.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    coordinator = _remote(kind).options(
        name=COORDINATOR,
        namespace=namespace(session_name),
        num_cpus=0,
        scheduling_strategy=here,
        max_restarts=0,
        max_concurrency=100,
        enable_task_events=False,
    )
    with quick_exports():
        handle: ActorHandle[Any] = coordinator.remote(*arguments)
    return handle


def find_coordinator(session_name: str) -> ActorHandle[Any]:
    """The coordinator of a running session; ValueError if there is none."""
    return ray.get_actor(COORDINATOR, namespace=namespace(session_name))


def running_sessions() -> list[str]:
    """Names of the sessions that run on this Ray, sorted."""
    actors = ray.util.list_named_actors(all_namespaces=True)
    return sorted(
        actor["namespace"].removeprefix(_NAMESPACE)
        for actor in actors
        if actor["name"] == COORDINATOR and actor["namespace"].startswith(_NAMESPACE)
    )


def cluster_cpus() -> int:
    """CPUs of all nodes together, at least 1."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))


def namespace(session_name: str) -> str:
    """The Ray namespace of a session."""
    return f"{_NAMESPACE}{session_name}"
