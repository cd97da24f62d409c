"""`barray run`: every session of a config, from open to close."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import (
    end_degraded,
    note,
    print_json,
    print_table,
    reporting,
    session_progress,
    stdout,
    stdout_kept,
    without_drop_warnings,
)
from barray.cli.options import AsJson, ConfigPath, Quiet
from barray.market.errors import BarrayError, shorten

if TYPE_CHECKING:
    from barray.session import Session


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
        allowed = session.config.validation.allow_lost
    lost = sorted({symbol for one in done for symbol in one["degraded"]})
    if as_json:
        print_json({"degraded": lost, "sessions": done})
    end_degraded(lost, allowed=allowed)


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
        "degraded": list(summary.lost),
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
