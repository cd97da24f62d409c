"""`barray attach …`: look into a running session from a second terminal, and change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from barray.cli.console import (
    BAD_USAGE,
    FAILED,
    INTERRUPTED,
    document,
    fail,
    print_json,
    print_table,
    reporting,
    stdout,
)
from barray.cli.options import AsJson
from barray.market.bars import COLUMNS, format_ns
from barray.market.errors import ConfigError

if TYPE_CHECKING:
    from barray.attached import AttachedSession
    from barray.coordinator.summary import AddResult
    from barray.market.symbol_data import SymbolSessionData

attach_app = typer.Typer(help="Look into a running session, and change it.", no_args_is_help=False)

Name = Annotated[str | None, typer.Option("--session", "-s", help="Name of the session; not needed if one runs.")]
Address = Annotated[str, typer.Option(help="Ray's address: host:port, or auto for this machine's.")]
Symbol = Annotated[str, typer.Argument(help="The symbol.")]
By = Annotated[str, typer.Option(help="strategy or scanner.")]


@attach_app.callback(invoke_without_command=True)
@reporting
def attach(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show where it stands, again and again, until it has ended.")
    ] = False,
    rows: Annotated[int, typer.Option(min=0, help="Of how many symbols the last bar is shown.")] = 10,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds from one look to the next.")] = 1.0,
    session: Name = None,
    address: Address = "auto",
    as_json: AsJson = False,
) -> None:
    """Look into a running session, and change it.

    With --watch a table that is written anew; a line for each new phase where there is no terminal, or with --json.
    """
    if context.invoked_subcommand is not None:
        if watch or session:
            raise ConfigError(
                "an option stands before the command", remedy=f"write it after {context.invoked_subcommand}"
            )
        return
    if not watch:
        stdout.print(context.get_help(), highlight=False, markup=False)
        raise typer.Exit(BAD_USAGE)
    from barray.cli.watch import show_lines, show_table

    with _attached(session, address) as attached:
        if as_json or not stdout.is_terminal:
            show_lines(attached, every, as_json=as_json)
        else:
            show_table(attached, every, rows)


@attach_app.command()
@reporting
def pause(session: Name = None, address: Address = "auto", as_json: AsJson = False) -> None:
    """Hold a session where its window ends, and wait until it stands there. A live one can't be: its time goes on."""
    _turn(lambda attached: attached.pause(), session, address, as_json=as_json)


@attach_app.command()
@reporting
def step(session: Name = None, address: Address = "auto", as_json: AsJson = False) -> None:
    """Let one window of a paused session pass, and wait until it stands again."""
    _turn(lambda attached: attached.step(), session, address, as_json=as_json)


@attach_app.command()
@reporting
def resume(session: Name = None, address: Address = "auto", as_json: AsJson = False) -> None:
    """Let a paused session go on."""
    _turn(lambda attached: attached.resume(), session, address, as_json=as_json)


@attach_app.command()
@reporting
def stop(
    reason: Annotated[str, typer.Option(help="Stands in the events of its dump.")] = "stopped from another terminal",
    session: Name = None,
    address: Address = "auto",
    as_json: AsJson = False,
) -> None:
    """End a session where its window ends, as its close would: dump, teardown. Its command's exit code is 4."""
    _turn(lambda attached: attached.stop(reason), session, address, as_json=as_json)


def _turn(turn: Callable[[AttachedSession], object], session: str | None, address: str, *, as_json: bool) -> None:
    """Do something to a session's pace, and say where it stands then."""
    with document(as_json), _attached(session, address) as attached:
        turn(attached)
        found = attached.status()
    told = {key: found[key] for key in ("name", "pace", "phase", "now")}
    if as_json:
        print_json(told)
    else:
        stdout.print(f"{told['name']}: {told['pace']}, {told['phase']} {told['now'] or ''}".rstrip(), highlight=False)


@attach_app.command()
@reporting
def status(session: Name = None, address: Address = "auto", as_json: AsJson = False) -> None:
    """Phase, session time, symbols, drops."""
    with document(as_json), _attached(session, address) as attached:
        found = attached.status()
    if as_json:
        print_json(found)
        return
    hidden = {"dropped", "progress", *(key for key in ("fetching", "live") if not found.get(key))}
    rows = [(key, _shown(value)) for key, value in found.items() if key not in hidden]
    print_table(f"Session {found['name']}", ("what", "is"), rows)
    if found["dropped"]:
        print_table("Dropped", ("symbol", "why"), ((s, "; ".join(why)) for s, why in found["dropped"].items()))


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(value)
    return ", ".join(f"{key} {part}" for key, part in value.items() if part != "") if isinstance(value, dict) else value


@attach_app.command()
@reporting
def snapshot(
    symbol: Symbol,
    session: Name = None,
    address: Address = "auto",
    rows: Annotated[int, typer.Option(help="How many of the last bars to show.")] = 5,
    as_json: AsJson = False,
) -> None:
    """A symbol as of session time: metadata, last bars, indicators, quality."""
    with document(as_json), _attached(session, address) as attached:
        data = attached.snapshot(symbol)
    if as_json:
        from barray.dump.writers.json import symbol_json

        print_json(symbol_json(data))
        return
    _print_snapshot(data, rows)


