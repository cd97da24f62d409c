"""The user's own folder for notes about what runs on this machine. Imports next to nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from barray.market.errors import ConfigError


def notes_folder() -> Path:
    """The user's own folder for such notes, nobody else's to read or write; ConfigError where it is not safe."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"barray-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or not folder.is_dir() or folder.is_symlink():
        raise ConfigError(f"{folder} is not this user's alone", remedy="remove it")
    return folder
