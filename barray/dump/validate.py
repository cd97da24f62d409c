"""Validates a dump: everything in it that follows from something else in it is computed again and compared.

JSON: keys and types; the calendar, computed from its name; the truth table of the metadata, against Step 0 and the
events; stamps and values of the bars given; and from those every derived bar, indicator value, quality and gap, to the
last bit.
CSV: see `barray.dump.checks.csv`.
"""

from __future__ import annotations

from pathlib import Path

from barray.dump.checks.csv import check_csv
from barray.dump.checks.schema import HEADER, SYMBOL, conforming
from barray.dump.checks.session import SessionFacts, check_session
from barray.dump.checks.symbol import check_symbol
from barray.dump.digest import SessionDigest
from barray.dump.readers.json import DumpText, UnreadableDump, read_session
from barray.dump.schema import HeaderJson
from barray.dump.violations import Findings, Violation, count_violations

__all__ = ["Violation", "count_violations", "validate_session_dump"]


def validate_session_dump(path: str | Path, *, calendar: str = "XNYS", hours: str = "regular") -> list[Violation]:
    """Every violation in the dump at `path`, JSON or (by its suffix) CSV; empty where it is true.

    Of each array the first few are listed, the last of them saying how many more there are. `calendar` and `hours` tell
    what a CSV was made for; JSON says so itself. A file that is missing, cut off or something else altogether is a
    violation too, never an exception.
    """
    source, out = Path(path), Findings()
    try:
        if source.suffix.lower() == ".csv":
            check_csv(source, calendar, hours, out)
        else:
            _check_json(source, out)
    except UnreadableDump as error:
        out.violations.append(error.violation)
    return list(dict.fromkeys(out.violations))


def _check_json(path: Path, out: Findings) -> None:
    dump = read_session(path, out)
    if dump:
        check_dump(dump, out)


def check_dump(dump: DumpText, out: Findings) -> None:
    """Check header, symbols and digest of what is laid out as JSON."""
    header = conforming(HEADER, dump.header, "", out)
    facts = check_session(header, out, version=dump.version) if header else None
    total = SessionDigest(dump.header)
    names = _check_symbols(dump, total, facts, out)
    if facts and header:
        _check_members(names, header, facts, out)
    if header and dump.version > 1 and header["digest"] != total.hexdigest():
        out.add("digest", "digest", header["digest"], f"{total.hexdigest()}, computed from all that the dump holds")


def _check_symbols(dump: DumpText, total: SessionDigest, facts: SessionFacts | None, out: Findings) -> list[str]:
    """Check each symbol by itself, and their order; gives their names."""
    names: list[str] = []
    seen: set[str] = set()
    for name, entry in dump.symbols:
        total.add(name, entry)
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
