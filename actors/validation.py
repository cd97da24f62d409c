"""Step 0 for a few symbols, run as a Ray task; no slow symbol holds up the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from typing import Any, TypeVar

from barray.data_sources.environment import take_credentials
from barray.data_sources.manager import DataManager
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.session_range import SessionRange
from barray.market.validation import Reason, SymbolValidationResult

Results = dict[str, Any]
"""By symbol: SymbolValidationResult; over a range RangeValidation, but for what came too late."""
T = TypeVar("T")


def validate_chunk(
    symbols: Sequence[str],
    manager: DataManager,
    requirements: SymbolRequirements,
    context: SessionContext | SessionRange,
    deadline_s: float,
) -> Results:
    """Validate all at once and, where that takes longer than one symbol may, each by itself, side by side.

    A symbol that then still hangs fails with the code `deadline`. At most twice `deadline_s` passes, wall clock.
    """
    take_credentials()

    def validate(chosen: Sequence[str]) -> Results:
        if isinstance(context, SessionRange):
            return dict(manager.validate_range(chosen, requirements, context))
        return dict(manager.validate(chosen, requirements, context))

    together = _within(deadline_s, [partial(validate, symbols)])[0]
    if together is not None:
        return together
    if len(symbols) == 1:
        return {symbols[0]: _late(symbols[0], manager, deadline_s)}
    found = _within(deadline_s, [partial(validate, [symbol]) for symbol in symbols])
    return {
        symbol: results[symbol] if results else _late(symbol, manager, deadline_s)
        for symbol, results in zip(symbols, found, strict=True)
    }


def _within(deadline_s: float, calls: Sequence[Callable[[], T]]) -> list[T | None]:
    """Results of the calls, each in a thread; None for one not done in time, whose thread is left behind (a daemon)."""
    futures: list[Future[T]] = [Future() for _ in calls]

    def work(future: Future[T], call: Callable[[], T]) -> None:
        try:
            future.set_result(call())
        except Exception as error:  # of any kind: it is raised where the result is waited for
            future.set_exception(error)

    for future, call in zip(futures, calls, strict=True):
        threading.Thread(target=work, args=(future, call), daemon=True).start()
    wait(futures, deadline_s, FIRST_EXCEPTION)
    return [future.result() if future.done() else None for future in futures]


def _late(symbol: str, manager: DataManager, deadline_s: float) -> SymbolValidationResult:
    names = tuple(source.name for source in manager.sources)
    reason = Reason(
        "deadline",
        f"no answer within {deadline_s:g} s from {', '.join(names)}",
        "check the source, or raise validation.deadline_s",
    )
    return SymbolValidationResult(
        symbol, reason=str(reason), reasons=(reason,), sources_asked=names, elapsed_s=deadline_s
    )
