"""What lets a process be called again when an answer was lost on its way: it does nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from barray.data_sources.environment import take_credentials

Call = Sequence[Any]
"""A list, which Ray sends as it is where a tuple is pickled: number, symbols to forget before, method, arguments."""


class AnswersOnce:
    """A process that its one caller calls with numbers, one call after another, each number higher than the last."""

    def __init__(self) -> None:
        take_credentials()  # before anybody's strategy is loaded here
        self._answered = 0
        self._answer: Any = None

    def once(self, call: Call) -> Any:
        """Forget symbols, then call a method; the same answer, and nothing done, where this number was answered.

        Forgetting comes along, so that it can't be lost, nor overtake what comes after it. All in one argument: Ray
        serialises each by itself.
        """
        number, forget, method, arguments = call
        if number > self._answered:
            self._answer = None  # two large answers need not be here at once
            if forget:
                self.forget(forget)
            self._answer = getattr(self, method)(*arguments)
            self._answered = number
        return self._answer

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop these symbols with all that is held of them."""
        raise NotImplementedError
