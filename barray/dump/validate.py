"""Validates a dump: everything in it that follows from something else in it is computed again and compared.

JSON: keys and types; the calendar, computed from its name; Step 0's parts, from one another; the metadata, from Step 0
and the events; stamps and values of the bars given; and from those every derived bar, indicator value, quality and gap,
to the last bit; at last the digest over all of it. Parquet: laid out as JSON, and the same.
CSV: see `barray.dump.checks.csv`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from barray.dump.checks.csv import check_csv
from barray.dump.checks.schema import HEADER, SYMBOL, conforming
from barray.dump.checks.session import SessionFacts, check_session
from barray.dump.checks.symbol import check_symbol
from barray.dump.digest import SessionDigest
from barray.dump.objects.parquet import MAX_ROWS
from barray.dump.objects.parquet_as_json import parquet_as_json
from barray.dump.readers.json import DumpText, UnreadableDump, read_session
from barray.dump.schema import HeaderJson
from barray.dump.violations import Findings, Violation, count_violations

__all__ = ["Violation", "count_violations", "validate_session_dump"]


def validate_session_dump(
    path: str | Path, *, calendar: str = "XNYS", hours: str = "regular", max_rows: int = MAX_ROWS
) -> list[Violation]:
    """Every violation in the dump at `path`: JSON, CSV (by its suffix) or a folder of Parquet; empty where it is true.

    Of each array the first few are listed, the last of them saying how many more there are. `calendar` and `hours` tell
    what a CSV of the first layout was made for; all others say so themselves. `max_rows`: how many a Parquet table may
    have. A file that is missing, cut off or something else altogether is a violation too, never an exception.
    """
    source, out = Path(path), Findings()
    try:
        if source.is_dir():
            _check_content(parquet_as_json(source, max_rows, out), out)
        elif source.suffix.lower() == ".csv":
            check_csv(source, calendar, hours, out)
        else:
            _check_json(source, out)
    except UnreadableDump as error:
        out.violations.append(error.violation)
    return list(dict.fromkeys(out.violations))


def _check_json(path: Path, out: Findings) -> None:
    dump = read_session(path, out)
    if dump is None:
        return
    total = SessionDigest(dump.header)
    _check_content(replace(dump, symbols=total.over(dump.symbols)), out)
    found = dump.header.get("digest")
    if dump.version > 1 and found != total.hexdigest():
        out.add("digest", "digest", found, f"{total.hexdigest()}, computed from all that the dump holds")


def _check_content(dump: DumpText, out: Findings) -> None:
    header = conforming(HEADER, dump.header, "", out)
    facts = check_session(header, out, version=dump.version) if header else None
    names = _check_symbols(dump, facts, out)
    if facts and header:
        _check_members(names, header, facts, out)


def _check_symbols(dump: DumpText, facts: SessionFacts | None, out: Findings) -> list[str]:
    """Check each symbol by itself, and their order; gives their names."""
    names: list[str] = []
    seen: set[str] = set()
    for name, entry in dump.symbols:
        place = f"symbols.{name}"
        if names and name <= names[-1]:
            expected = "one entry" if name in seen else "sorted symbols"
            out.add(place, "duplicate" if name in seen else "order", f"{name} after {names[-1]}", expected)
        names.append(name)
        seen.add(name)
        symbol = conforming(SYMBOL, entry, place, out)
        if symbol and facts:
            check_symbol(name, symbol, facts, out)
    return names


def _check_members(names: list[str], header: HeaderJson, facts: SessionFacts, out: Findings) -> None:
    for name in sorted(facts.members - set(names)):
        out.add(f"symbols.{name}", "missing", "nothing", "the symbol: Step 0 let it proceed or an event added it")
    for name in sorted(set(names) - facts.members):
        why = "dropped" if name in header["dropped"] else "neither let in by Step 0 nor added by an event"
        out.add(f"symbols.{name}", "unexpected", "the symbol", f"nothing: it was {why}")
