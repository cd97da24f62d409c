"""What a notebook shows: small tables in which everything is text, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import isnan

NOTHING = "–"


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str) -> str:
    """A table under a title."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<table class="dataframe" border="1"><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def figure(value: object) -> str:
    """`1,234.5`, `yes`, `–` for what has no value; anything else as it reads."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)
