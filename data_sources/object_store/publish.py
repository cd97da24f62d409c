"""Files that belong together, put into an object store so that what is half written is never taken for whole.

s3://bucket/out/session-2024-07-02.json           each object is there whole or not at all
s3://bucket/out/session-2024-07-02.manifest.json  put last: names, sizes and digests of the others
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from barray.data_sources.object_store.store import ObjectStore, is_object_uri
from barray.market.errors import BarrayError, ConfigError, DataError

MANIFEST = ".manifest.json"
_VERSION = 1
Place = Path | str
"""Where a file is: a path, or an object's URI."""


def below(directory: str, name: str) -> Place:
    """A folder in a directory, which may be in an object store."""
    if not is_object_uri(directory):
        return Path(directory) / name
    uri, mark, options = directory.partition("?")
    return f"{uri.rstrip('/')}/{name}{mark}{options}"


def published(directory: str | Path, name: str, write: Callable[[Path], Sequence[Path]]) -> list[Place]:
    """What `write` writes into the folder that it is given: `directory` itself, or, where that is in an object store,
    one whose files are then put there, and last their manifest, `NAME.manifest.json`.

    ConfigError, and whatever `write` raises; where an object can't be put, the files stay, and the error says where.
    """
    if not is_object_uri(directory):
        return list(write(Path(directory)))
    store = ObjectStore(str(directory))
    folder = Path(tempfile.mkdtemp(prefix="barray-"))
    try:
        written = write(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        _put(store, folder, name)
    except BarrayError as error:
        raise ConfigError(
            f"cannot write {error.reason}",
            remedy=f"{error.remedy}; the files are in {folder} meanwhile",
            code="cannot_write",
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    return [store.at(path.relative_to(folder).as_posix()) for path in written]


def _put(store: ObjectStore, folder: Path, name: str) -> None:
    """Put all files below a folder; until its manifest is there again, an earlier result of that name is not whole."""
    manifest = f"{name}{MANIFEST}"
    held: dict[str, dict[str, object]] = {}
    store.remove(manifest)
    for path in sorted(found for found in folder.rglob("*") if found.is_file()):
        content = path.read_bytes()
        key = path.relative_to(folder).as_posix()
        store.write(key, content)
        held[key] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    store.write(manifest, orjson.dumps({"version": _VERSION, "files": held}, option=orjson.OPT_INDENT_2))


@contextmanager
def fetched(place: str | Path) -> Iterator[Path]:
    """A local path of what is published at `place`, an object or what lies below it; a path of this machine as it is.

    DataError where no manifest beside it says that it is whole, or its content is another; NoDataError and
    SourceUnavailable where it can't be read.
    """
    if not is_object_uri(place):
        yield Path(place)
        return
    uri, _, options = str(place).partition("?")
    parent, _, name = uri.rstrip("/").rpartition("/")
    store = ObjectStore(f"{parent}?{options}" if options else parent)
    with tempfile.TemporaryDirectory(prefix="barray-") as folder:
        for key, told in _of(store, name).items():
            content = store.read(key)
            if hashlib.sha256(content).hexdigest() != told["sha256"]:
                raise _not_whole(store, name, f"{store.at(key)} is not what was written")
            path = Path(folder) / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield Path(folder) / name


def _of(store: ObjectStore, name: str) -> dict[str, dict[str, str]]:
    """The entries for `name`, or what lies below it, of the manifest that has any."""
    manifests = [
        found for found, is_directory in store.names("").items() if found.endswith(MANIFEST) and not is_directory
    ]
    for manifest in sorted(manifests):
        try:
            files = orjson.loads(store.read(manifest))["files"]
            found = {key: told for key, told in files.items() if key == name or key.startswith(f"{name}/")}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _not_whole(store, name, f"{store.at(manifest)} is no manifest") from error
        if found and all(".." not in key.split("/") for key in found):
            return found
    raise _not_whole(store, name, f"no manifest beside {store.at(name)} names it")


def _not_whole(store: ObjectStore, name: str, reason: str) -> DataError:
    return DataError(
        reason, source=store.shown, remedy=f"write {name} again: it may be half written", code="bad_manifest"
    )
