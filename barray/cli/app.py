"""The command line: `barray COMMAND`.

Exit codes: 0 done, 1 failed, 2 bad usage or config, 3 degraded (the machine failed, and cost symbols), 4 stopped from
another terminal, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import copy
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command_name

from barray.cli.attach import attach_app
from barray.cli.backtest import backtest
from barray.cli.console import (
    FAILED,
    leave,
    print_json,
    print_table,
    reporting,
    stdout,
)
from barray.cli.fetch import fetch
from barray.cli.login import login_app
from barray.cli.logs import logs
from barray.cli.options import AsJson, ConfigPath, Quiet, place
from barray.cli.replay_day import replay_day
from barray.cli.resume import resume
from barray.cli.run import run
from barray.cli.scan import scan
from barray.cli.submit import job, submit
from barray.cli.sweep import lookahead, sweep, warmup
from barray.market.errors import ConfigError, shorten

if TYPE_CHECKING:
    from barray.dump.violations import Violation
    from barray.market.validation import SymbolValidationResult

app = typer.Typer(
    name="barray",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.print(f"barray {version('barray')}", highlight=False)
        raise typer.Exit


@app.callback()
def barray(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Trading sessions over many symbols, each symbol a Ray actor of its own."""


app.add_typer(attach_app, name="attach")
app.add_typer(login_app, name="login")
for _command in (run, replay_day, backtest, sweep, scan, resume, submit, logs, lookahead, warmup, fetch):
    app.command()(_command)
app.command(hidden=True)(job)


