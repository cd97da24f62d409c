"""Text, numbers and tables as HTML. Whatever comes from outside passes through `text`, so nothing of it is markup."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from barray.market.interval import NS_PER_SECOND

NOTHING = "–"
_MINUS = "−"


class Html(str):
    """Markup, made here: not escaped again."""

    __slots__ = ()


def text(value: object) -> Html:
    """`value` as text that is safe between tags and in quoted attributes."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Html:
    """The parts, each escaped unless it is markup."""
    return Html(between.join(text(part) for part in parts))


def number(value: float | None, digits: int = 2, unit: str = "", sign: bool = False) -> str:
    """`1,234.50`: grouped, with a real minus; `–` for what has no value, `∞` beyond every bound."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    shown = f"{abs(value):,.{digits}f}"
    zero = not shown.strip("0.,")
    before = "" if zero else _MINUS if value < 0 else "+" if sign else ""
    return f"{before}{shown}{unit}"


def money(value: float | None, sign: bool = False) -> str:
    """A sum as tiles show it: with cents below 10,000."""
    return number(value, 0 if value is not None and abs(value) >= 10_000 else 2, sign=sign)


def percent(value: float | None, sign: bool = False) -> str:
    """`value` is in per cent already."""
    return number(value, 2, "%", sign)


def tone(value: float | None) -> str:
    """The class that colours a gain or a loss; empty for neither."""
    if value is None or not value or math.isnan(value):
        return ""
    return "gain" if value > 0 else "loss"


def toned(shown: str, value: float | None) -> Html:
    """`shown`, coloured by the sign of `value`."""
    name = tone(value)
    return Html(f'<span class="{name}">{escape(shown)}</span>') if name else text(shown)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1, kind: str = "", name: str = ""
) -> Html:
    """A table whose first `left` columns are text, the others numbers; `kind` its classes, `name` its caption."""
    head = "".join(
        f'<th scope="col"{"" if place < left else " class=n"}>{escape(title)}</th>'
        for place, title in enumerate(columns)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{'' if place < left else ' class=n'}>{text(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    caption = f"<caption>{escape(name)}</caption>" if name else ""
    return Html(
        f'<div class="scroll" tabindex="0"><table class="{escape(kind)}">{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def pairs(entries: Mapping[str, Any]) -> Html:
    """Names and values as a description list; mappings inside are written with dots."""
    rows = (f"<div><dt>{text(name)}</dt><dd>{text(_value(value))}</dd></div>" for name, value in _flat("", entries))
    return Html(f'<dl class="pairs">{"".join(rows)}</dl>')


def _flat(before: str, entries: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in entries.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{before}{name}.", value)
        else:
            yield f"{before}{name}", value


def _value(value: Any) -> str:
    if value is None or (isinstance(value, (Mapping, list, tuple)) and not value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(entry) for entry in value)
    if isinstance(value, float):
        return f"{value:,.10g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def section(anchor: str, title: str, *content: object, note: object = "") -> Html:
    """A section of the page, with a sentence beside the title."""
    beside = f'<p class="note">{text(note)}</p>' if note else ""
    return Html(f'<section id="{anchor}"><header><h2>{escape(title)}</h2>{beside}</header>{join(content)}</section>\n')


def top(kind: str, name: object, facts: Iterable[object]) -> Html:
    """The head of a page: what kind of report it is, of what, and facts in a row."""
    listed = join(Html(f"<li>{text(fact)}</li>") for fact in facts if fact)
    return Html(
        f'<header class="top"><p class="kicker">{escape(kind)}</p><h1>{text(name)}</h1>'
        f'<ul class="facts">{listed}</ul></header>\n'
    )


def counted(entries: Iterable[tuple[int, str, str]]) -> Html:
    """How many there are of each kind, in a row: the number, what it counts, and the class that colours it, if any."""
    listed = (f'<li class="{kind}"><b>{many:,}</b> {text(name)}</li>' for many, name, kind in entries)
    return Html(f'<ul class="counts">{"".join(listed)}</ul>')


def folded(summary: object, content: object) -> Html:
    """Content that is opened on demand."""
    return Html(f"<details><summary>{text(summary)}</summary>{text(content)}</details>")


def when(stamp_ns: int | None, timezone: str, before: str = "") -> str:
    """A UTC stamp as a clock in `timezone` shows it, after `before`; without one, nothing if there is a `before`."""
    if stamp_ns is None:
        return "" if before else NOTHING
    moment = datetime.fromtimestamp(stamp_ns // NS_PER_SECOND, UTC).astimezone(ZoneInfo(timezone))
    return f"{before}{moment:%Y-%m-%d %H:%M}{f':{moment:%S}' if moment.second else ''}"


def price(value: float) -> str:
    """A price, of pennies with more digits."""
    return number(value, 2 if abs(value) >= 1 else 5)


def digits(quantity: float) -> int:
    """How many to show of a quantity: none of whole ones."""
    return 0 if math.isnan(quantity) or quantity == round(quantity) else 4


def count(many: int, what: str) -> str:
    """`1 trade`, `2 trades`."""
    return f"{many:,} {what}{'' if many == 1 else 's'}"
