"""`barray scan`: who a config's scans find, session by session."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import (
    FAILED,
    document,
    fail,
    note_unused,
    print_json,
    print_table,
    reporting,
    session_progress,
    stdout,
)
from barray.cli.options import Address, AsJson, Quiet, on, place
from barray.market.errors import shorten

if TYPE_CHECKING:
    from barray.trading.scans.result import ScanResult

ScanConfig = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see examples/gappers.yaml.")]
_SHOWN = 15
_FORMATS = ("parquet", "csv", "json")


@reporting
def scan(
    config: ScanConfig,
    out: Annotated[
        Any,
        typer.Option("--out", parser=place, metavar="PATH", help="Write the tables here instead: a folder, or s3://…."),
    ] = None,
    address: Address = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Look at a universe with a config's scans, write who is found when, and say it. Exit code 1 where one failed."""
    from barray.coordinator.config.file import read_config
    from barray.data_sources.object_store.publish import below, published
    from barray.export.scan import summary, write_scan
    from barray.runs.scan import scan as run

    with document(as_json), session_progress(quiet=quiet) as progress:
        settings = on(read_config(config), address)
        ignored = note_unused("scan", settings)
        result = run(settings, progress=progress)
        folder = out or below(settings.report.directory, settings.name)
        formats = [one for one in _FORMATS if one in settings.report.formats]
        files = published(folder, settings.name, lambda local: write_scan(result, local, formats))
    if as_json:
        named = [str(path) for path in files]
        print_json({**summary(result), "timings_s": dict(result.timings_s), "ignored": list(ignored), "files": named})
    else:
        print_scan(result)
        for path in files:
            stdout.print(f"  wrote {path}", highlight=False, markup=False)
    if failed := _failed(result):
        if not as_json:
            fail(failed)
        raise typer.Exit(FAILED)


def _failed(result: ScanResult) -> str:
    if not result.sessions:
        day, reason = next(iter(result.skipped.items()))
        return f"no session was looked at; {day}: {reason}"
    if not result.failures:
        return ""
    first = result.failures[0]
    return (
        f"{len(result.failures)} times a scan ended early; first {first.scan}: {first.reason.strip().splitlines()[-1]}"
    )


def print_scan(result: ScanResult) -> None:
    """The result as a table, and what was left out."""
    times = Counter((row.scan, row.symbol) for one in result.sessions for row in one.kept)
    days = Counter(pair for one in result.sessions for pair in {(row.scan, row.symbol) for row in one.kept})
    best: dict[tuple[str, str], int] = {}
    for one in result.sessions:
        for row in one.kept:
            key = row.scan, row.symbol
            best[key] = min(best.get(key, row.place), row.place)
    span = f"{result.dates[0]} to {result.dates[-1]}" if len(result.dates) > 1 else result.dates[0]
    looked = sum(max(one.universe.values(), default=0) for one in result.sessions)
    title = f"{', '.join(result.scans)}: {len(result.sessions)} sessions, {span}, {looked:,} symbols looked at"
    ranked = sorted(times, key=lambda key: (-days[key], best[key], key))
    rows = [(name, symbol, days[name, symbol], times[name, symbol], best[name, symbol]) for name, symbol in ranked]
    print_table(title, ("scan", "symbol", "sessions #", "times #", "best place #"), rows[:_SHOWN])
    if len(rows) > _SHOWN:
        stdout.print(f"  … and {len(rows) - _SHOWN} more", highlight=False)
    for day, reason in result.skipped.items():
        stdout.print(f"  {day}: not looked at: {reason}", highlight=False, markup=False)
    faults: dict[str, str] = {symbol: str(why) for one in result.sessions for symbol, why in one.faults.items()}
    for symbol, why in list(faults.items())[:_SHOWN]:
        stdout.print(f"  {shorten(symbol)}: left out: {why}", highlight=False, markup=False)
    missing = sum(len(one.missing) for one in result.sessions)
    if missing:
        stdout.print(f"  {missing} symbols of the universe had no bars on a day; see left_out", highlight=False)
