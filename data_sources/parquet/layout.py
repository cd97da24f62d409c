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
    "date": r"\d{4}-\d{2}-\d{2}|\d{8}",
    "month": r"\d{4}-\d{2}|\d{6}",
    "year": r"\d{4}",
    "day": r"\d{1,2}",
}
_MONTH_OF_YEAR = r"\d{1,2}"
_PERIODS: Mapping[frozenset[str], tuple[str | None, int]] = {
    frozenset(): (None, 0),
    frozenset({"date"}): ("date", 10),
    frozenset({"year", "month", "day"}): ("date", 10),
    frozenset({"month", "day"}): ("date", 10),
    frozenset({"month"}): ("month", 7),
    frozenset({"year", "month"}): ("month", 7),
    frozenset({"year"}): ("year", 4),
}
"""By placeholders of time: the period a file holds, and how much of 2024-07-01 that is."""
_FIELD = re.compile(r"\{(\w*)\}")
_EXAMPLES = "{symbol}/{interval}/{date}.parquet, symbol={symbol}/date={date}/*.parquet, {year}/{month}/{day}.parquet"


@dataclass(frozen=True)
class Layout:
    """A path template such as `{symbol}/{interval}/{date}.parquet`.

    Placeholders: `{symbol}`, `{interval}`, and of time `{date}` (2024-07-01 or 20240701), `{month}` (2024-07 or
    202407), `{year}`, or `{year}`, `{month}` (7 or 07) and `{day}` together. Without `{symbol}` each file holds many
    symbols, in a symbol column; without a time it holds all dates. `*` stands for anything inside a name; where several
    files fit, they are the parts of one. ConfigError for any other template.
    """

    template: str

    def __post_init__(self) -> None:
        names = _FIELD.findall(self.template)
        times = [name for name in names if name not in ("symbol", "interval")]
        problem = None
        if unknown := [name for name in names if name not in _PLACEHOLDERS]:
            problem = f"has the unknown placeholder {{{unknown[0]}}}"
        elif self._repeats(names):
            problem = "names a placeholder twice"
        elif frozenset(times) not in _PERIODS:
            listed = " with ".join(f"{{{name}}}" for name in times)
            problem = f"has {listed}: give one of {{date}}, {{month}}, {{year}}, or {{year}}, {{month}}, {{day}}"
        elif "{" in (rest := _FIELD.sub("", self.template)) or "}" in rest:
            problem = "has braces that are no placeholder"
        elif not {"", ".", ".."}.isdisjoint(self.template.split("/")):
            problem = "is no template relative to the root"
        if problem:
            raise ConfigError(f"layout {self.template!r} {problem}", remedy=f"write it as one of {_EXAMPLES}")

    def _repeats(self, names: list[str]) -> bool:
        """Whether a placeholder stands twice; only {symbol} may, in names of its own: SPY/SPY_2024.parquet."""
        others = [name for name in names if name != "symbol"]
        parts = self.template.split("/")
        return len(others) != len(set(others)) or any(part.count("{symbol}") > 1 for part in parts)

    @cached_property
    def components(self) -> tuple[str, ...]:
        """The template's path components."""
        return tuple(self.template.split("/"))

    @cached_property
    def patterns(self) -> tuple[re.Pattern[str], ...]:
        """For each component, the expression that reads its placeholders from a name."""
        month = _MONTH_OF_YEAR if "{year}" in self.template else _PLACEHOLDERS["month"]
        return tuple(re.compile(_regex(component, {**_PLACEHOLDERS, "month": month})) for component in self.components)

    @cached_property
    def has_symbol(self) -> bool:
        """Whether each file holds one symbol."""
        return "{symbol}" in self.template

    @cached_property
    def has_parts(self) -> bool:
        """Whether several files may stand for one."""
        return "*" in self.template

    @cached_property
    def period(self) -> str | None:
        """`date`, `month`, `year`, or None where a file holds all dates."""
        return self._time[0]

    @cached_property
    def _time(self) -> tuple[str | None, int]:
        return _PERIODS[frozenset(_FIELD.findall(self.template)) - {"symbol", "interval"}]

    def period_of(self, day: date) -> str:
        """The period of the file that holds `day`: 2024-07-01, 2024-07 or 2024; empty where one file holds all."""
        return day.isoformat()[: self._time[1]]

    def read_period(self, values: Mapping[str, str]) -> str:
        """The period that placeholders' values name, as `period_of` writes it; ValueError where no calendar has it."""
        if self.period is None:
            return ""
        digits = values.get("date") or "".join(
            values[name].zfill(2) for name in ("year", "month", "day") if name in values
        )
        digits = digits.replace("-", "")
        period = "-".join(text for text in (digits[:4], digits[4:6], digits[6:]) if text)
        self.days_of(period)
        return period

    def values_of(self, day: date) -> dict[str, str]:
        """What the placeholders of time are in the path of the file that holds `day`."""
        text = day.isoformat()
        month = text[5:7] if "{year}" in self.template else text[:7]
        return {"date": text, "year": text[:4], "month": month, "day": text[8:]}

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
        if "*" in text or any(name not in values for name in _FIELD.findall(text)):
            return None
        return _FIELD.sub(lambda field: values[field[1]], text)


def _regex(component: str, placeholders: Mapping[str, str]) -> str:
    parts = _FIELD.split(component)
    literal, names = parts[::2], parts[1::2]
    hidden = r"(?![._])" if component.startswith("*") else ""  # what people hide, and what writers leave beside files
    return hidden + "".join(
        re.escape(text).replace(r"\*", "[^/]*")
        + (f"(?P<{names[i]}>{placeholders[names[i]]})" if i < len(names) else "")
        for i, text in enumerate(literal)
    )
