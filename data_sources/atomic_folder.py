"""Writing files that belong together so that they are there all or not at all."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from barray.data_sources.atomic_file import clear_leftovers, draft_name, made, writing

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of linux/fcntl.h and linux/fs.h


@contextmanager
def replacing_folder(folder: Path, owned: Collection[str]) -> Iterator[Path]:
    """An empty folder to write files to, by the names in `owned`: if the block ends well they take the place of all
    that `folder` holds by these names, by one rename where it holds nothing else; otherwise what stood there stays.

    `folder` is made if it is not there. In one that holds other things too, or can't be exchanged (it is where somebody
    stands, or where a disk is mounted), files are replaced one after another, once all are written. ConfigError where
    nothing can be written.
    """
    folder = folder.resolve()
    made(folder.parent)
    alone = _holds_only(folder, owned)
    draft = (folder.parent if alone else folder) / draft_name(folder.name)
    try:
        with writing(folder):
            clear_leftovers(draft.parent)
            draft.mkdir()
            yield draft
            if not (alone and _put_in_place(draft, folder)):
                _move_into(draft, made(folder), owned)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _holds_only(folder: Path, owned: Collection[str]) -> bool:
    """Whether a folder is there for these files alone, or not there yet."""
    if not folder.exists():
        return True
    elsewhere = not folder.is_mount() and folder != Path.cwd()
    return elsewhere and folder.is_dir() and {entry.name for entry in folder.iterdir()} <= set(owned)


def _put_in_place(draft: Path, folder: Path) -> bool:
    """Make `draft` the folder, and the folder, if there is one, the draft; False where this can't be done at once."""
    if not folder.exists():
        draft.rename(folder)
        return True
    shutil.copymode(folder, draft)
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(draft), _HERE, os.fsencode(folder), _EXCHANGE) == 0


def _move_into(draft: Path, folder: Path, owned: Collection[str]) -> None:
    new = {entry.name for entry in draft.iterdir()}
    for name in sorted(new):
        (draft / name).replace(folder / name)
    for name in set(owned) - new:
        (folder / name).unlink(missing_ok=True)
