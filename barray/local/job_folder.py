"""What travels with a job, and what comes back.

There: a folder with `config.json`, the config with its local paths made absolute, and the strategy's file with the
modules beside it that it imports. Back: what the command wrote to its folder `results`, as a zip in the job's log.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.strategies import strategy_source
from barray.data_sources.object_store.store import is_object_uri
from barray.market.errors import DataError

CONFIG, RESULTS = "config.json", "results"
_MARK = "barray-result "
_MOST_BYTES = 64_000_000
_LINE = 57 * 64
"""Bytes a line of the log holds, before base64."""


def results_in(checkpoint: str | None) -> str:
    """Where a job puts what comes back. With a checkpoint in a folder it is there, so that what a job wrote that died
    comes back with the next.
    """
    return RESULTS if checkpoint is None or is_object_uri(checkpoint) else str(Path(checkpoint) / RESULTS)


def fill(folder: Path, config: SessionConfig, results: str = RESULTS) -> None:
    """Put what a job needs into an empty folder; `results`: see results_in. ConfigError where its strategy can't be
    read.
    """
    export, report = (
        section if is_object_uri(section.directory) else section.model_copy(update={"directory": results})
        for section in (config.export, config.report)
    )
    changed: dict[str, Any] = {
        "export": export,
        "report": report,
        "ray": config.ray.model_copy(update={"address": None}),
    }
    strategy = config.strategy
    if strategy is not None:
        source = strategy_source(strategy)
        for sibling in source.siblings:
            parts = sibling.name.split(".")
            path = folder.joinpath(*parts, "__init__.py") if sibling.is_package else folder.joinpath(*parts)
            path = path if sibling.is_package else path.with_name(f"{path.name}.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(sibling.text, "utf-8")
        if source.text is not None:
            name = Path(source.where).name
            (folder / name).write_text(source.text, "utf-8")
            changed["strategy"] = strategy.model_copy(update={"path": name})
    sent = config.model_copy(update=changed)
    told = sent.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
    told |= {name: {**told.get(name, {}), "directory": getattr(sent, name).directory} for name in ("export", "report")}
    (folder / "job").write_text(uuid4().hex)  # else two jobs of the same content would share a folder there
    (folder / CONFIG).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


def packed(folder: Path) -> Iterator[str]:
    """Lines for the log that hold all files below a folder; one that says why where they are too many."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder).as_posix())
    content = buffer.getvalue()
    if len(content) > _MOST_BYTES:
        yield (
            f"results of {len(content) / 1e6:.0f} MB don't come back through the log, but {_MOST_BYTES / 1e6:.0f} may: "
            "have export.directory or report.directory be in s3://, or a folder that you see too"
        )
        return
    for at in range(0, len(content), _LINE):
        yield _MARK + base64.b64encode(content[at : at + _LINE]).decode()
    yield f"{_MARK}: {hashlib.sha256(content).hexdigest()}"


def is_packed(line: str) -> bool:
    """Whether a line of the log is none to show."""
    return line.startswith(_MARK)


def unpack(log: str, folder: Path) -> list[Path]:
    """Write what came back into a folder; its paths, none where nothing came. DataError where it is another."""
    lines = [line.removeprefix(_MARK) for line in log.splitlines() if is_packed(line)]
    if not lines:
        return []
    *parts, last = lines
    try:
        content = b"".join(base64.b64decode(part, validate=True) for part in parts)
        if f": {hashlib.sha256(content).hexdigest()}" != last:
            raise ValueError("its digest is another")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
                raise ValueError("a name leads elsewhere")
            archive.extractall(folder)
    except (ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"what came back of the job is not what it sent: {error}", remedy="see its log: ray job logs"
        ) from error
    return [folder / name for name in names]
