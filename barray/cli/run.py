"""`barray run`: every session of a config, from open to close."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import (
    FAILED,
    STOPPED,
    end_degraded,
    fail,
    note,
    note_unused,
    print_json,
    print_table,
    reporting,
    session_progress,
    stdout,
    stdout_kept,
    without_drop_warnings,
)
from barray.cli.options import Address, AsJson, ConfigPath, Kept, LogLevel, Quiet, asked_to_keep, on, place
from barray.market.bars import format_ns
from barray.market.errors import BarrayError, shorten
from barray.market.reason_codes import ALL_IS_LOST

if TYPE_CHECKING:
    from barray.checkpoint.days import KeptDays
    from barray.data_sources.object_store.publish import Place
    from barray.session import Session


@reporting
def run(
    config: ConfigPath,
    out: Annotated[
        Any,
        typer.Option("--out", parser=place, metavar="PATH", help="Write exports here instead: a folder, or s3://…."),
    ] = None,
    checkpoint: Kept = None,
    address: Address = None,
    log_level: LogLevel = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run every session of a config from open to close, write its exports, and say what happened to each symbol.

    The config's strategy, if it has one, trades in them on a simulated account. A date that fails is told, and the next
    one run, unless Ray or the coordinator is gone. Exit code 1 where one did, or where the strategy failed; 4 where
    somebody stopped it (`barray attach stop`).
    """
    from barray.checkpoint.days import KeptDays
    from barray.checkpoint.keeping import PATIENCE_S, keeping
    from barray.coordinator.config.file import read_config
    from barray.session import Session

    done: list[dict[str, Any]] = []
    asked = asked_to_keep(checkpoint, config, out=out, address=address)
    with stdout_kept(as_json), without_drop_warnings(), session_progress(quiet=quiet) as progress:
        session = Session(on(read_config(config), address, log_level), progress=progress)
        session.patience_s = PATIENCE_S if asked is not None else 0.0
        with keeping(asked, "run", session.made_of) as kept, session:
            ignored = note_unused("run", session.config)
            days = KeptDays(kept)
            for told in run_dates(session, days, out):
                done.append(told)
                if not as_json and "error" not in told:
                    print_session(told)
            for one in done:
                if "stopped" in one:
                    days.stopped(one["date"])
            if asked is not None and not _error_of_all(done[-1]):
                asked.files = [path for one in done for path in one["files"]]
                days.finish()
        allowed = session.config.validation.allow_lost
    lost = sorted({symbol for one in done for symbol in one.get("degraded", ())})
    if as_json:
        print_json({"degraded": lost, "sessions": done, "ignored": ignored})
    stopped = [one for one in done if "stopped" in one or one.get("error", {}).get("code") == "stopped"]
    if any("error" in one or one.get("trading", {}).get("errors") for one in done if one not in stopped):
        raise typer.Exit(FAILED)
    if stopped:
        raise typer.Exit(STOPPED)
    end_degraded(lost, allowed=allowed)


def _error_of_all(told: Mapping[str, Any]) -> Mapping[str, str] | None:
    """Why no date after this one can be run, or is to be."""
    if "stopped" in told:
        return {"code": "stopped", "message": told["stopped"]}
    error: Mapping[str, str] = told.get("error", {})
    return error if error.get("code") in (*ALL_IS_LOST, "stopped") else None


def run_dates(session: Session, days: KeptDays, out: Place | None) -> Iterator[dict[str, Any]]:
    """What each date came to, in order: as it was written down, or as it is run now; see `run_or_tell`. Once nothing
    more can be run, why not. Errors of the checkpoint as of Checkpoint.
    """
    days.take_up(session)
    error: Mapping[str, str] | None = None
    for day in session.dates:
        if (earlier := days.done.get(day.isoformat())) is not None:
            yield dict(earlier)
            continue
        told = _not_run(session, day, error) if error else run_or_tell(session, day, out)
        error = error or _error_of_all(told)
        if error is None:
            days.keep(session, day, told)
        yield told


def run_or_tell(session: Session, day: date, out: Place | None) -> dict[str, Any]:
    """`run_date`; where that fails, its error, told on standard error, with why each symbol was not run.

    ConfigError where none of the dates can be run so.
    """
    try:
        return run_date(session, day, out)
    except BarrayError as error:
        if session.is_of_all_dates(error, day):
            raise
        fail(f"{day}: {error}")
        return _failed(session, day, error)


