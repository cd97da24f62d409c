"""A folder of files, local or on whatever pyarrow reaches: its file system, and what lies in its directories."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import fs

from barray.data_sources.object_store.shards import node_cache
from barray.data_sources.object_store.store import ObjectStore, is_object_uri
from barray.data_sources.parquet.counted import counted
from barray.market.errors import DataError, NoDataError, SourceUnavailable

_REMOTE = ("AWS", "google::cloud", "GCS", "Azure", "HDFS", "curl", "timed out", "onnection")
"""What the reasons of remote file systems say; like those of a corrupt file they carry no errno."""


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


@contextmanager
def translated(path: str, source: str, kind: str = "Parquet") -> Iterator[None]:
    """Turn what pyarrow and the file system raise into our errors, naming the file.

    SourceUnavailable without permission or reach, NoDataError where there is no file, DataError for what is no Parquet,
    or of another `kind`.
    """
    try:
        yield
    except PermissionError as error:
        raise SourceUnavailable(
            f"no permission to read {path}", source=source, remedy="allow this user to read it", code="no_permission"
        ) from error
    except FileNotFoundError as error:
        raise NoDataError(f"{path} does not exist", source=source, remedy="add the file") from error
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:  # a corrupt footer can raise any of these
        reason = str(error).strip().partition("\n")[0][:200]
        if isinstance(error, OSError) and (error.errno or any(mark in reason for mark in _REMOTE)):
            raise SourceUnavailable(
                f"{path} cannot be read: {reason}", source=source, remedy="see whether its storage can be reached"
            ) from error
        raise DataError(
            f"{path} is no readable {kind} file: {reason}",
            source=source,
            remedy="write it again",
            code="unreadable_file",
        ) from error


class State(NamedTuple):
    """A file as it stands: its path below the root, its bytes, and when it was last written (UTC ns)."""

    path: str
    size: int
    written_ns: int


@dataclass(frozen=True)
class Tree:
    """What lies below `root`, a local path or a URI. `source` names it in errors."""

    root: str
    source: str

    @cached_property
    def place(self) -> tuple[fs.FileSystem, str]:
        """The file system, and the root's path in it; SourceUnavailable where there is none."""
        if self._objects:
            self._objects.require()
            return self._objects.filesystem, self._objects.base
        if "://" in self.root:
            try:
                filesystem, base = fs.FileSystem.from_uri(self.root)
            except (pa.ArrowException, ValueError) as error:
                raise SourceUnavailable(
                    f"{self.root} is no usable URI: {error}", source=self.source, remedy="correct the source's root"
                ) from error
        else:
            filesystem, base = fs.LocalFileSystem(), os.path.abspath(self.root)
        with translated(self.root, self.source):
            kind = filesystem.get_file_info(base).type
        is_local = isinstance(filesystem, fs.LocalFileSystem)
        if kind == fs.FileType.Directory or (kind == fs.FileType.NotFound and not is_local):
            return filesystem, base.rstrip("/")  # object stores have no directories to find
        what = "does not exist" if kind == fs.FileType.NotFound else "is a file, not a folder"
        raise SourceUnavailable(f"{self.root} {what}", source=self.source, remedy="correct the source's root")

    def names(self, directory: str) -> dict[str, bool]:
        """Names in a directory, each with whether it is one itself; none where there is no such directory."""
        filesystem, base = self.place
        if self._objects:
            return counted(self._objects, directory, self._objects.names(directory))
        path = f"{base}/{directory}".rstrip("/")
        if isinstance(filesystem, fs.LocalFileSystem):  # five times faster than a FileSelector
            try:
                with translated(path, self.source), os.scandir(path) as found:
                    return {entry.name: entry.is_dir() for entry in found}
            except (NoDataError, SourceUnavailable) as error:
                if isinstance(error, NoDataError) or isinstance(error.__cause__, NotADirectoryError):
                    return {}
                raise
        with translated(path, self.source):
            listed = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return {entry.base_name: entry.type == fs.FileType.Directory for entry in listed}

    def stated(self, paths: Sequence[str]) -> list[State]:
        """How files stand, those that are there; SourceUnavailable where that can't be told."""
        filesystem, base = self.place
        if isinstance(filesystem, fs.LocalFileSystem):
            found = ((path, _stat(f"{base}/{path}")) for path in paths)
            return [State(path, one.st_size, one.st_mtime_ns) for path, one in found if one is not None]
        folders = dict.fromkeys(path.rpartition("/")[0] for path in paths)
        known = {state.path: state for folder in folders for state in self._listed(folder)}
        return [known[path] for path in paths if path in known]

    def _listed(self, folder: str) -> list[State]:
        filesystem, base = self.place
        selector = fs.FileSelector(f"{base}/{folder}".rstrip("/"), allow_not_found=True)
        with translated(folder, self.source):
            listed = (
                self._objects.patiently(lambda: filesystem.get_file_info(selector), folder)
                if self._objects
                else filesystem.get_file_info(selector)
            )
        return [State(one.path.removeprefix(f"{base}/"), one.size or 0, one.mtime_ns or 0) for one in listed]

    def readable(self, path: str) -> tuple[fs.FileSystem, str]:
        """Where to read a file: its file system, and its path in it. An object is copied to this node, if it can be.

        NoDataError where an object is not there, SourceUnavailable where it can't be reached.
        """
        filesystem, base = self.place
        if self._objects is None or (cache := node_cache()) is None:
            return filesystem, f"{base}/{path}"
        known = self._copies.get(path)
        if path not in self._copies or (known is not None and not known.exists()):
            known = self._copies[path] = cache.copy(self._objects, path)
        return (fs.LocalFileSystem(), str(known)) if known else (filesystem, f"{base}/{path}")

    @property
    def is_remote(self) -> bool:
        """Whether an object store holds it: a failure to reach one file is a failure to reach any."""
        return is_object_uri(self.root)

    @cached_property
    def _objects(self) -> ObjectStore | None:
        return ObjectStore(self.root, self.source) if self.is_remote else None

    @cached_property
    def _copies(self) -> dict[str, Path | None]:
        return {}
