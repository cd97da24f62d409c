"""Step 0 for a few symbols, run as a Ray task; no slow symbol holds up the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, TypeVar

from barray.data_sources.manager import DataManager
from barray.market.clock import monotonic_s
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

    def validate(chosen: Sequence[str]) -> Results:
        if isinstance(context, SessionRange):
            return dict(manager.validate_range(chosen, requirements, context))
        return dict(manager.validate(chosen, requirements, context))

    together = _within(deadline_s, [lambda: validate(symbols)])[0]
    if together is not None:
        return together
    if len(symbols) == 1:
        return {symbols[0]: _late(symbols[0], manager, deadline_s)}

    def alone(symbol: str) -> Callable[[], Results]:
        return lambda: validate([symbol])

    found = _within(deadline_s, [alone(symbol) for symbol in symbols])
    return {
        symbol: results[symbol] if results else _late(symbol, manager, deadline_s)
        for symbol, results in zip(symbols, found, strict=True)
    }


def _within(deadline_s: float, calls: Sequence[Callable[[], T]]) -> list[T | None]:
    """Results of the calls, each in a thread; None for one not done in time, whose thread is left behind (a daemon)."""
    done: SimpleQueue[tuple[int, Callable[[], T]]] = SimpleQueue()

    def work(index: int, call: Callable[[], T]) -> None:
        try:
            result = call()
        except Exception as error:  # of any kind: it is raised where the result is waited for
            done.put((index, partial(_raise, error)))
        else:
            done.put((index, lambda: result))

    for index, call in enumerate(calls):
        threading.Thread(target=work, args=(index, call), daemon=True).start()
    results: list[T | None] = [None] * len(calls)
    end_s = monotonic_s() + deadline_s
    for _ in calls:
        try:
            index, result = done.get(timeout=max(end_s - monotonic_s(), 0))
        except Empty:
            break
        results[index] = result()
    return results


def _raise(error: Exception) -> NoReturn:
    raise error


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
