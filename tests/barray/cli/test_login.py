"""`barray login`: what goes wrong is said in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import run_command

KEY, SECRET = "canary-key-1c9", "canary-secret-7e4"


@pytest.mark.long
def test_the_command_takes_the_keys_from_the_environment_and_fails_in_plain_words(tmp_path: Path) -> None:
    command = ["login", "schwab", "--token", str(tmp_path / "token.json")]
    keys = {"SCHWAB_API_KEY": KEY, "SCHWAB_APP_SECRET": SECRET}
    unset = run_command(*command, env=dict.fromkeys(keys))
    assert unset.exit_code == 2
    assert "SCHWAB_API_KEY and SCHWAB_APP_SECRET are not set" in unset.output
    found = run_command(*command, input="https://127.0.0.1:8182/?code=x&state=y\n", env=keys)
    assert found.exit_code == 1
    assert "no token: MismatchingStateException" in " ".join(found.output.split())
    assert SECRET not in found.output
