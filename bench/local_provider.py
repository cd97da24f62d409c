"""Nodes that an autoscaler has of this machine: Ray's fake provider, whose raylets fork their workers."""

from __future__ import annotations

from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider

from barray.actors.ray_start.patch import altered_ray


class LocalProvider(FakeMultiNodeProvider):
    """Each node is a raylet of this machine, started by the autoscaler's process."""

    def create_node_with_resources_and_labels(self, *arguments: Any) -> None:
        """See ray.autoscaler.node_provider.NodeProvider."""
        with altered_ray():
            super().create_node_with_resources_and_labels(*arguments)  # type: ignore[no-untyped-call]
