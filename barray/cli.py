"""The command line: `barray COMMAND`. Exit codes: 0 done, 1 failed, 2 bad usage or config, 130 interrupted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli_attach import attach_app
from barray.cli_backtest import backtest
from barray.cli_fetch import fetch
from barray.cli_login import login_app
from barray.cli_sweep import lookahead, sweep, warmup
from barray.console import (
    FAILED,
    leave,
    note,
    print_json,
    print_table,
    reporting,
    session_progress,
    stdout,
    stdout_kept,
    without_drop_warnings,
)
from market.errors import BarrayError, ConfigError, shorten

if TYPE_CHECKING:
    from barray.session import Session
    from barray.violations import Violation

app = typer.Typer(
    name="barray",
    help="Trading sessions over many symbols, each symbol a Ray actor of its own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(attach_app, name="attach")
app.add_typer(login_app, name="login")
for _command in (backtest, sweep, lookahead, warmup, fetch):
    app.command()(_command)

ConfigPath = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; see examples/session.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


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
    as_json: AsJson = False,
) -> None:
    """Write a seeded sample universe as Parquet, with broken symbols on request."""
    from barray.sample_data import write_sample_data
    from barray.sample_faults import FAULTS

    if list_faults:
        print_table("Faults", ("fault", "what is wrong"), FAULTS.items())
        return
    names = int(symbols) if symbols.isdecimal() else [part.strip() for part in symbols.split(",") if part.strip()]
    pairs = [entry.partition("=") for entry in broken or []]
    if len({bool(equals) for _, equals, _ in pairs}) > 1:
        raise ConfigError("--broken mixes SYMBOL=FAULT and FAULT", mend="use one form")
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
    from barray.demo import run_demo

    run_demo(directory, quiet=quiet)


@app.command()
@reporting
def check(
    config: ConfigPath,
    deep: Annotated[bool, typer.Option("--deep", help="Read every bar too, as a run would.")] = False,
    as_json: AsJson = False,
) -> None:
    """Step 0 only: which symbols a run would use and which it would drop, on every session date. Needs no Ray.

    Exit code 1 where a session would have no symbol left (or, with validation.per_symbol off, would lose any).
    """
    from barray.check import check_config
    from coordinator.config_file import read_config

    settings = read_config(config)
    days = check_config(settings, deep=deep)
    doomed = [day for day, results in days.items() if not _would_run(results, settings.validation.per_symbol)]
    if as_json:
        print_json(
            {
                "sessions": {
                    str(day): {symbol: result.to_dict() for symbol, result in results.items()}
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
            rows.append((symbol, verdict, last.data_source or "", last.base_interval or ""))
        title = f"Step 0, {len(days)} sessions from {next(iter(days))} to {next(reversed(days))}"
        print_table(title, ("symbol", "verdict", "source", "base"), rows)
        for remark in remarks:
            stdout.print(f"  {remark}", highlight=False, markup=False)
        for day in doomed:
            stdout.print(f"[red]{day}: the session could not run[/]", highlight=False)
    if doomed:
        raise typer.Exit(FAILED)


def _would_run(results: dict[str, Any], per_symbol: bool) -> bool:
    passed = [result.can_proceed for result in results.values()]
    return any(passed) if per_symbol else all(passed)


@app.command()
@reporting
def run(
    config: ConfigPath,
    out: Annotated[Path | None, typer.Option("--out", help="Write exports here instead.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run every session of a config from open to close, write its exports, and say what happened to each symbol."""
    from barray.session import Session

    done: list[dict[str, Any]] = []
    with (
        stdout_kept(as_json),
        without_drop_warnings(),
        session_progress(quiet=quiet) as progress,
        Session(config, progress=progress) as session,
    ):
        for day in session.dates:
            done.append(run_date(session, day, out))
            if not as_json:
                print_session(done[-1])
    if as_json:
        print_json({"sessions": done})


def run_date(session: Session, day: date, out: Path | None) -> dict[str, Any]:
    """One session from begin to teardown; what became of it, in JSON types."""
    session.begin(day)
    try:
        session.advance_to()
    except BaseException:
        if session.config.is_live:  # it can't be run again
            _keep(session, out)
        raise
    summary = session.end()
    paths = _write(session, out)
    symbols = {}
    for data in session.snapshots():
        base = data.bars.get(str(data.base_interval)) if data.base_interval else None
        quality = data.quality.get(str(data.base_interval)) if data.base_interval else None
        symbols[data.symbol] = {
            "state": "full" if data.meets_session_config_requirements else "adhoc",
            "added_by": data.added_by,
            "upgraded": data.upgraded_from_adhoc,
            "source": data.lineage.source if data.lineage else None,
            "bars": len(base) - base.history if base else sum(len(series) for series in data.bars.values()),
            "quality": quality.share if quality else None,
            "conflicts": [str(conflict) for conflict in data.conflicts],
        }
    session.teardown()
    return {
        "date": str(day),
        "symbols": symbols,
        "dropped": {symbol: [str(reason) for reason in reasons] for symbol, reasons in summary.dropped.items()},
        "events": [
            {"action": e.action, "symbol": e.symbol, "by": e.by, "accepted": e.accepted, "reason": e.reason}
            for e in summary.events
        ],
        "files": [str(path) for path in paths],
    }


