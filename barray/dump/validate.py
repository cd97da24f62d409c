"""Validates a dump: everything in it that follows from something else in it is computed again and compared.

JSON: keys and types; the calendar, computed from its name; Step 0's parts, from one another; the metadata, from Step 0
and the events; stamps and values of the bars given; and from those every derived bar, indicator value, quality and gap,
to the last bit; what a strategy's decisions came to; whom scans promoted, added and let go of; at last the digest over
all of it. Parquet: laid out as JSON, and the same. What scans found follows from the universe's bars, which no dump
holds: see `barray.dump.checks.scans_again`.
CSV: see `barray.dump.checks.csv`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from barray.coordinator.config.file import ConfigLike, as_config
from barray.coordinator.config.model import SessionConfig
from barray.data_sources.object_store.publish import fetched
from barray.dump.checks.csv import check_csv
from barray.dump.checks.rows_csv import check_rows_csv, columns_of_rows
from barray.dump.checks.scans import check_scans
from barray.dump.checks.schema import HEADER, SYMBOL, conforming
from barray.dump.checks.session import SessionFacts, check_session
from barray.dump.checks.symbol import check_symbol
from barray.dump.checks.trading import check_trading
from barray.dump.digest import SessionDigest
from barray.dump.objects.parquet import MAX_ROWS
from barray.dump.objects.parquet_as_json import parquet_as_json
from barray.dump.readers.json import DumpText, UnreadableDump, read_session
from barray.dump.scans import ScansJson
from barray.dump.schema import HeaderJson
from barray.dump.violations import Findings, Violation, count_violations
from barray.market.errors import DataError
from barray.market.series import IntervalBars

__all__ = ["Violation", "count_violations", "validate_session_dump"]


@dataclass(frozen=True)
class DumpCheck:
    """What was found of a dump. `degraded`: the symbols that it says are missing because the machine failed.
    `unchecked`: what was not computed again, and why.
    """

    violations: list[Violation]
    degraded: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def validate_session_dump(
    path: str | Path,
    *,
    calendar: str = "XNYS",
    hours: str = "regular",
    max_rows: int = MAX_ROWS,
    config: ConfigLike | None = None,
) -> list[Violation]:
    """Every violation in the dump at `path`: JSON, CSV (by its suffix) or a folder of Parquet; empty where it is true.

    Of each array the first few are listed, the last of them saying how many more there are. `calendar` and `hours` tell
    what a CSV of the first layout was made for; all others say so themselves. `max_rows`: how many a Parquet table may
    have. `config`: that of the session, whose sources have the universe that its scans looked at; without it, what they
    found is taken as it is. A file that is missing, cut off or something else altogether is a violation too, never an
    exception. `path` may be in an object store: SourceUnavailable where that can't be reached. ConfigError for a bad
    `config`.
    """
    return check_dump(path, calendar=calendar, hours=hours, max_rows=max_rows, config=config).violations


def check_dump(
    path: str | Path,
    *,
    calendar: str = "XNYS",
    hours: str = "regular",
    max_rows: int = MAX_ROWS,
    config: ConfigLike | None = None,
) -> DumpCheck:
    """The same, and what else is to be said of the dump: one of a run that lost symbols can be true all the same."""
    out, settings = Findings(), None if config is None else as_config(config)
    degraded: tuple[str, ...] = ()
    unchecked: list[str] = []
    try:
        with fetched(path) as source:
            degraded = _check(source, calendar, hours, max_rows, _Universe(settings, unchecked), out)
    except UnreadableDump as error:
        out.violations.append(error.violation)
    except DataError as error:
        out.add("file", "incomplete", error.reason, "a dump that was written whole")
    return DumpCheck(list(dict.fromkeys(out.violations)), degraded, tuple(unchecked))


@dataclass(frozen=True, eq=False)
class _Universe:
    """Where the bars lie that scans looked at, if anybody says; into `unchecked` goes what is not computed again."""

    config: SessionConfig | None
    unchecked: list[str]

    def check(self, entry: ScansJson, facts: SessionFacts, out: Findings) -> None:
        why: str | None = "the config that has the universe's bars was not given (--config)"
        if self.config is not None:
            from barray.dump.checks.scans_again import check_hits

            why = check_hits(entry, self.config, facts, out)
        if why is not None:
            self.unchecked.append(f"what scans found is not recomputed, because {why}")


def _check(
    source: Path, calendar: str, hours: str, max_rows: int, universe: _Universe, out: Findings
) -> tuple[str, ...]:
    if source.is_dir():
        dump = parquet_as_json(source, max_rows, out)
        _check_content(dump, universe, out)
        return _degraded(dump)
    if source.suffix.lower() == ".csv" and (columns := columns_of_rows(source)):
        check_rows_csv(source, columns, out)
        return ()
    if source.suffix.lower() == ".csv":
        return check_csv(source, calendar, hours, out)
    return _check_json(source, universe, out)


def _check_json(path: Path, universe: _Universe, out: Findings) -> tuple[str, ...]:
    dump = read_session(path, out)
    if dump is None:
        return ()
    total = SessionDigest(dump.header)
    _check_content(replace(dump, symbols=total.over(dump.symbols)), universe, out)
    found = dump.header.get("digest")
    if dump.version > 1 and found != total.hexdigest():
        out.add("digest", "digest", found, f"{total.hexdigest()}, computed from all that the dump holds")
    return _degraded(dump)


def _degraded(dump: DumpText) -> tuple[str, ...]:
    session = dump.header.get("session")
    lost = session.get("degraded", ()) if isinstance(session, dict) else ()
    return tuple(map(str, lost)) if isinstance(lost, list) else ()


def _check_content(dump: DumpText, universe: _Universe, out: Findings) -> None:
    header = conforming(HEADER, dump.header, "", out)
    facts = check_session(header, out, version=dump.version) if header else None
    traded: dict[str, IntervalBars] | None = {} if header and "trading" in header else None
    names = _check_symbols(dump, facts, traded, out)
    if facts and header:
        _check_members(names, header, facts, out)
        if traded is not None and not len(out):  # what is wrong with the bars is told once
            check_trading(header["trading"], header["events"], traded, facts, out)
        if "scans" in header:
            check_scans(header, facts, out)
            universe.check(header["scans"], facts, out)


def _check_symbols(
    dump: DumpText, facts: SessionFacts | None, traded: dict[str, IntervalBars] | None, out: Findings
) -> list[str]:
    """Check each symbol by itself, and their order; gives their names. Their sources' base bars go into `traded`."""
    names: list[str] = []
    seen: set[str] = set()
    began: dict[str | None, list[str]] = {}
    for name, entry in dump.symbols:
        place = f"symbols.{name}"
        if names and name <= names[-1]:
            expected = "one entry" if name in seen else "sorted symbols"
            out.add(place, "duplicate" if name in seen else "order", f"{name} after {names[-1]}", expected)
        names.append(name)
        seen.add(name)
        symbol = conforming(SYMBOL, entry, place, out)
        if symbol and facts:
            base = check_symbol(name, symbol, facts, out)
            if traded is not None and base is not None:
                traded[name] = base
            if symbol["metadata"]["added_by"] == "config":
                began.setdefault(symbol["metadata"]["added_at"], []).append(name)
    _check_began(began, out)
    return names


def _check_began(began: dict[str | None, list[str]], out: Findings) -> None:
    """The config's symbols are all there when the session begins: all were added at one time."""
    usual = max(began, key=lambda text: len(began[text]), default=None)
    for text, names in began.items():
        for name in names if text != usual else ():
            out.add(f"symbols.{name}.metadata.added_at", "metadata", text, f"{usual}, as of the config's other symbols")


def _check_members(names: list[str], header: HeaderJson, facts: SessionFacts, out: Findings) -> None:
    for name in sorted(facts.members - set(names)):
        out.add(f"symbols.{name}", "missing", "nothing", "the symbol: Step 0 let it proceed or an event added it")
    for name in sorted(set(names) - facts.members):
        why = "dropped" if name in header["dropped"] else "neither let in by Step 0 nor added by an event"
        out.add(f"symbols.{name}", "unexpected", "the symbol", f"nothing: it was {why}")
