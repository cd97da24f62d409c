"""`barray fetch`: a vendor's bars into the store that sessions read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import FAILED, print_json, print_table, reporting, stderr, stdout
from barray.market.errors import ConfigError, shorten
from barray.market.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from barray.coordinator.config.model import SessionConfig
    from barray.data_sources.fetching.fetcher import FetchProgress
    from barray.data_sources.fetching.plan import FetchPlan
    from barray.data_sources.fetching.vendor_source import VendorSource, Wanted
    from barray.fetch import Fetched

_SHOWN = 20


@reporting
def fetch(
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Symbols, or @FILE with one a line; default: the config's.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All active US equities.")] = False,
    interval: Annotated[str, typer.Option(help="Interval of the bars; default: what the config needs, or 1m.")] = "",
    start: Annotated[str, typer.Option(help="First date; default: of the history that the config needs.")] = "",
    end: Annotated[str, typer.Option(help="Last date; default: the config's, or with --start yesterday.")] = "",
    source: Annotated[str, typer.Option(help="alpaca or schwab, or the name of a source of the config.")] = "alpaca",
    config: Annotated[
        Path | None, typer.Option(help="A config that has the source, and what else is not said.")
    ] = None,
    store: Annotated[str, typer.Option(help="The store, a folder or s3://bucket/path.")] = "",
    feed: Annotated[str, typer.Option(help="Alpaca's feed: iex, sip, …")] = "",
    adjustment: Annotated[str, typer.Option(help="Alpaca's: raw, split, dividend, all.")] = "",
    token: Annotated[str, typer.Option(help="Schwab's token file.")] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Only say how many requests and minutes it takes.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Fetch bars into the store, from where sessions take them. Only what is missing; broken off, it goes on later.

    With a config: all that its sessions, its strategy, its sweep and its scans need, with the history before them.

    Keys come from the environment (APCA_API_KEY_ID, APCA_API_SECRET_KEY; SCHWAB_API_KEY, SCHWAB_APP_SECRET) or the file
    that the config names. Exit code 1 where any symbol's bars are not all there.
    """
    from barray.coordinator.config.file import read_config
    from barray.fetch import Fetch

    settings = read_config(config) if config else None
    changes = {"store": store, "feed": feed, "adjustment": adjustment, "token": token}
    vendor = _source(source, settings, {name: value for name, value in changes.items() if value})
    chosen = _symbols(symbols or [], every, settings)
    work = Fetch(vendor, chosen, *_wanted(vendor, interval, start, end, settings))
    planned = work.plan()
    if plan:
        _print_plan(planned, len(work.symbols), as_json=as_json)
        return
    with _progress(quiet=quiet) as progress:
        done = work.run(progress)
    _print_done(done, as_json=as_json)
    if done.failures:
        raise typer.Exit(FAILED)


def _source(name: str, settings: SessionConfig | None, changes: dict[str, str]) -> VendorSource:
    from barray.coordinator.config.file import parse_section
    from barray.coordinator.config.sources import VENDORS

    def absolute(path: str) -> str:
        return path if "://" in path else str(Path(path).expanduser().resolve())

    sources = settings.sources if settings else ()
    sections = {section.name: section for section in sources if section.type != "parquet"}
    if name in sections:
        settled = sections[name].model_dump(exclude_unset=True)
    elif sections and name not in VENDORS:
        raise ConfigError(f"the config has no vendor source named {name!r}", remedy=f"it has {', '.join(sections)}")
    elif name in VENDORS:
        settled = {"type": name}
    else:
        raise ConfigError(f"{name!r} is no source that can be fetched from", remedy=f"take one of {', '.join(VENDORS)}")
    section = parse_section(VENDORS[settled["type"]], {**settled, **changes}, "fetch")
    opened: VendorSource = section.resolved(absolute).open()
    return opened


