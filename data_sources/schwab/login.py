"""The login at Schwab that a person makes in a browser, every seven days; the token goes into a private file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.vendor import AccessDenied
from barray.data_sources.schwab.token import CALLBACK_URL, Token, TokenFile, check_installed, schwab_py
from barray.market.errors import shorten


def log_in(keys: KeyPair, token_file: Path, callback_url: str = CALLBACK_URL) -> None:
    """Say on the terminal which page to open, and ask for the address where it ends.

    `callback_url` is the app's. Raises AccessDenied where no token comes of it, ConfigError where it can't be kept.
    """
    check_installed()
    auth = schwab_py("auth")
    from authlib.common.errors import AuthlibBaseError
    from httpx import HTTPError

    file = TokenFile(token_file)

    def keep(whole: Mapping[str, Any], *_: object, **__: object) -> None:
        with file.turn():
            file.write(Token(whole["token"], float(whole["creation_timestamp"])))

    try:
        with file.turn():
            pass  # a folder that can't be written to is known before the person sets to work
        auth.client_from_manual_flow(keys.key, keys.secret, callback_url, str(token_file), token_write_func=keep)
    except (AuthlibBaseError, HTTPError, EOFError, ValueError, KeyError) as error:
        reason = shorten(keys.hidden(str(error)), 200) or "no address was given"
        raise AccessDenied(
            f"Schwab gave no token: {type(error).__name__}: {reason}",
            source="schwab",
            remedy="paste the whole address at once: it is good for half a minute; and check that the app has this "
            f"callback URL: {callback_url}",
        ) from None
