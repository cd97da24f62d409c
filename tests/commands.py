"""Commands run in this process."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer.testing
from typer.testing import CliRunner, Result

from barray.cli.app import app

# Made once: typer's runner would make all commands anew for every call, 30 ms.
typer.testing._get_command = cache(typer.main.get_command)  # type: ignore[attr-defined]


def run_command(*arguments: object, **options: Any) -> Result:
    """What `barray ARGUMENTS` prints and ends with; `options`: those of typer's runner."""
    return CliRunner().invoke(app, [str(one) for one in arguments], **options)
