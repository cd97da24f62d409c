"""`barray backtest`: a strategy over many symbols and sessions, with a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import (
    FAILED,
    document,
    end_degraded,
    fail,
    note_unused,
    print_json,
    print_table,
    reporting,
    session_progress,
    stdout,
    without_drop_warnings,
)
from barray.cli.options import Address, AsJson, Kept, LogLevel, Quiet, StrategyConfig, asked_to_keep, on, place
from barray.market.errors import shorten

if TYPE_CHECKING:
    from barray.trading.results.backtest import BacktestResult

Out = Annotated[
    Any, typer.Option("--out", parser=place, metavar="PATH", help="Write the report here instead: a folder, or s3://….")
]
_SHOWN = 20


@reporting
def backtest(
    config: StrategyConfig,
    out: Out = None,
    checkpoint: Kept = None,
    address: Address = None,
    log_level: LogLevel = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a config's strategy over all its sessions, write report and trades, and say what came of it.

    Exit code 1 where the strategy failed on any symbol.
    """
    from barray.coordinator.config.file import read_config
    from barray.runs.backtest import backtested

    keeping = asked_to_keep(checkpoint, config, out=out, address=address)
    with (
        document(as_json),
        without_drop_warnings(),
        session_progress(quiet=quiet) as progress,
        backtested(
            on(read_config(config), address, log_level), progress=progress, meanwhile=_import_report, checkpoint=keeping
        ) as (result, run),
    ):
        from barray.report.files import write_backtest

        ignored = note_unused("backtest", run.config)
        files = write_backtest(result, run, out)
        if keeping is not None:
            keeping.files = files
    numbers = result.tables.numbers
    total = numbers.total.as_dict()
    by_symbol = {symbol: figures.as_dict() for symbol, figures in numbers.symbols.items()}
    if as_json:
        print_json({**summary(result, total, by_symbol), "ignored": ignored, "files": [str(path) for path in files]})
    else:
        print_backtest(result, total, by_symbol)
        for path in files:
            stdout.print(f"  wrote {path}", highlight=False, markup=False)
    if failed := _failed(result):
        if not as_json:
            fail(failed)
        raise typer.Exit(FAILED)
    end_degraded(result.lost, allowed=run.config.validation.allow_lost)


def _failed(result: BacktestResult) -> str:
    """In a line, on how many symbols the strategy failed; empty where on none."""
    if result.error:
        return f"the run stopped: {_last(result.error)}"
    errors = [one.error for one in result.symbols.values() if one.error]
    if not errors:
        return ""
    return f"the strategy failed on {len(errors)} of {len(result.symbols)} symbols; first: {_last(errors[0])}"


def _last(trace: str) -> str:
    return trace.strip().splitlines()[-1]


def _import_report() -> None:
    """What `backtest` needs at its end, imported while it would wait for others."""
    import barray.report.files  # noqa: F401


def summary(
    result: BacktestResult, total: Mapping[str, Any], by_symbol: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """A backtest in JSON types: statistics, what came of orders, events, and what was left out."""
    from barray.export.results import event_json, order_counts

    return {
        "name": result.name,
        "strategy": result.strategy,
        "parameters": dict(result.parameters),
        "sessions": len(result.dates),
        "total": dict(total),
        "symbols": {symbol: dict(figures) for symbol, figures in by_symbol.items()},
        "orders": order_counts(result.symbols.values()),
        "events": [event_json(event) for event in result.events.lines],
        "dropped": {symbol: list(reasons) for symbol, reasons in result.dropped.items()},
        "degraded": list(result.lost),
        "skipped": {symbol: dict(one.skipped) for symbol, one in result.symbols.items() if one.skipped},
        "warnings": {
            s: [str(warning) for warning in one.warnings] for s, one in result.symbols.items() if one.warnings
        },
        "errors": {symbol: one.error for symbol, one in result.symbols.items() if one.error},
        "error": result.error,
        "timings_s": dict(result.timings_s),
    }


def print_backtest(
    result: BacktestResult, total: Mapping[str, Any], by_symbol: Mapping[str, Mapping[str, Any]]
) -> None:
    """The result as tables."""
    span = f"{result.dates[0]} to {result.dates[-1]}" if result.dates else "no session"
    rows = [(name.replace("_", " "), shown(value)) for name, value in total.items()]
    print_table(f"{result.strategy}, {len(result.symbols)} symbols, {span}", ("figure", "value #"), rows)
    ranked = sorted(by_symbol, key=lambda symbol: -float(by_symbol[symbol].get("pnl") or 0.0))
    chosen = ranked if len(ranked) <= _SHOWN else [*ranked[: _SHOWN // 2], *ranked[-_SHOWN // 2 :]]
    columns = ("pnl", "return_pct", "trades", "win_rate_pct", "max_drawdown_pct", "sharpe")
    table = [(symbol, *(shown(by_symbol[symbol].get(name)) for name in columns)) for symbol in chosen]
    title = "By symbol" if len(chosen) == len(ranked) else f"Best and worst of {len(ranked)} symbols"
    print_table(title, ("symbol", *(f"{name.replace('_', ' ')} #" for name in columns)), table)
    remarks = [f"{shorten(symbol)}: dropped: {'; '.join(reasons)}" for symbol, reasons in result.dropped.items()]
    for symbol, one in result.symbols.items():
        if one.skipped:
            first = next(iter(one.skipped.items()))
            remarks.append(f"{symbol}: {len(one.skipped)} session(s) left out, first {first[0]}: {first[1]}")
        remarks += [f"{symbol}: {warning}" for warning in one.warnings]
        if one.error:
            remarks.append(f"{symbol}: the strategy raised {_last(one.error)}")
        if one.refusals:
            remarks.append(f"{symbol}: {len(one.refusals)} orders cut or refused, first: {one.refusals[0].reason}")
        if one.metadata.added_by != "config":
            remarks.append(f"{symbol}: added by the {one.metadata.added_by}, in {len(one.sessions)} session(s)")
    if result.scanned is not None:
        remarks += [f"{day}: scans looked at nothing: {reason}" for day, reason in result.scanned.skipped.items()]
        remarks += [f"scan {one.scan} ended early: {_last(one.reason)}" for one in result.scanned.failures]
        refused = [one for one in result.events.lines if one.by == "scanner" and not one.accepted]
        remarks += [f"{shorten(one.symbol)}: not promoted: {one.reason}" for one in refused[:_SHOWN]]
    if result.error:
        remarks.append(f"the strategy raised {_last(result.error)}")
    for remark in remarks:
        stdout.print(f"  {remark}", highlight=False, markup=False)


def shown(value: Any) -> str:
    """A figure as tables show it."""
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
