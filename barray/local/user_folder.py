"""The user's own folder for notes about what runs on this machine. Imports next to nothing."""

from __future__ import annotations

from pathlib import Path

from barray.actors.forking.private_folder import user_folder
from barray.market.errors import ConfigError


def notes_folder() -> Path:
    """The user's own folder for such notes, nobody else's to read or write; ConfigError where it is not safe."""
    try:
        return Path(user_folder())
    except OSError as error:
        raise ConfigError(
            f"no safe place for notes about what runs here: {error}",
            remedy="remove it, or have XDG_RUNTIME_DIR name a folder of your own",
        ) from error
