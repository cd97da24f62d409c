"""The file that holds the token of a Schwab login, in schwab-py's own form, private to its owner."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from barray.data_sources.atomic_file import replacing
from barray.market.errors import ConfigError

KEY_NAME, SECRET_NAME = "SCHWAB_API_KEY", "SCHWAB_APP_SECRET"
CHECK_KEYS = f"check {KEY_NAME}, {SECRET_NAME}, and at developer.schwab.com that the app is ready for use"
CALLBACK_URL = "https://127.0.0.1:8182"
_FORM = re.compile(r"[!-~]+")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SECRETS = ("access_token", "refresh_token", "id_token")


@dataclass(frozen=True)
class Token:
    """A login's token. `held`: Schwab's answer, with `expires_at`. `login_s`: when that was, seconds since 1970."""

    held: Mapping[str, Any] = field(repr=False)
    login_s: float

    def __post_init__(self) -> None:
        for name in ("access_token", "refresh_token"):
            value = self.held[name]
            if not (isinstance(value, str) and _FORM.fullmatch(value)):
                raise ValueError(f"its {name} is none")

    @property
    def access(self) -> str:
        """The access token, which every request shows; good for half an hour."""
        return str(self.held["access_token"])

    @property
    def refresh(self) -> str:
        """The refresh token, which gets a new one; good for seven days from the login."""
        return str(self.held["refresh_token"])

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything in it that nobody may see."""
        return tuple(str(self.held[name]) for name in _SECRETS if self.held.get(name))

    def is_fresh(self, now_s: float) -> bool:
        """Whether it is good at `now_s`, as far as it says itself."""
        expires = self.held.get("expires_at")
        return not isinstance(expires, int | float) or now_s < expires

    def renewed(self, answer: Mapping[str, Any], now_s: float) -> Token:
        """The token with what the server gave for the refresh token; ValueError, KeyError, TypeError if it is none."""
        held = {"refresh_token": self.refresh, **answer}
        if (lasts_s := answer.get("expires_in")) is not None:
            held["expires_at"] = int(now_s + float(lasts_s))
        return Token(held, self.login_s)


@dataclass(frozen=True)
class TokenFile:
    """The file of a login's token. All methods raise ConfigError, which shows nothing of what is in the file."""

    path: Path

    @property
    def how_to_log_in(self) -> str:
        """What makes a new one, to be run by a person with a browser."""
        return f"log in at Schwab again: barray login schwab --token {shlex.quote(str(self.path))}"

    def read(self) -> Token:
        """The token in it; ConfigError where there is none that only its owner can read."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise ConfigError(
                        f"{self.path} can be read by others than its owner",
                        remedy=f"chmod 600 {shlex.quote(str(self.path))}",
                        code="open_credentials",
                    )
                whole = orjson.loads(file.read())
            return Token(whole["token"], float(whole["creation_timestamp"]))
        except OSError as error:
            raise self._error(f"cannot read {self.path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise self._error(f"{self.path} holds no token of Schwab") from None

    def write(self, token: Token) -> None:
        """Put a new token in the place of the old one, readable by its owner alone."""
        text = orjson.dumps({"creation_timestamp": int(token.login_s), "token": dict(token.held)})
        with replacing(self.path) as temporary:
            temporary.unlink(missing_ok=True)
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one thread of all processes that use this file in at a time; ConfigError if its folder isn't writable."""
        path = self.path.with_name(f".{self.path.name}.lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot write {path}: {error.strerror}",
                remedy="keep the token in a folder that can be written to: it is renewed every half hour",
                code="cannot_write",
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _error(self, reason: str) -> ConfigError:
        return ConfigError(reason, remedy=self.how_to_log_in, code="no_credentials")


def check_installed() -> None:
    """ConfigError where schwab-py is not there."""
    if find_spec("schwab") is None:
        raise ConfigError(
            "schwab-py is not installed",
            source="schwab",
            remedy="pip install 'barray[schwab]'",
            code="not_installed",
        )


def schwab_py(module: str) -> Any:
    """A module of schwab-py, loaded without authlib's warning: of an httpx that schwab-py takes anyway."""
    with warnings.catch_warnings(record=True):
        return import_module(f"schwab.{module}")