@app.command("sample-data")
@reporting
def sample_data(
    directory: Annotated[Path, typer.Argument(help="Where to write.")],
    symbols: Annotated[str, typer.Option(help="How many, or their names with commas between.")] = "10",
    start: Annotated[str, typer.Option(help="First date.")] = "2024-06-17",
    end: Annotated[str, typer.Option(help="Last date.")] = "2024-07-05",
    interval: Annotated[str, typer.Option(help="Interval of the bars.")] = "1m",
    hours: Annotated[str, typer.Option(help="regular or extended.")] = "regular",
    layout: Annotated[str, typer.Option(help="Path template.")] = "{symbol}/{interval}/{date}.parquet",
    seed: Annotated[int, typer.Option(help="Another seed, other prices.")] = 7,
    broken: Annotated[
        list[str] | None, typer.Option(help="SYMBOL=FAULT, repeatable; FAULT alone picks a symbol.")
    ] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Say which faults there are.")] = False,
    universe: Annotated[
        int | None,
        typer.Option(help="How many symbols to scan: with listings, sectors and daily bars, and a few broken."),
    ] = None,
    sessions: Annotated[int, typer.Option(help="Of a universe: sessions with minutes, up to --end.")] = 2,
    days: Annotated[int, typer.Option(help="Of a universe: sessions before these with daily bars.")] = 60,
    file_per_symbol: Annotated[
        bool, typer.Option("--file-per-symbol", help="Of a universe: files of one symbol, not of many.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a seeded sample universe as Parquet, with broken symbols on request."""
    from barray.sample.faults import FAULTS
    from barray.sample.universe import write_sample_data

    if universe is not None:
        from barray.cli.listed_universe import write_universe

        write_universe(
            directory, universe, _date(end), sessions, days, seed, file_per_symbol=file_per_symbol, as_json=as_json
        )
        return
    if list_faults:
        print_table("Faults", ("fault", "what is wrong"), FAULTS.items())
        return
    names = int(symbols) if symbols.isdecimal() else [part.strip() for part in symbols.split(",") if part.strip()]
    pairs = [entry.partition("=") for entry in broken or []]
    if len({bool(equals) for _, equals, _ in pairs}) > 1:
        raise ConfigError("--broken mixes SYMBOL=FAULT and FAULT", remedy="use one form")
    chosen = {symbol: fault for symbol, equals, fault in pairs if equals} or [entry for entry, _, _ in pairs]
    written = write_sample_data(
        directory,
        symbols=names,
        start=_date(start),
        end=_date(end),
        interval=interval,
        seed=seed,
        hours=hours,
        layout=layout,
        broken=chosen,
    )
    if as_json:
        print_json({"symbols": list(written.symbols), "broken": dict(written.broken), "bars": written.bars})
        return
    stdout.print(f"{len(written.symbols)} symbols, {written.bars:,} bars, in {directory}", highlight=False)
    if written.broken:
        print_table("Broken on request", ("symbol", "fault"), sorted(written.broken.items()))


@app.command()
@reporting
def demo(
    directory: Annotated[Path, typer.Option("--out", help="Where to write.")] = Path("demo-out"),
    quiet: Quiet = False,
) -> None:
    """Write a sample universe with broken symbols, run a few sessions on it, and say what happened to each symbol."""
    from barray.cli.demo import run_demo

    run_demo(directory, quiet=quiet)


@app.command()
@reporting
def check(
    config: ConfigPath,
    deep: Annotated[bool, typer.Option("--deep", help="Read every bar too, as a run would.")] = False,
    as_json: AsJson = False,
) -> None:
    """Step 0 only: which symbols a run would use and which it would drop, on every session date. Needs no Ray.

    Judged is what the config's sessions, strategy and sweep need; exit code 2 where the strategy can't be loaded.

    Exit code 1 where a session would have no symbol left (or, with validation.per_symbol off, would lose any).
    """
    from barray.check import check_config
    from barray.coordinator.config.file import read_config

    settings = read_config(config)
    days = check_config(settings, deep=deep)
    doomed = [day for day, results in days.items() if not _would_run(results, settings.validation.per_symbol)]
    if as_json:
        print_json(
            {
                "sessions": {
                    str(day): {symbol: _checked(result) for symbol, result in results.items()}
                    for day, results in days.items()
                },
                "can_run": not doomed,
            }
        )
    else:
        rows, remarks = [], []
        for symbol in next(iter(days.values())):
            bad = {day: results[symbol] for day, results in days.items() if not results[symbol].can_proceed}
            last = next(reversed(days.values()))[symbol]
            verdict = "ok" if not bad else f"dropped on {len(bad)} of {len(days)} dates"
            first = next(iter(bad.items()), None)
            remarks += [f"{shorten(symbol)}: {first[0]}: {first[1].reason}"] if first else []
            warnings = dict.fromkeys(warning for results in days.values() for warning in results[symbol].warnings)
            remarks += [f"{shorten(symbol)}: {warning}" for warning in warnings]
            sources = dict.fromkeys(name for name in (last.data_source, last.daily_source) if name)
            rows.append((symbol, verdict, " + ".join(sources), last.base_interval or ""))
        title = f"Step 0, {len(days)} sessions from {next(iter(days))} to {next(reversed(days))}"
        print_table(title, ("symbol", "verdict", "source", "base"), rows)
        for remark in remarks:
            stdout.print(f"  {remark}", highlight=False, markup=False)
        for day in doomed:
            stdout.print(f"[red]{day}: the session could not run[/]", highlight=False)
    if doomed:
        raise typer.Exit(FAILED)


def _checked(result: SymbolValidationResult) -> dict[str, Any]:
    """As in a dump, with the warnings where there are any."""
    warnings = [str(warning) for warning in result.warnings]
    return {**result.to_dict(), **({"warnings": warnings} if warnings else {})}


def _would_run(results: dict[str, Any], per_symbol: bool) -> bool:
    passed = [result.can_proceed for result in results.values()]
    return any(passed) if per_symbol else all(passed)


@app.command("validate-dump")
@reporting
def validate_dump(
    path: Annotated[
        Any, typer.Argument(parser=place, metavar="PATH", help="A dump: .json, .csv, or its folder of Parquet tables.")
    ],
    calendar: Annotated[str, typer.Option(help="Exchange calendar of a CSV that does not say it.")] = "XNYS",
    hours: Annotated[str, typer.Option(help="Hours of a CSV that does not say them: regular or extended.")] = "regular",
    max_rows: Annotated[
        int | None, typer.Option("--max-rows", min=1, help="Most rows that a Parquet table may have.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The session's config: what its scans found is found again.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute a dump from its base bars and name all that is wrong with it. Exit code 0 if nothing is, else 1.

    The dump of a degraded session is true if it says so, and that is said.

    JSON and Parquet: all that follows from base bars, events and Step 0, and a digest over everything. CSV: grid,
    values that are possible, quality, and the digest. A digest finds damage and edits; it proves nothing against
    somebody who computes it anew: what no other part of a dump depends on (the source's own prices, a reason's words)
    can then be forged, in a CSV every value.
    """
    from barray.dump.objects.parquet import MAX_ROWS
    from barray.dump.validate import check_dump
    from barray.dump.violations import count_violations

    found = check_dump(path, calendar=calendar, hours=hours, max_rows=max_rows or MAX_ROWS, config=config)
    violations, lost = found.violations, ", ".join(found.degraded)
    degraded = f"; the session is degraded: the machine failed, and lost {shorten(lost, 200)}" if lost else ""
    if as_json:
        listed = [_violation(one) for one in violations]
        told = {"degraded": list(found.degraded), "unchecked": list(found.unchecked)}
        print_json({"path": str(path), "ok": not violations, **told, "violations": listed})
    elif not violations:
        stdout.print(f"[green]{path}: nothing is wrong[/]{degraded}", highlight=False)
    else:
        rows = [(v.place, v.code, v.found, v.expected) for v in violations]
        title = f"{path}: {count_violations(violations)} violations{degraded}"
        print_table(title, ("place", "code", "found", "expected"), rows)
    for text in found.unchecked if not as_json else ():
        stdout.print(text, highlight=False, markup=False)
    if violations:
        raise typer.Exit(FAILED)


@app.command()
@reporting
def up(
    num_cpus: Annotated[int | None, typer.Option(min=1, help="CPUs it may use; default: all.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=1024, max=65_535, help="Export metrics there; needs barray[cluster].")
    ] = None,
) -> None:
    """Keep a local Ray warm between runs, on loopback; the next runs start in about a second."""
    from barray.local import warm_ray

    found, new = warm_ray.up(num_cpus, metrics_port)
    stdout.print(
        f"Ray is {'up' if new else 'up already'} at {found.address}, held by process {found.pid}", highlight=False
    )


@app.command()
@reporting
def down() -> None:
    """End the Ray that `barray up` keeps, and all that runs on it."""
    from barray.local import warm_ray

    stdout.print("Ray is down" if warm_ray.down() else "no Ray was up", highlight=False)


node_app = typer.Typer(help="Nodes of a cluster.", no_args_is_help=True)
app.add_typer(node_app, name="node")


@node_app.command("start", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@reporting
def node_start(context: typer.Context) -> None:
    """`ray start` with the same options, on a node whose symbol actors are then forked: five times as fast to start."""
    from barray.coordinator.runtime import start_node

    raise typer.Exit(start_node(context.args))


def _violation(found: Violation) -> dict[str, Any]:
    return asdict(found)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a date", remedy="write it as 2024-07-01") from None


def with_only(name: str) -> typer.Typer:
    """The app with no other command than `name`, if it has that: each takes a millisecond to make ready. But `job` runs
    others.
    """
    chosen = copy(app)
    if name == job.__name__:
        return chosen
    commands = [one for one in app.registered_commands if name == (one.name or _name_of(one.callback))]
    groups = [one for one in app.registered_groups if name == one.name]
    if commands or groups:
        chosen.registered_commands, chosen.registered_groups = commands, groups
    return chosen


def _name_of(command: Callable[..., Any] | None) -> str:
    return get_command_name(getattr(command, "__name__", ""))


def main() -> None:
    """Run the command of `sys.argv` in this process, and end it."""
    try:
        with_only(sys.argv[1] if len(sys.argv) > 1 else "")(prog_name="barray")
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
