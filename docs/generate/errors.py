"""Errors, from their classes, and the codes that they and reasons carry, from their list."""

from __future__ import annotations

import barray
from barray.market.errors import BarrayError
from barray.market.reason_codes import MEANINGS
from barray.trading.orders.reasons import CODES
from docs.generate.markdown import code, prose, table


def errors_reference() -> str:
    """A table of the errors that the package exports: class, base, code where none is given, meaning."""
    found = [value for name in barray.__all__ if _is_error(value := getattr(barray, name))]
    rows = [(code(e.__name__), code(e.__base__.__name__), code(e.default_code), _first(prose(e))) for e in found]
    return table(("error", "is a", "code by default", "meaning"), rows)


def reason_codes() -> str:
    """A table of the codes that errors and reasons carry, and what each means."""
    return table(("code", "meaning"), [(code(name), meaning) for name, meaning in sorted(MEANINGS.items())])


def order_codes() -> str:
    """A table of the codes that orders carry, and what each means."""
    return table(("code", "meaning"), [(code(name), meaning) for name, meaning in sorted(CODES.items())])


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BarrayError)


def _first(text: str) -> str:
    return text.partition("\n\n")[0].replace("\n", " ")
