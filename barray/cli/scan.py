"""`barray scan`: who a config's scans find, session by session."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

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
from barray.cli.options import Address, AsJson, Kept, LogLevel, Quiet, asked_to_keep, on, place
from barray.market.errors import ConfigError, shorten

if TYPE_CHECKING:
    from barray.trading.scans.forward import ForwardReturns
    from barray.trading.scans.result import ScanResult

ScanConfig = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see examples/gappers.yaml.")]
_SHOWN = 15
_MOST_VISITS = 200
_FORMATS = ("parquet", "csv", "json")


@reporting
def scan(
    config: ScanConfig,
    out: Annotated[
        Any,
        typer.Option("--out", parser=place, metavar="PATH", help="Write the tables here instead: a folder, or s3://…."),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain", metavar="SYMBOL", help="Say what became of this symbol instead: which stage let it go."
        ),
    ] = None,
    date: Annotated[str | None, typer.Option(help="With --explain: the session; default: the config's last.")] = None,
    at: Annotated[
        str | None, typer.Option(help="With --explain: by then, on the exchange's clock; default: each of its times.")
    ] = None,
    forward: Annotated[
        str, typer.Option(metavar="5m,close,1d", help="Say what hits earned so long after, by place, and write it.")
    ] = "",
    history: Annotated[bool, typer.Option("--history", help="Say who was found from when to when, and why.")] = False,
    checkpoint: Kept = None,
    address: Address = None,
    log_level: LogLevel = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Look at a universe with a config's scans, write who is found when, and say it. Exit code 1 where one failed.

    With --explain nothing is written and no Ray is started: the session is looked at here.
    """
    if explain is None and (date or at):
        raise ConfigError(f"{'--date' if date else '--at'} goes with --explain", remedy="add --explain SYMBOL")
    if explain is not None:
        _explain(config, explain, date, at, as_json=as_json)
        return
    from barray.coordinator.config.file import read_config
    from barray.data_sources.object_store.publish import below, published
    from barray.export.scan import summary, write_scan
    from barray.runs.scan import scan as run

    keeping = asked_to_keep(checkpoint, config, out=out, address=address, forward=forward or None)
    with document(as_json), session_progress(quiet=quiet) as progress:
        settings = on(read_config(config), address, log_level)
        ignored = note_unused("scan", settings)
        asked = [one for one in forward.split(",") if one.strip()]
        result = run(settings, forward=asked, progress=progress, checkpoint=keeping)
        folder = out or below(settings.report.directory, settings.name)
        formats = [one for one in _FORMATS if one in settings.report.formats]
        files = published(folder, settings.name, lambda local: write_scan(result, local, formats))
        if keeping is not None:
            keeping.finish(files)
    if as_json:
        named = [str(path) for path in files]
        print_json({**summary(result), "timings_s": dict(result.timings_s), "ignored": list(ignored), "files": named})
    else:
        print_scan(result)
        if history:
            print_history(result)
        if result.forward is not None:
            print_forward(result.forward)
        for path in files:
            stdout.print(f"  wrote {path}", highlight=False, markup=False)
    if failed := _failed(result):
        if not as_json:
            fail(failed)
        raise typer.Exit(FAILED)


def _explain(config: Path, symbol: str, day: str | None, at: str | None, *, as_json: bool) -> None:
    from barray.runs.scan_here import explain

    with document(as_json):
        told = explain(config, symbol, day=day, at=at)
    if as_json:
        print_json([one.to_dict() for one in told])
        return
    rows = []
    for (scan, stage, _), some in groupby(told, key=lambda one: (one.scan, one.stage, one.condition)):
        own = list(some)
        since, until = (one.local[11:] for one in (own[0], own[-1]))
        rows.append((scan, since if since == until else f"{since} to {until}", stage, own[-1].why))
    title = f"{shorten(symbol)}, {told[0].local[:10]}" if told else f"{shorten(symbol)}: no scan ran that day"
    print_table(title, ("scan", "time", "stage", "why, at the last of these times"), rows)


def print_history(result: ScanResult) -> None:
    """Who was kept from when to when, and why."""
    zone = ZoneInfo(result.timezone)

    def clock(at_ns: int | None) -> str:
        return "end" if at_ns is None else f"{datetime.fromtimestamp(at_ns / 1e9, zone):%H:%M}"

    rows = [
        (
            one.day,
            visit.scan,
            visit.symbol,
            f"{clock(visit.since_ns)} to {clock(visit.until_ns)}",
            visit.place,
            visit.told,
        )
        for one in result.sessions
        for visit in one.visits
    ]
    columns = ("session", "scan", "symbol", "time", "place #", "why")
    print_table("Who was found when, and why", columns, rows[:_MOST_VISITS])
    if len(rows) > _MOST_VISITS:
        stdout.print(f"  … and {len(rows) - _MOST_VISITS} more; see history", highlight=False)


def print_forward(forward: ForwardReturns) -> None:
    """What hits earned, by their places."""
    rows = [
        (
            one.scan,
            f"{one.first}" if one.first == one.last else f"{one.first} to {one.last}",
            one.horizon,
            one.hits,
            *(f"{100 * value:.2f}" for value in (one.mean, one.median)),
            f"{100 * one.positive:.1f}",
        )
        for one in forward.by_place
    ]
    columns = ("scan", "place", "after", "hits #", "mean % #", "median % #", "above 0 % #")
    print_table("What hits earned, by place", columns, rows)


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
    holes = {(hole.symbol, hole.day): hole.reason for one in result.sessions for hole in one.holes}
    for (symbol, before), fault in list(holes.items())[:_SHOWN]:
        told = f"  {shorten(symbol)}: relative_volume goes without {before}: {fault}"
        stdout.print(told, highlight=False, markup=False)
    missing = sum(len(one.missing) for one in result.sessions)
    if missing:
        stdout.print(f"  {missing} symbols of the universe had no bars on a day; see left_out", highlight=False)