def _symbols(given: list[str], every: bool, settings: SessionConfig | None) -> list[str] | None:
    from barray.fetch import scanned_symbols

    if every and given:
        raise ConfigError("--all and symbols are both given", remedy="give one")
    if every:
        return None
    found: list[str] = []
    for entry in given:
        if not entry.startswith("@"):
            found += [part.strip() for part in entry.split(",") if part.strip()]
            continue
        try:
            lines = Path(entry[1:]).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"cannot read {entry[1:]}: {reason}", remedy="give a file with a symbol a line") from None
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found and settings is not None:
        found = sorted({*settings.symbols, *scanned_symbols(settings)})
    if not found:
        raise ConfigError("there are no symbols", remedy="name some, or @FILE, or --all, or a --config that has some")
    return found


def _wanted(
    source: VendorSource, interval: str, start: str, end: str, settings: SessionConfig | None
) -> tuple[Wanted, ...]:
    """What the options say, and where they don't, what the config needs."""
    from barray.data_sources.fetching.months import midnight_ns
    from barray.fetch import all_wanted_by, days_wanted, wanted_by

    first, last, yesterday = _date(start), _date(end), date.today() - timedelta(days=1)
    given = Interval.parse(interval) if interval else None
    if first is not None and (given or settings is None):
        return (days_wanted(given or Interval(1, "m"), first, last or yesterday),)
    if settings is None:
        raise ConfigError("there is no --start", remedy="give the first date, as 2024-07-01")
    needed = (wanted_by(settings, source, given),) if given else all_wanted_by(settings, source)
    if first is not None:
        return tuple(days_wanted(one.interval, first, last or yesterday) for one in needed)
    if last is None:
        return needed
    end_ns = midnight_ns(last + timedelta(days=1))
    if all(end_ns <= one.start_ns for one in needed):
        raise ConfigError(f"--end {last} is before the history that the config needs", remedy="give a later one")
    return tuple(replace(one, end_ns=end_ns) for one in needed if one.start_ns < end_ns)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise ConfigError(f"{error}", remedy="write dates as 2024-07-01") from None


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[FetchProgress], None] | None]:
    """Requests, bars, rate and time left; nothing where nobody looks."""
    if quiet or not stderr.is_terminal:
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("fetching"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests, {task.fields[rows]:,} bars"),
    )
    with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=stderr) as shown:
        task = shown.add_task("fetching", total=None, rows=0)

        def update(heard: FetchProgress) -> None:
            total = max(heard.planned_requests, heard.requests)
            shown.update(task, completed=heard.requests, total=total, rows=heard.rows)

        yield update


def _print_plan(plan: FetchPlan, symbols: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"symbols": symbols, "requests": plan.requests, "minutes": plan.minutes})
    elif not plan.requests:
        stdout.print(f"{symbols} symbols: nothing is missing", highlight=False)
    else:
        about = f"about {plan.requests:,} requests, {plan.minutes:.1f} minutes"
        stdout.print(f"{symbols} symbols: {about}", highlight=False)


def _print_done(done: Fetched, *, as_json: bool) -> None:
    if as_json:
        failures = {symbol: asdict(reason) for symbol, reason in done.failures.items()}
        shown: dict[str, Any] = {**asdict(done), "failures": failures}
        print_json(shown)
        return
    took = f"{done.requests:,} requests in {done.seconds:.1f} s"
    stdout.print(f"{done.symbols} symbols, {done.bars:,} new bars, {took}; in {done.folder}", highlight=False)
    if done.until:
        stdout.print(f"  nothing from {done.until} on: too recent for this account", highlight=False)
    if done.failures:
        rows = [(shorten(symbol), str(reason)) for symbol, reason in sorted(done.failures.items())]
        print_table(f"{len(rows)} symbols failed", ("symbol", "reason"), rows[:_SHOWN])
        if len(rows) > _SHOWN:
            stdout.print(f"  … and {len(rows) - _SHOWN} more; --json lists all", highlight=False)
