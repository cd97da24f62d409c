"""What a strategy remembers is whatever Python it keeps, which only a pickle can hold; and a pickle is code. So it is
written with a code of authentication, by a key that only this user has, and none is loaded that lacks it.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from barray.data_sources.atomic_file import draft_name, writing
from barray.market.errors import ConfigError, DataError

NAMED = "BARRAY_CHECKPOINT_KEY"
"""The variable that names the key's file, where it is not the usual one."""
_KEY_BYTES = _CODE_BYTES = 32
_MADE = "by whoever held another key, or not as it was"


def key_path() -> Path:
    """Where the user's key lies."""
    if named := os.environ.get(NAMED):
        return Path(named)
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(settings) / "barray" / "checkpoint.key"


class Seal:
    """Seals what belongs to one checkpoint. The key is made when it is first needed, and read from then on.

    ConfigError (`open_credentials`, `no_credentials`) where it is not this user's alone, or can't be read.
    """

    def __init__(self, checkpoint: str) -> None:
        self._checkpoint = checkpoint
        self._key: bytes | None = None

    def seal(self, name: str, content: bytes) -> bytes:
        """The content, sealed under a name that nothing else of the checkpoint has."""
        return self._code(name, content, make=True) + content

    def opened(self, name: str, sealed: bytes) -> bytes:
        """What was sealed under a name; DataError (`checkpoint_damaged`) where it was not, by this key."""
        code, content = sealed[:_CODE_BYTES], sealed[_CODE_BYTES:]
        if not hmac.compare_digest(code, self._code(name, content, make=False)):
            raise DataError(
                f"{name}: what the strategy remembered was written {_MADE}, and is not loaded",
                remedy=f"resume with the key that the run began with ({key_path()}; {NAMED} names another), "
                "or begin anew in another folder",
                code="checkpoint_damaged",
            )
        return content

    def _code(self, name: str, content: bytes, *, make: bool) -> bytes:
        if self._key is None:
            self._key = _key(key_path(), make=make)
        code = hmac.new(self._key, f"barray checkpoint\n{self._checkpoint}\n{name}\n".encode(), "sha256")
        code.update(content)
        return code.digest()


def _key(path: Path, *, make: bool) -> bytes:
    if make and not path.exists():
        _make(path)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigError(
            f"the key of checkpoints, {path}: {error.strerror}",
            remedy=f"copy it from where the run began, mode 0600, or name it by {NAMED}",
            code="no_credentials",
        ) from error
    try:
        status = os.fstat(file)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise ConfigError(
                f"the key of checkpoints, {path}, is not yours alone: who reads it can have you run code",
                remedy=f"chmod 600 {path}, if it was never anybody else's",
                code="open_credentials",
            )
        key = os.read(file, 4096)
    finally:
        os.close(file)
    if len(key) < _KEY_BYTES:
        raise ConfigError(
            f"the key of checkpoints, {path}, is too short", remedy="remove it, and begin anew", code="no_credentials"
        )
    return key


def _make(path: Path) -> None:
    """A new key, unless somebody else makes it meanwhile."""
    draft = path.with_name(draft_name(path.name))
    with writing(path, f"name another file by {NAMED}"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, secrets.token_bytes(_KEY_BYTES))
            os.fsync(file)
        finally:
            os.close(file)
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
