"""Where files lie below a root: a path template, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from barray.market.errors import ConfigError

_PLACEHOLDERS = {
    "symbol": r"[^/]+",  # greedy: in {symbol}.{interval}.parquet the dot of BRK.B is the symbol's
    "interval": r"[^/]+?",
    "date": r"\d{4}-\d{2}-\d{2}",
    "month": r"\d{4}-\d{2}",
    "year": r"\d{4}",
}
_PERIODS = {"date": 10, "month": 7, "year": 4}  # how much of 2024-07-01 stands in the name
_FIELD = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True)
class Layout:
    """A path template such as `{symbol}/{interval}/{date}.parquet`.

    Placeholders: `{symbol}`, `{interval}`, and at most one of `{date}` (2024-07-01), `{month}` (2024-07), `{year}`.
    Without `{symbol}` each file holds many symbols, in a symbol column; without a period it holds all dates.
    ConfigError for any other template.
    """

    template: str

    def __post_init__(self) -> None:
        names = _FIELD.findall(self.template)
        problem = None
        if unknown := [name for name in names if name not in _PLACEHOLDERS]:
            problem = f"has the unknown placeholder {{{unknown[0]}}}"
        elif len(names) != len(set(names)):
            problem = "names a placeholder twice"
        elif len([name for name in names if name in _PERIODS]) > 1:
            problem = "has more than one of {date}, {month}, {year}"
        elif "{" in (rest := _FIELD.sub("", self.template)) or "}" in rest:
            problem = "has braces that are no placeholder"
        elif not names or not {"", ".."}.isdisjoint(self.template.split("/")):
            problem = "is no template relative to the root"
        if problem:
            raise ConfigError(
                f"layout {self.template!r} {problem}",
                remedy="use {symbol}, {interval} and one of {date}, {month}, {year}: "
                "{symbol}/{interval}/{date}.parquet",
            )

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The template's path components."""
        return tuple(self.template.split("/"))

    @cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """For each component, the expression that reads its placeholders from a name."""
        return tuple(re.compile(_regex(component)) for component in self.components)

    @cached_property
    def has_symbol(self) -> bool:
        """Whether each file holds one symbol."""
        return "{symbol}" in self.template

    @cached_property
    def period(self) -> str | None:
        """`date`, `month`, `year`, or None where a file holds all dates."""
        return next((name for name in _PERIODS if f"{{{name}}}" in self.template), None)

    def period_of(self, day: date) -> str:
        """The period text of the file that holds `day`; empty where one file holds all."""
        return day.isoformat()[: _PERIODS[self.period]] if self.period else ""

    def days_of(self, period: str) -> tuple[date, date]:
        """First and last day of a period, the reverse of `period_of`; ValueError where the calendar has no such."""
        if not period:
            return date.min, date.max
        first = date.fromisoformat(f"{period}-01-01"[:10])
        if self.period == "year":
            return first, first.replace(month=12, day=31)
        if self.period == "month":
            return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return first, first

    def known(self, component: int, values: Mapping[str, str]) -> str | None:
        """The component's name where `values` fill all its placeholders, else None."""
        text = self.components[component]
        if any(name not in values for name in _FIELD.findall(text)):
            return None
        return _FIELD.sub(lambda field: values[field[1]], text)


def _regex(component: str) -> str:
    parts = _FIELD.split(component)
    literal, names = parts[::2], parts[1::2]
    return "".join(
        re.escape(text) + (f"(?P<{names[i]}>{_PLACEHOLDERS[names[i]]})" if i < len(names) else "")
        for i, text in enumerate(literal)
    )
