"""The errors of barray: one small tree, every one saying what is wrong, with what, and what would mend it."""

from __future__ import annotations

from typing import Any, ClassVar

from barray.market.reason_codes import ReasonCode


class BarrayError(Exception):
    """Base of all errors. The parts stay readable as attributes and survive pickling between processes."""

    def __init__(
        self,
        reason: str,
        *,
        symbol: str | None = None,
        interval: str | None = None,
        source: str | None = None,
        remedy: str | None = None,
        code: ReasonCode | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.symbol = symbol
        self.interval = interval
        self.source = source
        self.remedy = remedy
        self.code: ReasonCode = code or self.default_code

    default_code: ClassVar[ReasonCode] = "error"

    def __str__(self) -> str:
        subject = " ".join(part for part in (shorten(self.symbol), self.interval) if part)
        if self.source:
            subject = f"{subject} [{self.source}]".strip()
        text = f"{subject}: {self.reason}" if subject else self.reason
        return f"{text}; {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.reason, self.__dict__)


def _rebuild(kind: type[BarrayError], reason: str, attributes: dict[str, Any]) -> BarrayError:
    error = kind(reason)
    error.__dict__.update(attributes)
    return error


def shorten(text: str | None, limit: int = 40) -> str | None:
    """Make `text` fit for a message: printable, at most `limit` characters (a symbol may be anything a user typed)."""
    if text is None:
        return None
    shown = text if text.isprintable() and text else ascii(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


class ConfigError(BarrayError):
    """The user's configuration or arguments cannot be meant as they stand."""

    default_code = "config"


class DataError(BarrayError):
    """Data exist but cannot be right: corrupt file, wrong columns, unsorted stamps, high below low …"""

    default_code = "bad_data"


class NoDataError(BarrayError):
    """What was asked for is not there."""

    default_code = "no_data"


class SourceUnavailable(BarrayError):
    """A source could not be asked at all: unreachable, no permission, deadline passed."""

    default_code: ClassVar[ReasonCode] = "source_unavailable"


class IllegalTransition(BarrayError):
    """An event that the current state has no move for. Nothing was changed."""

    default_code = "illegal_transition"


class ValidationFailed(BarrayError):
    """Step 0 left nothing to run: every symbol failed, or one did where one is enough to stop."""

    default_code = "validation_failed"


class ActorFailed(BarrayError):
    """A symbol's process died or hung more often than it is brought back."""

    default_code = "actor_failed"
