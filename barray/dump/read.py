"""A session's dump as objects again: what the writers wrote, the readers give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from barray.coordinator.summary import SessionSummary
from barray.data_sources.object_store.publish import fetched
from barray.dump.readers.json import UnreadableDump
from barray.dump.violations import Findings
from barray.market.errors import BarrayError, ConfigError, DataError
from barray.market.html import html_table
from barray.market.symbol_data import SymbolSessionData
from barray.market.table import Table

_REMEDY = "give a dump that Session.export wrote; barray.validate_session_dump says all that is wrong with it"


@dataclass(frozen=True, eq=False)
class SessionDump:
    """A session as it was written. What a format does not hold is not made up.

    `summary`: session, requirements, Step 0, drops, events, what a strategy did (`trading`) and scans found
    (`scanned`); of a CSV, and of Parquet of the first layout, None. `symbols`: each as the session's own snapshot was,
    with the rows that the format has: all but derived intraday bars of the history and the values on them in JSON, all
    in Parquet. CSV knows of a symbol its metadata; its bars, of an interval that the file does not name, its values and
    its quality so far stand in `rows` by symbol, which the others leave empty.
    """

    path: Path
    summary: SessionSummary | None
    symbols: Mapping[str, SymbolSessionData]
    rows: Mapping[str, Table] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        rows = [(data.symbol, data.added_by, len(data.bars), len(data.indicators)) for data in self.symbols.values()]
        head = self.summary._repr_html_() if self.summary else ""
        return head + html_table(("symbol", "added by", "intervals", "indicators"), rows, self.path.name)


def read_dump(path: str | Path) -> SessionDump:
    """A dump written by `Session.export`: a `.json` or `.csv` file, or the folder of the Parquet tables; also its URI.

    Keys, types and stamps are checked, nothing is computed again: that is what `validate_session_dump` is for.
    ConfigError where there is no such file, DataError, naming the place, where it is no dump.
    """
    with fetched(path) as source:
        return _dump_at(source)


def _dump_at(source: Path) -> SessionDump:
    if not source.exists():
        raise ConfigError(f"{source}: there is no such file", remedy="give a dump's file, or its folder of Parquet")
    out = Findings()
    dump = None
    try:
        dump = _read(source, out)
    except UnreadableDump as error:
        out.violations.append(error.violation)
    except (BarrayError, ValueError, OverflowError) as error:  # a number or a name inside that can't be meant
        raise DataError(f"{source}: {error}", remedy=_REMEDY) from error
    if out.violations or dump is None:
        raise DataError(f"{source}: {out.violations[0]}", remedy=_REMEDY)
    return dump


def _read(source: Path, out: Findings) -> SessionDump | None:
    if source.is_dir():
        return _of_parquet(source, out)
    return _of_csv(source, out) if source.suffix.lower() == ".csv" else _of_json(source, out)


def _of_parquet(source: Path, out: Findings) -> SessionDump:
    from barray.dump.objects.json import read_summary
    from barray.dump.objects.parquet import header_of, read_tables, symbols_of

    tables = read_tables(source)
    found = header_of(tables)
    told = None if found is None else {**orjson.loads(found[0]), "digest": found[1]}
    return SessionDump(source, None if told is None else read_summary(told, out), symbols_of(tables))


def _of_json(source: Path, out: Findings) -> SessionDump | None:
    from barray.dump.objects.json import read_json_dump

    found = read_json_dump(source, out)
    return SessionDump(source, *found) if found else None


def _of_csv(source: Path, out: Findings) -> SessionDump:
    from barray.dump.objects.csv import read_csv_dump

    return SessionDump(source, None, *read_csv_dump(source, out))
