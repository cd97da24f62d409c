"""A portfolio's run, step by step: enough for another coordinator to go on after any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from barray.market.validation import Reason
from barray.trading.engine.commands import SessionOutcome, SessionsRun
from barray.trading.orders.order_columns import NO_ORDERS, Orders
from barray.trading.results.ledger import LoadedBars
from barray.trading.scans.result import SessionScanned


@dataclass(frozen=True)
class Step:
    """Sessions that were run in one go (their rows, and `days`, ISO dates), and what they brought.

    `bars`: that were laid out since the step before, each with its symbol and whether that is a guest; `skipped`:
    sessions that symbols have no bars in, and why, by ISO date; `dropped`: symbols that were lost since then.
    `working`: orders that have not ended; `error`: what had ended the run by then. `scanned`: what scans found.
    """

    rows: tuple[int, ...]
    days: tuple[str, ...]
    outcomes: tuple[SessionOutcome, ...]
    bars: tuple[tuple[str, bool, LoadedBars], ...] = ()
    skipped: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    dropped: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    working: Orders = NO_ORDERS
    error: str | None = None
    scanned: tuple[SessionScanned, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """A step, with the state that it led to."""

    step: Step
    state: bytes


@dataclass
class Since:
    """What has come about since the last step; see Step."""

    bars: list[tuple[str, bool, LoadedBars]] = field(default_factory=list)
    skipped: dict[str, dict[str, str]] = field(default_factory=dict)
    dropped: dict[str, tuple[Reason, ...]] = field(default_factory=dict)
    scanned: list[SessionScanned] = field(default_factory=list)

    def step(self, rows: Sequence[int], days: Sequence[str], run: SessionsRun, error: str | None) -> Step:
        """The step, now that these sessions were run."""
        came = tuple(self.bars), self.skipped, self.dropped
        outcomes = tuple(map(_plain, run.outcomes))
        return Step(tuple(rows), tuple(days), outcomes, *came, run.working, error, tuple(self.scanned))


def _plain(outcome: SessionOutcome) -> SessionOutcome:
    """Without what its scans came to, which stands in what they found."""
    return SessionOutcome(**{one.name: getattr(outcome, one.name) for one in fields(SessionOutcome)})
