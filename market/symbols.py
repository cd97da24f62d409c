"""What may be a symbol: letters, digits and the marks exchanges use, never anything that a path could be made of."""

from __future__ import annotations

import re

from barray.market.errors import ConfigError

_PATTERN = re.compile(r"[A-Za-z0-9^][A-Za-z0-9._^=-]{0,31}")


def symbol_problem(symbol: object) -> str | None:
    """Why `symbol` cannot name an instrument, or None. Such a symbol is dropped before any source is asked."""
    if not isinstance(symbol, str):
        return f"a symbol is text, not {type(symbol).__name__}"
    if not symbol:
        return "the symbol is empty"
    if len(symbol) > 32:
        return f"the symbol has {len(symbol)} characters, more than 32"
    if _PATTERN.fullmatch(symbol) is None:
        return "a symbol consists of A-Z, a-z, 0-9 and . _ ^ = -, and starts with a letter, digit or ^"
    return None


def is_symbol(symbol: object) -> bool:
    """Whether it can name an instrument."""
    return symbol_problem(symbol) is None


def require_text(symbol: object) -> None:
    """ConfigError for a symbol that is no text; what the text may be, Step 0 and the light checks say."""
    if not isinstance(symbol, str):
        raise ConfigError(
            f"a symbol is text, not {type(symbol).__name__}", remedy='write it as "7203"', code="bad_symbol"
        )
