"""How the command line talks: errors in a line, exit codes scripts can trust, tables, progress."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from barray.cli.shortage import shortage
from barray.local.progress import Told
from barray.market.errors import BarrayError, ConfigError, shorten

if TYPE_CHECKING:
    from barray.coordinator.config.model import SessionConfig

P = ParamSpec("P")
FAILED, BAD_USAGE, DEGRADED, STOPPED, INTERRUPTED, TERMINATED = 1, 2, 3, 4, 130, 143
_ASK_AGAIN_S = 0.05
stdout = Console(soft_wrap=True)
stderr = Console(stderr=True, soft_wrap=True)


def reporting(command: Callable[P, None]) -> Callable[P, None]:
    """End a command that raises with the reason in plain words and an exit code: 1 failed, 2 bad usage or config.

    A traceback is shown only where BARRAY_DEBUG is set.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _noticing_interrupt() as signals:
                command(*args, **kwargs)
        except typer.Exit:
            raise
        except BaseException as error:
            _end(error, signals)

    return run


@contextmanager
def without_drop_warnings() -> Iterator[None]:
    """While a table lists the symbols that were dropped, the log need not."""
    logger = logging.getLogger("barray.dropped")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def stdout_kept(wanted: bool) -> Iterator[None]:
    """Keep standard output for a document that is printed afterwards: what is printed within goes to standard error.

    Ray prints what its raylets report, such as a worker's death, from a thread of this process.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def document(wanted: bool) -> Iterator[None]:
    """`stdout_kept`; and where the block fails, the document that is printed says why: `{"error": …}`."""
    try:
        with stdout_kept(wanted):
            yield
    except BarrayError as error:
        if wanted:
            print_json({"error": str(error)})
        raise


@contextmanager
def _noticing_interrupt() -> Iterator[list[int]]:
    """A list that is no longer empty once Ctrl-C was pressed, or SIGTERM came: of what it stops may come another error.

    An import is let finish first, lest it leave a module half made and locked; so is what holds logging's lock, which
    Python does around every fork. And an interrupt that Python had to
    ignore, in a destructor or a callback from C, is raised again until something handles it.
    """
    pressed: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        if number == signal.SIGALRM and _handled(sys.exc_info()[1]):
            return
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, _ASK_AGAIN_S)
        if not _holds_a_lock(frame):
            raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as a shell has it for `barray run … &`
    if ignored or threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield pressed
    finally:
        for number, was in before.items():
            signal.signal(number, was)
        if pressed:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _handled(error: BaseException | None) -> bool:
    """Whether an interrupt is among what is being handled just now."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _holds_a_lock(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in ("<frozen importlib._bootstrap>", logging.__file__):
            return True
        frame = frame.f_back
    return False


def _end(error: BaseException, signals: Sequence[int]) -> NoReturn:
    """Say why a command ends, and end it with the right exit code. `signals`: those that asked for its end."""
    if signals or isinstance(error, KeyboardInterrupt):
        is_terminated = signal.SIGTERM in signals
        how = "terminated" if is_terminated else "interrupted"
        fail("\n".join((f"{how}; everything was ended", *_notes(error))))
        raise typer.Exit(TERMINATED if is_terminated else INTERRUPTED) from None
    if isinstance(error, BarrayError):
        fail("\n".join((str(error), *_notes(error))))
        raise typer.Exit(BAD_USAGE if isinstance(error, ConfigError) else FAILED) from None
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is to be said to nobody
        raise typer.Exit(FAILED) from None
    if os.environ.get("BARRAY_DEBUG") or not isinstance(error, Exception):
        raise error
    if short := shortage(error):
        fail(short)
        raise typer.Exit(BAD_USAGE) from None
    reason = (str(error).strip().splitlines() or [""])[-1]
    fail(f"{type(error).__name__}: {reason} (set BARRAY_DEBUG=1 to see where)")
    raise typer.Exit(FAILED) from None


def _notes(error: BaseException | None) -> list[str]:
    """What was noted about an error, and about those that it came of, such as an interrupt."""
    notes: list[str] = []
    while error is not None:
        notes = [*getattr(error, "__notes__", ()), *notes]
        error = error.__context__
    return notes


def leave(status: int) -> NoReturn:
    """End this process as `sys.exit` does, but for taking every module apart: 0.2 s with those of Ray and pyarrow.

    Interrupted, it does not wait for threads either, and Ray's library, cut off in the middle of its start, may crash
    if it is taken apart.
    """
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if status in (INTERRUPTED, TERMINATED) or all(thread.daemon for thread in others):
        atexit._run_exitfuncs()
        with suppress(OSError):  # nobody reads on
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    sys.exit(status)


def fail(message: str) -> None:
    """Print an error to standard error."""
    stderr.print(f"[bold red]error:[/] {escape(message)}", highlight=False)


def end_degraded(lost: Sequence[str], *, allowed: bool) -> None:
    """Say that a run lost symbols because the machine failed, where it did, and end it with an exit code of its own."""
    if lost:
        stderr.print(f"[bold yellow]degraded:[/] {escape(loss(lost))}", highlight=False)
        if not allowed:
            raise typer.Exit(DEGRADED)


def loss(lost: Sequence[str]) -> str:
    """What a degraded run lost, in a sentence."""
    named = shorten(", ".join(lost), 200)
    return f"the machine failed, and lost {len(lost)} symbol{'s' if len(lost) > 1 else ''}: {named}"


def note(message: str) -> None:
    """Print a remark to standard error, away from what a program may read."""
    stderr.print(escape(message), highlight=False)


def note_unused(command: str, config: SessionConfig) -> list[str]:
    """Say which of the config's sections the command makes no use of, and give them."""
    from barray.coordinator.config.unused import unused_by, unused_sentence

    sections = unused_by(command, config)
    if sections:
        note(f"note: {unused_sentence(command, sections)}")
    return list(sections)


def print_json(value: Any) -> None:
    """Print JSON for machines, one document."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; whatever is in it is text, never markup."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for name in columns:
        table.add_column(name, overflow="fold", justify="right" if name.endswith(("#", "%")) else "left")
    for row in rows:
        table.add_row(*(escape(str(shorten(str(cell), 400) if cell != "" else "")) for cell in row))
    stdout.print(table)


@contextmanager
def session_progress(*, quiet: bool) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A callback for Session(progress=…) that shows the phase: a bar on a terminal, a line a phase elsewhere."""
    if quiet or not stderr.is_terminal:
        shown: list[tuple[object, object]] = []

        def line(status: Mapping[str, Any]) -> None:
            now = (status["session_date"], status["phase"])
            if not quiet and (not shown or shown[-1] != now):
                shown.append(now)
                note(f"{now[0] or ''} {now[1]}".strip())

        yield line
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[detail]}"))
    with Progress(*columns, TimeElapsedColumn(), console=stderr, transient=True) as progress:
        task = progress.add_task("starting", total=None, detail="")

        def update(status: Mapping[str, Any]) -> None:
            told = Told.of(status)
            progress.update(
                task, description=told.description, completed=told.done, total=told.total, detail=told.detail
            )

        yield update
