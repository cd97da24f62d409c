"""`barray login …`: logins that a person has to make in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from barray.cli.console import reporting, stdout

login_app = typer.Typer(help="Log in at a vendor, in a browser.", no_args_is_help=True)


@login_app.command()
@reporting
def schwab(
    token: Annotated[Path, typer.Option(help="Where the token is kept, for you alone.")],
    callback_url: Annotated[str, typer.Option(help="The callback URL of your app.")] = "https://127.0.0.1:8182",
    credentials: Annotated[
        Path | None, typer.Option(help="A private file of SCHWAB_API_KEY and SCHWAB_APP_SECRET, if not set.")
    ] = None,
) -> None:
    """Log in at Schwab, which is due every seven days. Key and secret of the app: from the environment, or a file."""
    from barray.data_sources.fetching.credentials import key_pair
    from barray.data_sources.schwab.login import log_in
    from barray.data_sources.schwab.token import KEY_NAME, SECRET_NAME

    log_in(key_pair(KEY_NAME, SECRET_NAME, file=credentials), token, callback_url)
    stdout.print(f"the token is in {token}", highlight=False)
