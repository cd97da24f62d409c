"""A coordinator that counts what it does, and exports it where its Ray exports metrics at all; and that logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from barray.actors.metrics import Metric, node_exports
from barray.coordinator.asked_once import AskedOnce
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.log_files import begin_log
from barray.coordinator.measures import MEASURES, Tally, samples

logger = logging.getLogger(__name__)
EXPORT_S = 5.0
"""How often; Ray itself reports every ten seconds. A run that is over sooner looks for no endpoint."""


class Measured(AskedOnce):
    """See the module. `tally` is there to be counted into."""

    def __init__(self, config: SessionConfig) -> None:
        super().__init__()
        self._config = config
        self.tally = Tally(perf_counter())
        self._export: asyncio.Task[None] | None = None

    @property
    def _phase(self) -> str:
        return self.tally.phase

    @_phase.setter
    def _phase(self, phase: str) -> None:
        self.tally.enter(phase, perf_counter())
        logger.info("begins")

    def status(self) -> dict[str, Any]:
        """Where it stands, in JSON types."""
        raise NotImplementedError

    def log_context(self) -> dict[str, Any]:
        """What stands in each line that it logs, beside its name."""
        return {"phase": self.tally.phase}

    async def gateway_requests(self) -> int:
        """How many requests its gateways have made; it has none."""
        return 0

    async def once(
        self, asker: str, number: int, settled: int, method: str, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        """See AskedOnce. With the first call it begins to export, and to log into its node's file."""
        if self._export is None:
            self._export = asyncio.ensure_future(self._export_all())
            begin_log(self._config.name, self._config.log_level, self.log_context)
            logger.info("%s", type(self).__name__)
        return await super().once(asker, number, settled, method, arguments, options)

    async def _export_all(self) -> None:
        await asyncio.sleep(EXPORT_S)
        if not node_exports():
            return
        name = self.status()["name"]
        metrics = {one: Metric(one.name, one.kind, one.meaning, one.tags, name) for one in MEASURES}
        while True:
            for sample in samples(self.tally, self.status(), await self.gateway_requests(), perf_counter()):
                metrics[sample.measure].record(sample.value, sample.tags)
            await asyncio.sleep(EXPORT_S)
