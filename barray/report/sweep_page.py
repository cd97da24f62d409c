"""A sweep as one HTML file that opens anywhere, offline, with its table beside it."""

from __future__ import annotations

from pathlib import Path

from barray.data_sources.atomic_file import clear_leftovers, made
from barray.data_sources.object_store.publish import Place, published
from barray.export.sweep import write_sweep_csv
from barray.report.document import document, write_document
from barray.report.markup import join
from barray.report.sections import sweep
from barray.trading.sweeps.result import SweepResult


def write_sweep(result: SweepResult, directory: str | Path) -> list[Place]:
    """`NAME-sweep.csv`, a row a set, best first, and `NAME-sweep.html`; their paths.

    The same result gives the same bytes. `directory` is made if it is not there, and may be in an object store, see
    `published`; ConfigError where it can't be written.
    """

    def write(folder: Path) -> list[Path]:
        clear_leftovers(made(folder))
        table = write_sweep_csv(result, folder / f"{result.name}-sweep.csv")
        return [table, write_document(folder / f"{result.name}-sweep.html", render_sweep(result))]

    return published(directory, f"{result.name}-sweep", write)


def render_sweep(result: SweepResult) -> bytes:
    """The page, UTF-8."""
    body = join((sweep.headline(result), sweep.heat_maps(result), sweep.sets(result), sweep.logs(result)))
    return document(f"{result.name} · sweep", body)
