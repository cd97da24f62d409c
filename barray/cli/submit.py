"""`barray submit`: a command as a job of a cluster; and what that job runs there."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import FAILED, INTERRUPTED, reporting, stderr, stdout
from barray.cli.options import AsJson, place

if TYPE_CHECKING:
    from barray.coordinator.config.model import SessionConfig
    from barray.data_sources.object_store.publish import Place

COMMANDS = ("run", "backtest", "sweep", "scan")


@reporting
def submit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; what it names lies on the cluster.")],
    command: Annotated[str, typer.Option(help="What to do with it: run, backtest, sweep or scan.")] = "",
    address: Annotated[
        str | None, typer.Option(help="The cluster's dashboard, http://HEAD:8265; default: RAY_API_SERVER_ADDRESS.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Put what comes back here instead.")] = None,
    checkpoint: Annotated[
        Any,
        typer.Option(
            "--checkpoint",
            parser=place,
            metavar="DIR",
            help="Write down there what is done, and go on from it: a folder that the cluster sees, or s3://….",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for its end, and show its output.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run a config on a cluster, as a job that goes on without this machine.

    Config and strategy travel, with the modules beside it; bars, stores and files of credentials are the cluster's.
    What the command writes comes back, unless it is to go to s3://. Exit code: the command's own.

    Ctrl-C asks whether the job is to be stopped; without a terminal it goes on. A job that died is gone for Ray: with
    --checkpoint the same command again begins another, which goes on with what is done.
    """
    from barray.coordinator.config.file import read_config
    from barray.coordinator.jobs import Jobs
    from barray.local.job_folder import fill, results_in, unpack

    settings = read_config(config)
    chosen = _chosen(command, settings)
    kept = _kept(checkpoint, chosen, settings)
    jobs = Jobs(address)
    with tempfile.TemporaryDirectory(prefix="barray-job-") as name:
        fill(Path(name), settings, results_in(kept))
        options = [*(["--json"] if as_json else []), *(["--checkpoint", kept] if kept else [])]
        entrypoint = shlex.join(["python", "-m", "barray", "job", chosen, *options])
        job = jobs.submit(entrypoint, Path(name), {"barray": chosen, "config": settings.name})
    stderr.print(f"job {job}: {chosen} {config}", highlight=False, markup=False)
    if not follow:
        return
    try:
        end = jobs.follow(job, _Shown())
    except KeyboardInterrupt:
        _ask_to_stop(jobs, job, address)
        raise typer.Exit(INTERRUPTED) from None
    section = settings.export if chosen == "run" else settings.report
    for path in unpack(jobs.log(job), out or Path(section.directory)):
        stderr.print(f"  wrote {path}", highlight=False, markup=False)
    code = end.exit_code
    if end.status != "SUCCEEDED" and (code is None or code > INTERRUPTED):
        again = "; the same barray submit again goes on with what is done" if kept else ""
        stderr.print(f"error: the job {end.status.lower()}: {end.message}{again}", highlight=False, markup=False)
    raise typer.Exit(code if code is not None else int(end.status != "SUCCEEDED"))


def _kept(checkpoint: Place | None, command: str, settings: SessionConfig) -> str | None:
    """Where the job keeps its checkpoint, as the cluster finds it; ConfigError where its results would be lost."""
    from barray.data_sources.object_store.store import is_object_uri
    from barray.market.errors import ConfigError

    if checkpoint is None:
        return None
    if not is_object_uri(checkpoint):
        return str(Path(checkpoint).absolute())
    if command == "run" and not is_object_uri(settings.export.directory):
        raise ConfigError(
            "a day's files lie in the job's own folder, which is lost with it, and the checkpoint has none of them",
            remedy="have export.directory be in s3:// too, or the checkpoint in a folder that the nodes share",
        )
    return str(checkpoint)


def _chosen(command: str, settings: Any) -> str:
    """The command that is meant; ConfigError for what is none."""
    from barray.market.errors import ConfigError

    default = "sweep" if settings.sweep else "backtest" if settings.strategy else "run"
    if command and command not in COMMANDS:
        raise ConfigError(f"{command!r} is no command of a job", remedy=f"choose from {', '.join(COMMANDS)}")
    return command or default


class _Shown:
    """Prints a job's output as it comes, but for what comes back as files."""

    def __init__(self) -> None:
        self._begun = ""

    def __call__(self, piece: str) -> None:
        from barray.local.job_folder import is_packed

        *whole, self._begun = (self._begun + piece).split("\n")
        for line in whole:
            if not is_packed(line):
                print(line, flush=True)


def _ask_to_stop(jobs: Any, job: str, address: str | None) -> None:
    where = f" --address {address}" if address else ""
    if sys.stdin.isatty() and typer.confirm(f"\nStop job {job}?", default=False, err=True):
        jobs.stop(job)
        stderr.print(f"job {job} is stopped", highlight=False)
        return
    stderr.print(f"job {job} goes on; ray job logs --follow{where} {job}, ray job stop{where} {job}", highlight=False)


def job(
    context: typer.Context,
    command: Annotated[str, typer.Argument(help="run, backtest, sweep or scan")],
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="See submit.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a submitted job runs, in the folder that came with it."""
    from barray.local.job_folder import CONFIG, packed, results_in

    if command not in COMMANDS:
        raise typer.Exit(FAILED)
    options = [*(["--json"] if as_json else []), *(["--checkpoint", checkpoint] if checkpoint else [])]
    words = [command, CONFIG, "--address", "auto", "--quiet", *options]
    code = 0
    try:
        context.find_root().command.main(words, prog_name="barray")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    stdout.file.flush()
    results = Path(results_in(checkpoint))
    for line in packed(results) if results.is_dir() else ():
        print(line)
    raise typer.Exit(code)
