"""Hides secrets: in errors, and in what the libraries that handle them log."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable
from urllib.parse import quote


class Redaction(logging.Filter):
    """Replaces the secrets it knows by `***`; as a filter of a logger, in every record of it."""

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        self._secrets: tuple[str, ...] = ()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Hide these too, as they are and as they stand in a URL or a form."""
        known = {*self._secrets, *(form for secret in secrets if secret for form in (secret, quote(secret, safe="")))}
        self._secrets = tuple(sorted(known, key=lambda secret: (-len(secret), secret)))  # none cuts a longer one

    def hidden(self, text: str) -> str:
        """The text without any of them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without secrets."""
        record.msg, record.args = self.hidden(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self.hidden(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True

    def guard(self, loggers: Iterable[str], owner: object) -> None:
        """Go over everything that these loggers say, as long as `owner` lives."""
        for name in loggers:
            logger = logging.getLogger(name)
            logger.addFilter(self)
            weakref.finalize(owner, logger.removeFilter, self)
