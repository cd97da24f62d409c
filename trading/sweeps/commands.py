"""What the process that holds a symbol's bars can be told in a sweep, and what it answers. All frozen."""

from __future__ import annotations

from dataclasses import dataclass

from barray.market.commands import Logged
from barray.market.validation import Reason
from barray.trading.engine.commands import LoadRange, Plan
from barray.trading.sweeps.evaluate import SetTable
from barray.trading.sweeps.parameter_sets import ParameterSet


@dataclass(frozen=True)
class EvaluateSets(Logged):
    """Run many parameter sets over a range, which is loaded if it isn't yet, and kept for the next.

    `plan.parameters` are those that the sets leave alone.
    """

    recorded = False
    load: LoadRange
    plan: Plan
    sets: tuple[ParameterSet, ...]


@dataclass(frozen=True)
class SetsEvaluated:
    """What the sets achieved on the symbol. `warnings`: moves of its prices that are suspected."""

    table: SetTable
    warnings: tuple[Reason, ...] = ()
