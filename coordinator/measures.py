"""What a coordinator counts, and what of it is exported: names, kinds and values. Pure: times are given.

Tags are session, phase and state, never a symbol: Prometheus keeps a series for each value that a tag has had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from barray.market.commands import Appended, Loaded, Report


@dataclass(frozen=True)
class Measure:
    """Something exported. A counter only grows; a gauge is as it is. `tags`: beside the session's name."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    tags: tuple[str, ...] = ()

    @property
    def exported_name(self) -> str:
        """Its name at Ray's endpoint."""
        return f"ray_{self.name}_total" if self.kind == "counter" else f"ray_{self.name}"


PHASE_SECONDS = Measure("barray_phase_seconds", "counter", "Seconds that a run has spent in each phase.", ("phase",))
SYMBOLS = Measure("barray_symbols", "gauge", "Symbols of a session: full, adhoc, pending, dropped.", ("state",))
STEPS = Measure("barray_steps", "gauge", "Steps of a phase (symbols; a scan's sessions): done, all.", ("state",))
PROCESSES = Measure("barray_processes", "gauge", "Processes of symbols and strategies.")
RESTARTS = Measure("barray_process_restarts", "counter", "Processes that were lost and started again.")
BARS = Measure("barray_bars", "counter", "Bars that symbols have taken in, or a backtest's results have run through.")
REQUESTS = Measure("barray_gateway_requests", "counter", "Requests of the gateways that a run uses, to their vendors.")
LIVE_LAG = Measure("barray_live_lag_seconds", "gauge", "From a minute's end until its bars were with all symbols.")
MEASURES = (PHASE_SECONDS, SYMBOLS, STEPS, PROCESSES, RESTARTS, BARS, REQUESTS, LIVE_LAG)

_STATES = ("full", "adhoc", "pending", "dropped")


@dataclass(frozen=True)
class Sample:
    """A value of a measure; of a counter what it has come to, in all."""

    measure: Measure
    value: float
    tags: Mapping[str, str] = field(default_factory=dict)


class Tally:
    """Counts of one coordinator: phases by name with their seconds, by a clock that its caller reads, and bars."""

    def __init__(self, at_s: float) -> None:
        self.phase = "clean"
        self.bars = 0
        self._entered_s = at_s
        self._seconds: dict[str, float] = {}

    def enter(self, phase: str, at_s: float) -> None:
        """Another phase begins."""
        self._seconds = self.phase_seconds(at_s)
        self.phase, self._entered_s = phase, at_s

    def phase_seconds(self, at_s: float) -> dict[str, float]:
        """How long each phase has taken so far, the present one included."""
        so_far = self._seconds.get(self.phase, 0.0)
        return {**self._seconds, self.phase: so_far + at_s - self._entered_s}

    def take(self, reports: Mapping[str, Report]) -> None:
        """Count the bars that symbols report to have taken in."""
        for report in reports.values():
            if isinstance(report, Loaded):
                self.bars += report.lineage.bars
            elif isinstance(report, Appended):
                self.bars += report.new + report.late


def samples(tally: Tally, status: Mapping[str, Any], requests: int, at_s: float) -> Iterator[Sample]:
    """What is exported of a coordinator. `status`: as it tells it; `requests`: of its gateways."""
    for phase, seconds in tally.phase_seconds(at_s).items():
        yield Sample(PHASE_SECONDS, seconds, {"phase": phase})
    for state in _STATES:
        if state in status:
            yield Sample(SYMBOLS, len(status[state]), {"state": state})
    for state, count in zip(("done", "all"), status["progress"], strict=True):
        yield Sample(STEPS, count, {"state": state})
    yield Sample(PROCESSES, status["processes"])
    yield Sample(RESTARTS, status["restarts"])
    yield Sample(BARS, tally.bars)
    yield Sample(REQUESTS, requests)
    if live := status.get("live"):
        yield Sample(LIVE_LAG, live["lag_s"])