def _failed(session: Session, day: date, error: BarrayError) -> dict[str, Any]:
    """What is left to say of a date that failed; the session is torn down, so that the next can begin."""
    told = _not_run(session, day, {"code": error.code, "message": str(error)})
    with suppress(BarrayError):  # its coordinator may be gone, or no day have begun
        found = session.summary().dropped
        told["dropped"] |= {symbol: [str(reason) for reason in reasons] for symbol, reasons in found.items()}
    with suppress(BarrayError):
        session.teardown()
    return told


def _not_run(session: Session, day: date, error: Mapping[str, str]) -> dict[str, Any]:
    dropped = {symbol: [error["message"]] for symbol in session.config.symbols}
    return {"date": str(day), "error": dict(error), "symbols": {}, "dropped": dropped, "events": [], "files": []}


def run_date(session: Session, day: date, out: Place | None) -> dict[str, Any]:
    """One session from begin to teardown; what became of it, in JSON types."""
    from barray.export.symbol_row import SymbolRow
    from barray.export.trading import TradingFigures

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
    for row in map(SymbolRow.of, session.snapshots()):
        symbols[row.symbol] = {
            "state": row.state,
            "added_by": row.added_by,
            "upgraded": row.upgraded,
            "source": row.source,
            "bars": row.bars,
            "quality": row.quality,
            "conflicts": [str(conflict) for conflict in row.conflicts],
            "warnings": [str(warning) for warning in row.warnings],
        }
    session.teardown()
    return {
        "date": str(day),
        "symbols": symbols,
        "dropped": {symbol: [str(reason) for reason in reasons] for symbol, reasons in summary.dropped.items()},
        "now": format_ns(summary.now_ns),
        "degraded": list(summary.lost),
        **({} if summary.stopped is None else {"stopped": summary.stopped}),
        "events": [
            {"action": e.action, "symbol": e.symbol, "by": e.by, "accepted": e.accepted, "reason": e.reason}
            for e in summary.events
        ],
        **({"trading": TradingFigures.of(summary.trading).as_json()} if summary.trading else {}),
        "files": [str(path) for path in paths],
    }


def _keep(session: Session, out: Place | None) -> None:
    """Write what there is of a session that fails, if that can be."""
    try:
        session.end()
        _write(session, out)
    except BarrayError as error:
        note(f"what there was of the session could not be kept: {error}")


def _write(session: Session, out: Place | None) -> list[Place]:
    """The files of its export and its recording; that one fails is no reason to lose the other."""
    recorded: list[Place] = []
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
        remarks += [f"{symbol}: {remark}" for remark in entry["conflicts"] + entry["warnings"]]
    title = f"Session {result['date']}"
    print_table(title, ("symbol", "state", "added by", "source", "bars #", "quality %"), rows)
    remarks += [f"{shorten(symbol)}: dropped: {'; '.join(reasons)}" for symbol, reasons in result["dropped"].items()]
    for remark in remarks:
        stdout.print(f"  {remark}", highlight=False, markup=False)
    refused = [event for event in result["events"] if not event["accepted"]]
    for event in refused:
        stdout.print(f"  {event['action']} {shorten(event['symbol'])} refused: {event['reason']}", markup=False)
    if "stopped" in result:
        stdout.print(f"  stopped at {result['now']}: {result['stopped']}", highlight=False, markup=False)
    if "trading" in result:
        print_trading(result["trading"])
    for path in result["files"]:
        stdout.print(f"  wrote {path}", highlight=False, markup=False)


def print_trading(figures: Mapping[str, Any]) -> None:
    """What a strategy's session came to, as a table, with what it failed on."""
    rows = [
        (symbol, *(one[name] for name in ("orders", "fills", "refused")), f"{one['position']:g}")
        for symbol, one in figures["symbols"].items()
    ]
    equity, pnl = figures["equity"], figures["pnl"]
    told = "" if equity is None else f", profit {pnl:+,.2f}, equity {equity:,.2f}"
    columns = ("symbol", "orders #", "fills #", "refused #", "position #")
    print_table(f"{figures['strategy']}{told}", columns, rows)
    for own, text in figures["errors"].items():
        stdout.print(f"  the strategy failed{f' on {own}' if own else ''}: {text}", highlight=False, markup=False)
