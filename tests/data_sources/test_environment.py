"""Credentials leave a process's environment, as it sees it itself and as /proc shows it to others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "canary-7d1e"
GIVEN = {
    **{"APCA_API_KEY_ID": f"{CANARY}-key", "APCA_API_SECRET_KEY": f"{CANARY}-secret"},
    **{"SCHWAB_API_KEY": f"{CANARY}=/+ \N{EURO SIGN}", "SCHWAB_APP_SECRET": CANARY, "NOT_APCA_ONE": "stays"},
}
NAMES = "'APCA_API_KEY_ID', 'APCA_API_SECRET_KEY'"
SHOWN = """
import os, subprocess, sys
from pathlib import Path
from barray.data_sources.fetching.credentials import KeyPair, key_pair
from barray.data_sources.environment import take_credentials, without_credentials

def shown():
    child = subprocess.run(["env"], capture_output=True, check=True).stdout
    return child + repr(dict(os.environ)).encode() + Path("/proc/self/environ").read_bytes()

"""


def run(code: str, environment: dict[str, str] = GIVEN) -> None:
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", SHOWN + code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_taken_is_in_no_environment_and_still_found() -> None:
    run(f"""
assert b"{CANARY}" in shown()
take_credentials()
assert b"{CANARY}" not in shown()
assert b"NOT_APCA_ONE=stays" in shown()
assert key_pair({NAMES}) == KeyPair("{CANARY}-key", "{CANARY}-secret")
""")


def test_a_program_of_its_own_has_its_variables_back_and_proc_does_not_show_them() -> None:
    run(f"""
before = dict(os.environ)
with without_credentials():
    assert b"{CANARY}" not in shown()
    assert key_pair({NAMES}) == KeyPair("{CANARY}-key", "{CANARY}-secret")
assert dict(os.environ) == before
assert b"{CANARY}" not in Path("/proc/self/environ").read_bytes()
os.environ["APCA_API_KEY_ID"] = "another"
assert key_pair({NAMES}) == KeyPair("another", "{CANARY}-secret")
""")


def test_where_there_are_none_nothing_changes() -> None:
    run("before = shown(); take_credentials(); assert shown() == before", {})


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows it")
def test_a_title_written_over_the_variables_as_ray_does_is_let_be() -> None:
    run(f"""
from ray import _raylet
_raylet.setproctitle("APCA_" + "x" * 5000)
title = Path("/proc/self/cmdline").read_bytes()
take_credentials()
assert Path("/proc/self/cmdline").read_bytes() == title
assert b"{CANARY}" not in shown()
""")


def test_keys_of_storage_are_taken_and_given_to_what_is_started_with_them_alone() -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    keys = {name: f"{CANARY}-{name}" for name in names}
    run(
        f"""
from barray.data_sources.environment import storage_keys
assert storage_keys() == {{}}
take_credentials()
assert b"{CANARY}" not in shown()
assert storage_keys() == {keys!r}
with without_credentials():
    assert {{name: os.environ[name] for name in {names!r}}} == {keys!r}
    assert "APCA_API_KEY_ID" not in os.environ
assert b"{CANARY}" not in shown()
""",
        {**GIVEN, **keys},
    )


def test_a_program_keeps_its_keys_of_storage_while_it_starts_others() -> None:
    run(
        f"""
before = dict(os.environ)
with without_credentials():
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "{CANARY}"
assert dict(os.environ) == before
""",
        {"AWS_SECRET_ACCESS_KEY": CANARY},
    )