def _keep(session: Session, out: Path | None) -> None:
    """Write what there is of a session that fails, if that can be."""
    try:
        session.end()
        _write(session, out)
    except BarrayError as error:
        note(f"what there was of the session could not be kept: {error}")


def _write(session: Session, out: Path | None) -> list[Path]:
    """The files of its export and its recording; that one fails is no reason to lose the other."""
    recorded: list[Path] = []
    try:
        exported = session.export(out)
    finally:
        if session.config.live.record:
            recorded = session.record()
    return exported + recorded


def print_session(result: dict[str, Any]) -> None:
    """A session's symbols as a table, with the files written."""
    rows: list[tuple[object, ...]] = []
    remarks: list[str] = []
    for symbol, entry in result["symbols"].items():
        state = entry["state"] + (" (upgraded)" if entry["upgraded"] else "")
        share = "" if entry["quality"] is None else f"{100 * entry['quality']:.1f}"
        rows.append((symbol, state, entry["added_by"], entry["source"] or "", entry["bars"], share))
        remarks += [f"{symbol}: {conflict}" for conflict in entry["conflicts"]]
    title = f"Session {result['date']}"
    print_table(title, ("symbol", "state", "added by", "source", "bars #", "quality %"), rows)
    remarks += [f"{shorten(symbol)}: dropped: {'; '.join(reasons)}" for symbol, reasons in result["dropped"].items()]
    for remark in remarks:
        stdout.print(f"  {remark}", highlight=False, markup=False)
    refused = [event for event in result["events"] if not event["accepted"]]
    for event in refused:
        stdout.print(f"  {event['action']} {shorten(event['symbol'])} refused: {event['reason']}", markup=False)
    for path in result["files"]:
        stdout.print(f"  wrote {path}", highlight=False, markup=False)


@app.command("validate-dump")
@reporting
def validate_dump(
    path: Annotated[Path, typer.Argument(help="A dump: .json or .csv.")],
    calendar: Annotated[str, typer.Option(help="Exchange calendar of a CSV.")] = "XNYS",
    hours: Annotated[str, typer.Option(help="Hours of a CSV: regular or extended.")] = "regular",
    as_json: AsJson = False,
) -> None:
    """Recompute a dump from its base bars and name all that is wrong with it. Exit code 0 if nothing is, else 1."""
    from barray.validate_dump import validate_session_dump
    from barray.violations import count_violations

    violations = validate_session_dump(path, calendar=calendar, hours=hours)
    if as_json:
        print_json({"path": str(path), "ok": not violations, "violations": [_violation(found) for found in violations]})
    elif not violations:
        stdout.print(f"[green]{path}: nothing is wrong[/]", highlight=False)
    else:
        rows = [(v.place, v.code, v.found, v.expected) for v in violations]
        print_table(f"{path}: {count_violations(violations)} violations", ("place", "code", "found", "expected"), rows)
    if violations:
        raise typer.Exit(FAILED)


@app.command()
@reporting
def up(
    num_cpus: Annotated[int | None, typer.Option(min=1, help="CPUs it may use; default: all.")] = None,
) -> None:
    """Keep a local Ray warm between runs, on loopback; the next runs start in about a second."""
    from barray import local_ray

    found, new = local_ray.up(num_cpus)
    stdout.print(
        f"Ray is {'up' if new else 'up already'} at {found.address}, held by process {found.pid}", highlight=False
    )


@app.command()
@reporting
def down() -> None:
    """End the Ray that `barray up` keeps, and all that runs on it."""
    from barray import local_ray

    stdout.print("Ray is down" if local_ray.down() else "no Ray was up", highlight=False)


node_app = typer.Typer(help="Nodes of a cluster.", no_args_is_help=True)
app.add_typer(node_app, name="node")


@node_app.command("start", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@reporting
def node_start(context: typer.Context) -> None:
    """`ray start` with the same options, on a node whose symbol actors are then forked: five times as fast to start."""
    from coordinator.runtime import start_node

    raise typer.Exit(start_node(context.args))


def _violation(found: Violation) -> dict[str, Any]:
    return asdict(found)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is not a date", mend="write it as 2024-07-01") from None


def main() -> None:
    """Run the command of `sys.argv` in this process, and end it."""
    try:
        app(prog_name="barray")
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))
