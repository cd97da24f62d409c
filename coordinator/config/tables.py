"""Tables that may stand in a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from barray.coordinator.config.fields import Section, zone_name
from barray.data_sources.known_tables import ENDINGS, TableFile


def _read_as(path: str) -> str:
    if not path.lower().endswith(ENDINGS):
        raise ValueError(f"ends in none of {', '.join(ENDINGS)}: write the table as CSV or Parquet")
    return path


def _name(name: str) -> str:
    if not name.isidentifier():
        raise ValueError("a table's name consists of letters, digits and _: give it another")
    return name


TableName = Annotated[str, AfterValidator(_name)]


class TableSection(Section):
    """Values by symbol, each known from a time on: fundamentals, sectors, others' signals. `path`: CSV or Parquet.

    `symbol` and `known_at` name its columns of whom, and of from when on; `timezone`: that of times stored without one.
    A day means the open of its session, or of the next one.
    """

    path: Annotated[str, AfterValidator(_read_as)]
    known_at: str = "known_at"
    symbol: str = "symbol"
    timezone: Annotated[str, AfterValidator(zone_name)] | None = None

    def file(self, name: str) -> TableFile:
        """What reads it; nothing is read yet."""
        return TableFile(name, **self.model_dump())

    def resolved(self, absolute: Callable[[str], str]) -> TableSection:
        """The same with its path made absolute."""
        return self.model_copy(update={"path": absolute(self.path)})
