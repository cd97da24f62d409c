"""Keys of vendors' accounts: read from the environment or a private file, and never shown."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from barray.data_sources.environment import WITH_TAKEN
from barray.market.errors import ConfigError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class KeyPair:
    """A key id and its secret. Neither stands in its `repr`, nor in anything that `hidden` went over."""

    key: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def id(self) -> str:
        """Another for every pair; the pair cannot be found from it."""
        return sha256(f"{self.key}\n{self.secret}".encode()).hexdigest()[:16]

    def hidden(self, text: str) -> str:
        """The text with both replaced by `***`: what a server sends back may repeat them."""
        for part in (self.secret, self.key):
            text = text.replace(part, "***")
        return text


def key_pair(
    key_name: str, secret_name: str, *, file: Path | None = None, environment: Mapping[str, str] = WITH_TAKEN
) -> KeyPair:
    """The pair that the environment holds under these names, or else `file`, in lines such as `NAME=value`.

    ConfigError where one is missing, or where others than the owner may read the file; it names no value.
    """
    found = {name: environment.get(name, "").strip() for name in (key_name, secret_name)}
    if not all(found.values()) and file is not None:
        held = _read(file)
        found = {name: found[name] or held.get(name, "") for name in found}
    if missing := [name for name, value in found.items() if not value]:
        raise ConfigError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            remedy="set them in the environment" + (f", or in {file} with mode 0600" if file else ""),
            code="no_credentials",
        )
    return KeyPair(found[key_name], found[secret_name])


def _read(file: Path) -> dict[str, str]:
    try:
        if file.stat().st_mode & _OTHERS:
            raise ConfigError(
                f"{file} can be read by others than its owner", remedy=f"chmod 600 {file}", code="open_credentials"
            )
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"cannot read {file}: {reason}", remedy="correct the path", code="no_credentials") from None
    pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line and line[:1] != "#")
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}
