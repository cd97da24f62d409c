"""Scans of a recorded live day, run again in this process over the universe's bars as they came."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from barray.coordinator.scan_fleet import MINUTE, PreparedScan, met
from barray.market.bars import COLUMNS, Bars
from barray.market.errors import BarrayError
from barray.market.universe.growing import last_versions
from barray.trading.engine.day_again import Others, with_others
from barray.trading.engine.recording import Recording
from barray.trading.scans.again import Members, ScansAgain, Step, as_told, follow_again
from barray.trading.scans.commands import SessionParts
from barray.trading.scans.following import ScanSteps
from barray.trading.scans.past import NotReadable
from barray.trading.scans.plan import Plan
from barray.trading.scans.shard import ScanShard


def run_scans_again(recording: Recording, prepared: PreparedScan) -> ScansAgain:
    """Run a recorded day's scans twice. What they look at of earlier sessions is read where the config has it; what
    came of their wishes is what came of them then. BarrayError where bars of earlier sessions can't be read.
    """
    code = recording.scanned.code
    changed = tuple(one.name for one in prepared.rules() if code.get(one.name) != one.digest)
    (again, full), (corrected, other) = (_Again(recording, prepared).run(corrected=flag) for flag in (False, True))
    return ScansAgain(recording.scanned.steps, again, corrected, changed, full, other)


class _Again:
    def __init__(self, recording: Recording, prepared: PreparedScan) -> None:
        self._scanned, self._prepared = recording.scanned, prepared
        span = prepared.session_range
        self._row: int = span.rows.tolist()[span.dates.index(recording.context.session_date)]
        self._context = recording.context

    def run(self, *, corrected: bool) -> tuple[tuple[Step, ...], Members]:
        """Steps, and whom scans had made full."""
        full: list[tuple[int, frozenset[str]]] = []
        shard = ScanShard(self._prepared.job(MINUTE, self._scanned.universe))
        plans, steps = self._prepared.plans(), ScanSteps(self._prepared.rules())
        failed = set(_able(shard.open, self._row, {}).failures)
        if corrected:
            shard.take_in(last_versions(one.tape for one in self._scanned.looked_at))
        for look in self._scanned.looks:
            for one in () if corrected else look.bars:
                shard.take_in(one.tape)
            due = [plan for plan in plans if plan.name not in failed and look.at_ns in self._times(plan)]
            part = _able(shard.look, look.at_ns, [plan.name for plan in due])
            looked = met(due, self._prepared.session_range.timezone, [part])
            if isinstance(looked, BarrayError):
                raise looked
            failed |= looked.failures.keys()
            if found := [(one.scan, hits) for one in looked.found for hits in one.hits]:
                follow_again(steps, look.at_ns, look.step, found)
            full.append((look.at_ns, steps.full))
        return tuple(map(as_told, steps.taken)), full

    def _times(self, plan: Plan) -> frozenset[int]:
        context, zone = self._context, self._prepared.session_range.timezone
        return frozenset(plan.times.of(context.session_date, context.open_ns, context.close_ns, zone).tolist())


def _able(work: Callable[..., SessionParts], *arguments: Any) -> SessionParts:
    try:
        return work(*arguments)
    except NotReadable as failed:
        raise failed.error from failed


def others_of(recording: Recording, prepared: PreparedScan, scans: ScansAgain) -> Others | None:
    """Whom corrected scans would have had the strategy see; None where the day's own don't come to the same again.
    BarrayError as for `run_scans_again`.
    """
    if scans.difference is not None:
        return None
    steps = with_others(recording.steps, scans.full, scans.full_corrected)
    universe, context = recording.scanned.universe, recording.context
    seen = sorted({symbol for step in steps for symbol in step.joined}.intersection(universe))
    tape = last_versions(one.tape for one in recording.scanned.looked_at)
    bars = {symbol: tape.bars.take(tape.who == bisect_left(universe, symbol)) for symbol in seen}
    if new := tuple(symbol for symbol in seen if symbol not in recording.columns):
        before = context.sessions.take(slice(context.history_row, context.row))
        stack, _ = prepared.reader.read_stack(MINUTE, before, symbols=new, columns=COLUMNS)
        bars |= {symbol: Bars.concat([stack.bars_of(symbol), bars[symbol]]) for symbol in stack.symbols}
    return Others(steps, bars)
