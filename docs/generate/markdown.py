"""The little of Markdown that generated pages need."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what its cells hold may contain `|`."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def prose(documented: object) -> str:
    """The docstring of an object, as it stands."""
    return inspect.getdoc(documented) or ""


def code(text: object) -> str:
    """`text` as code."""
    return f"`{text}`"
