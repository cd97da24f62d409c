"""`barray submit`: a command as a job of a cluster; and what that job runs there."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from barray.cli.console import FAILED, INTERRUPTED, reporting, stderr, stdout
from barray.cli.options import AsJson

COMMANDS = ("run", "backtest", "sweep", "scan")


@reporting
def submit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; what it names lies on the cluster.")],
    command: Annotated[str, typer.Option(help="What to do with it: run, backtest, sweep or scan.")] = "",
    address: Annotated[
        str | None, typer.Option(help="The cluster's dashboard, http://HEAD:8265; default: RAY_API_SERVER_ADDRESS.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Put what comes back here instead.")] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Wait for its end, and show its output.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run a config on a cluster, as a job that goes on without this machine.

    Config and strategy travel, with the modules beside it; bars, stores and files of credentials are the cluster's.
    What the command writes comes back, unless it is to go to s3://. Exit code: the command's own.

    Ctrl-C asks whether the job is to be stopped; without a terminal it goes on.
    """
    from barray.coordinator.config.file import read_config
    from barray.coordinator.jobs import Jobs
    from barray.local.job_folder import fill, unpack

    settings = read_config(config)
    chosen = _chosen(command, settings)
    jobs = Jobs(address)
    with tempfile.TemporaryDirectory(prefix="barray-job-") as name:
        fill(Path(name), settings)
        options = ["--json"] if as_json else []
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
    if end.exit_code is None and end.status != "SUCCEEDED":
        stderr.print(f"error: the job {end.status.lower()}: {end.message}", highlight=False, markup=False)
    raise typer.Exit(end.exit_code if end.exit_code is not None else int(end.status != "SUCCEEDED"))


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
    as_json: AsJson = False,
) -> None:
    """What a submitted job runs, in the folder that came with it."""
    from barray.local.job_folder import CONFIG, RESULTS, packed

    if command not in COMMANDS:
        raise typer.Exit(FAILED)
    words = [command, CONFIG, "--address", "auto", "--quiet", *(["--json"] if as_json else [])]
    code = 0
    try:
        context.find_root().command.main(words, prog_name="barray")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    stdout.file.flush()
    if Path(RESULTS).is_dir():
        for line in packed(Path(RESULTS)):
            print(line)
    raise typer.Exit(code)
