"""The user's own folder for notes about what runs on this machine. Imports next to nothing."""

from __future__ import annotations

from pathlib import Path

from barray.actors.forking.private_folder import user_folder
from barray.market.errors import ConfigError

OTHER = "have XDG_RUNTIME_DIR name another folder"


def notes_folder() -> Path:
    """The user's own folder for such notes, nobody else's to read or write; ConfigError where there is none so safe."""
    try:
        return Path(user_folder())
    except OSError as error:
        if error.filename:  # the system's error, and not that of a folder which is there and not safe
            from barray.data_sources.atomic_file import cannot_write

            raise cannot_write(Path(error.filename), error, OTHER) from error
        raise ConfigError(
            f"no safe place for notes about what runs here: {error}",
            remedy="remove it, or have XDG_RUNTIME_DIR name a folder of your own",
        ) from error
