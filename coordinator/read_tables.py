"""The tables that a config names, read."""

from __future__ import annotations

import logging

from barray.coordinator.config.model import SessionConfig
from barray.market.errors import DataError, shorten
from barray.market.known_table import KnownTables

logger = logging.getLogger(__name__)


def read_tables(config: SessionConfig) -> KnownTables:
    """The config's tables; a symbol that one has no row for is logged.

    DataError where one can't be used, or has no row for any symbol; NoDataError and SourceUnavailable where it can't
    be read.
    """
    tables = {name: section.file(name).read() for name, section in config.tables.items()}
    for name, table in tables.items():
        missing = [symbol for symbol in dict.fromkeys(config.symbols) if symbol not in table.rows]
        path = config.tables[name].path
        if missing and len(missing) == len(set(config.symbols)):
            raise DataError(
                f"{path}: has no row for any of the config's symbols, but for {shorten(', '.join(table.rows), 80)}",
                source=f"tables.{name}",
                remedy=f"name the column of symbols under tables.{name}.symbol, and write them as the config does",
            )
        if missing:
            logger.warning("table %s has no row for %s", name, shorten(", ".join(missing), 200))
    return tables
