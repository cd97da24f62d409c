"""What earlier processes did of a backtest, as its checkpoint says, and how it is added to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from barray.checkpoint.checkpoint import Checkpoint
from barray.checkpoint.kinds import Done
from barray.coordinator.steps import Step, Stepped
from barray.trading.results.logs import Logs
from barray.trading.results.result import SymbolResult


@dataclass(frozen=True)
class Earlier:
    """`results`: by symbol, where each is by itself; of a portfolio `steps`, and the name of the state that they led
    to.
    """

    kept: Checkpoint | None = None
    results: Mapping[str, SymbolResult] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    state: str = ""

    @classmethod
    def of(cls, kept: Checkpoint | None) -> Earlier:
        """What the checkpoint says, if there is one."""
        done = kept.done if kept is not None else ()
        steps = [one for one in done if isinstance(one, Done)]
        results = {one.symbol: one for one in done if isinstance(one, SymbolResult)}
        return cls(kept, results, tuple(one.what for one in steps), steps[-1].state if steps else "")

    def state_bytes(self) -> bytes:
        """The state; errors as of Checkpoint.state."""
        return self.kept.state(self.state) if self.kept is not None else b""

    def keep(self, done: Sequence[SymbolResult | Logs | Stepped], *, by_symbol: bool) -> None:
        """Write down what has come; results only where each symbol is by itself. Errors as of Checkpoint."""
        if self.kept is None:
            return
        for one in done:
            if isinstance(one, Stepped):
                self.kept.add_with_state(one.step, one.state)
        if by_symbol:
            self.kept.add([one for one in done if isinstance(one, SymbolResult)])