def _print_snapshot(data: SymbolSessionData, rows: int) -> None:
    print_table(f"{data.symbol} at {format_ns(data.now_ns)}", ("metadata", ""), data.metadata_dict().items())
    for name, series in data.bars.items():
        keys = [key for key, indicator in data.indicators.items() if str(indicator.spec.interval) == name]
        outputs = [
            (key, output, data.indicators[key].values[output]) for key in keys for output in data.indicators[key].values
        ]
        share = data.quality[name].share
        quality = "" if share is None else f", quality {100 * share:.1f} %"
        first = max(len(series) - rows, 0)
        print_table(
            f"{name}: {len(series) - series.history} bars of the session, {series.history} before{quality}",
            ("start", *COLUMNS, *(key if output == "real" else f"{key}.{output}" for key, output, _ in outputs)),
            (
                (
                    format_ns(int(series.bars.start_ns[row])),
                    *(f"{getattr(series.bars, column)[row]:g}" for column in COLUMNS),
                    *(f"{values[row]:g}" for _, _, values in outputs),
                )
                for row in range(first, len(series))
            ),
        )


@attach_app.command("add-symbol")
@reporting
def add_symbol(
    symbol: Symbol, by: By = "strategy", session: Name = None, address: Address = "auto", as_json: AsJson = False
) -> None:
    """Add a symbol with everything the config requires, or upgrade an adhoc one."""
    with document(as_json), _attached(session, address) as attached:
        added = attached.add_symbol_detailed(symbol, by)
    _say(symbol, added, as_json=as_json)


@attach_app.command("add-bar")
@reporting
def add_bar(
    symbol: Symbol,
    interval: Annotated[str, typer.Argument(help="Interval, such as 1m.")],
    timestamp: Annotated[str, typer.Argument(help="Start of the bar, such as 2024-07-01T13:30:00Z.")],
    open: Annotated[float, typer.Argument()],
    high: Annotated[float, typer.Argument()],
    low: Annotated[float, typer.Argument()],
    close: Annotated[float, typer.Argument()],
    volume: Annotated[float, typer.Argument()],
    by: By = "scanner",
    session: Name = None,
    address: Address = "auto",
    as_json: AsJson = False,
) -> None:
    """Add one closed bar; an unknown symbol is provisioned."""
    bar = {"timestamp": timestamp, "open": open, "high": high, "low": low, "close": close, "volume": volume}
    with document(as_json), _attached(session, address) as attached:
        added = attached.add_adhoc_bar_detailed(symbol, interval, bar, by)
    _say(symbol, added, as_json=as_json)


@attach_app.command("add-indicator")
@reporting
def add_indicator(
    symbol: Symbol,
    indicator: Annotated[str, typer.Argument(help='Such as "RSI(14)@5m".')],
    by: By = "scanner",
    session: Name = None,
    address: Address = "auto",
    as_json: AsJson = False,
) -> None:
    """Compute one more indicator; an unknown symbol is provisioned."""
    with document(as_json), _attached(session, address) as attached:
        added = attached.add_adhoc_indicator_detailed(symbol, indicator, by)
    _say(symbol, added, as_json=as_json)


@attach_app.command("remove-symbol")
@reporting
def remove_symbol(
    symbol: Symbol, by: By = "strategy", session: Name = None, address: Address = "auto", as_json: AsJson = False
) -> None:
    """End one symbol and its process."""
    with document(as_json), _attached(session, address) as attached:
        removed = attached.remove_symbol(symbol, by)
    if as_json:
        print_json({"symbol": symbol, "removed": removed})
    else:
        stdout.print(f"{symbol}: {'removed' if removed else 'not in the session'}", highlight=False, markup=False)
    if not removed:
        raise typer.Exit(FAILED)


class _attached:  # noqa: N801  # reads as a verb where it is used
    """Attach for a while; leaves Ray at the end, and the session as it is."""

    def __init__(self, name: str | None, address: str) -> None:
        self._name, self._address = name, address

    def __enter__(self) -> AttachedSession:
        from barray.attached import attach

        return attach(self._name, self._address)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from barray.coordinator.runtime import leave_ray

        leave_ray()
        if isinstance(error, KeyboardInterrupt):
            fail("interrupted; the session goes on")
            raise typer.Exit(INTERRUPTED)


def _say(symbol: str, result: AddResult, *, as_json: bool) -> None:
    if as_json:
        conflicts = [str(conflict) for conflict in result.conflicts]
        answer = {"symbol": symbol, "accepted": result.accepted, "reason": result.reason, "conflicts": conflicts}
        print_json(answer)
    else:
        _print_answer(symbol, result)
    if not result.accepted:
        raise typer.Exit(FAILED)


def _print_answer(symbol: str, result: AddResult) -> None:
    for conflict in result.conflicts:
        stdout.print(f"{symbol}: {conflict}", highlight=False, markup=False)
    said = "done" if result.accepted else "refused"
    reason = (
        f" ({result.reason})" if result.accepted and result.reason else f": {result.reason}" if result.reason else ""
    )
    stdout.print(f"{symbol}: {said}{reason}", highlight=False, markup=False)
