"""`barray sweep`, `lookahead` and `warmup`: what to make of a strategy's parameters, and of the strategy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.backtest import shown
from barray.cli.console import (
    FAILED,
    document,
    end_degraded,
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
    from barray.trading.checks.lookahead_report import LookaheadReport
    from barray.trading.checks.warmup import WarmupReport
    from barray.trading.scans.lookahead import ScanLookahead
    from barray.trading.sweeps.result import SweepResult

Symbols = Annotated[str, typer.Option("--symbols", help="Only these, with commas between; default: all.")]
_TOP = 10
_MARKS = {"ok": "[green]ok[/]    ", "can't tell": "[yellow]unsure[/]"}


@reporting
def sweep(
    config: StrategyConfig,
    out: Annotated[
        Any,
        typer.Option("--out", parser=place, metavar="PATH", help="Write the tables here instead: a folder, or s3://…."),
    ] = None,
    checkpoint: Kept = None,
    address: Address = None,
    log_level: LogLevel = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, whatever an earlier run has done.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Try a config's parameter sets, write their table, and say which is best. A stopped sweep goes on where it was."""
    from barray.coordinator.config.file import read_config
    from barray.report.sweep_page import write_sweep
    from barray.runs.sweep import sweep as run

    how = _telling_how_to_go_on(config)
    keeping = asked_to_keep(checkpoint, config, out=out, address=address)
    with document(as_json), without_drop_warnings(), how, session_progress(quiet=quiet) as progress:
        settings = on(read_config(config), address, log_level)
        ignored = note_unused("sweep", settings)
        result = run(settings, progress=progress, fresh=fresh, checkpoint=keeping)
        files = write_sweep(result, out or settings.report.directory)
        if keeping is not None and not result.lost:
            keeping.finish(files)
    if as_json:
        print_json({**_sweep_json(result), "ignored": ignored, "files": [str(path) for path in files]})
    else:
        _print_sweep(result)
        for path in files:
            stdout.print(f"  wrote {path}", highlight=False, markup=False)
    if result.best is None or result.unlike:
        raise typer.Exit(FAILED)
    end_degraded(result.lost, allowed=settings.validation.allow_lost)


@contextmanager
def _telling_how_to_go_on(config: Path) -> Iterator[None]:
    """To what ends a sweep that has done something, add the command that goes on."""
    try:
        yield
    except BaseException as error:
        if getattr(error, "__notes__", ()):
            error.add_note(f"to go on: barray sweep {shlex.quote(str(config))}")
        raise


@reporting
def lookahead(
    config: StrategyConfig,
    symbols: Symbols = "",
    cuts: Annotated[
        int | None, typer.Option(min=1, help="Moments at which the future is changed; default: every decision.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no decision of a strategy, no hit of a scan depends on the future. Exit code 1 where one does."""
    from barray.analysis import lookahead as run
    from barray.coordinator.config.file import read_config
    from barray.runs.scan_here import lookahead_of_scans

    with document(as_json):
        settings = read_config(config)
        reports: list[Any] = lookahead_of_scans(settings, symbols=_names(symbols), cuts=cuts) if settings.scans else []
        if settings.symbols or not settings.scans:
            reports += run(settings, symbols=_names(symbols), cuts=cuts)
    _report(reports, as_json=as_json)


@reporting
def warmup(config: StrategyConfig, symbols: Symbols = "", as_json: AsJson = False) -> None:
    """Check that more history would not change the strategy's decisions. Exit code 1 where it would."""
    from barray.analysis import warmup as run

    with document(as_json):
        reports = run(config, symbols=_names(symbols))
    _report(reports, as_json=as_json)


def _names(symbols: str) -> list[str]:
    return [name.strip() for name in symbols.split(",") if name.strip()]


def _report(reports: Sequence[LookaheadReport | WarmupReport | ScanLookahead], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {**_subject(one), "ok": one.ok, "verdict": one.verdict, "sentences": list(one.sentences)}
                for one in reports
            ]
        )
    else:
        for one in reports:
            mark = _MARKS.get(one.verdict, "[red]not ok[/]")
            for number, sentence in enumerate(one.sentences):
                stdout.print(mark if number == 0 else "      ", end=" ")
                stdout.print(sentence, highlight=False, markup=False)
    if not all(one.ok for one in reports):
        raise typer.Exit(FAILED)


def _subject(report: LookaheadReport | WarmupReport | ScanLookahead) -> dict[str, str]:
    return {"scan": report.scan} if hasattr(report, "scan") else {"symbol": report.symbol}


def _sweep_json(result: SweepResult) -> dict[str, Any]:
    best = result.best
    return {
        "name": result.name,
        "strategy": result.strategy,
        "metric": result.metric,
        "sets": len(result.rows),
        "resumed": result.resumed,
        "outdated": result.outdated,
        "not_ranked": len(result.unlike),
        "failed": sum(1 for row in result.rows if row.error),
        "best": {"parameters": best.parameters, **best.figures(result.capital)} if best else None,
        "walk_forward": [
            {
                "in_sample": [step.window.in_sample[0].isoformat(), step.window.in_sample[-1].isoformat()],
                "out_of_sample": [step.window.out_of_sample[0].isoformat(), step.window.out_of_sample[-1].isoformat()],
                "parameters": step.parameters,
                "score": step.in_sample,
                "pnl": float(step.out_of_sample_pnl.sum()),
            }
            for step in result.walked
        ],
        "dropped": {symbol: list(reasons) for symbol, reasons in result.dropped.items()},
        "degraded": list(result.lost),
        "timings_s": dict(result.timings_s),
    }


def _print_sweep(result: SweepResult) -> None:
    ranked = result.ranked
    names = list(ranked[0].parameters) if ranked else []
    columns = [
        result.metric,
        *(name for name in ("pnl", "sharpe", "close_drawdown_pct", "trades") if name != result.metric),
    ]
    rows = []
    for row in ranked[:_TOP]:
        figures = row.figures(result.capital)
        rows.append((*(row.parameters[name] for name in names), *(shown(figures[name]) for name in columns)))
    title = f"{result.strategy}: best of {len(result.rows)} sets by {result.metric}"
    print_table(title, (*names, *(f"{name.replace('_', ' ')} #" for name in columns)), rows)
    if result.walked:
        steps = [
            (
                f"{step.window.out_of_sample[0]} to {step.window.out_of_sample[-1]}",
                ", ".join(f"{name} {value}" for name, value in step.parameters.items()),
                shown(step.in_sample),
                shown(float(step.out_of_sample_pnl.sum())),
            )
            for step in result.walked
        ]
        print_table(
            "Walk-forward", ("out of sample", "chosen before", f"{result.metric} in sample #", "pnl after #"), steps
        )
    if result.resumed:
        stdout.print(f"  {result.resumed} sets were done by an earlier run", highlight=False)
    if result.outdated:
        stdout.print(
            f"  {result.outdated} sets of an earlier run were made of other bars or symbols: evaluated anew",
            highlight=False,
        )
    if result.unlike:
        first = result.unlike[0]
        stdout.print(
            f"  {len(result.unlike)} sets {result.problem(first)}; the same command evaluates them again",
            highlight=False,
        )
    for symbol, reasons in result.dropped.items():
        stdout.print(f"  {shorten(symbol)}: dropped: {'; '.join(reasons)}", highlight=False, markup=False)
    failed = [row for row in result.rows if row.error]
    if failed:
        last = (failed[0].error or "").strip().splitlines()[-1]
        stdout.print(
            f"  {len(failed)} sets failed, first {failed[0].parameters}: {last}", markup=False, highlight=False
        )
