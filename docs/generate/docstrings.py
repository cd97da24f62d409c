"""Docstrings are written in the Markdown that editors show; the reference wants reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CODE = re.compile(r"(`+)(.+?)\1")
_SPECIAL = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def to_rst(lines: Sequence[str]) -> list[str]:
    """The same in reStructuredText: code in double backticks, indented blocks as code, nothing else of a meaning."""
    found: list[str] = []
    in_code = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if indented and not in_code and number and not lines[number - 1].strip():
            found += [".. code-block:: python", ""]
            in_code = True
        elif line.strip() and not indented:
            in_code = False
        found.append(line if in_code else _inline(line))
    return found


def _inline(line: str) -> str:
    parts: list[str] = []
    at = 0
    for span in _CODE.finditer(line):
        parts += [_SPECIAL.sub(r"\\\1", line[at : span.start()]), f"``{span[2]}``"]
        if line[span.end() : span.end() + 1].isalnum():
            parts.append("\\ ")
        at = span.end()
    return "".join([*parts, _SPECIAL.sub(r"\\\1", line[at:])])
