"""Keys come from the environment or a private file, and are never shown."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from barray.data_sources.fetching.credentials import KeyPair, key_pair
from barray.market.errors import ConfigError

NAMES = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
CANARY = "canary-5f2b"


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_environment_comes_first(tmp_path: Path) -> None:
    file = private(tmp_path / "keys", "APCA_API_KEY_ID=b\nAPCA_API_SECRET_KEY=b\n")
    environment = dict.fromkeys(NAMES, "a")
    assert key_pair(*NAMES, file=file, environment=environment) == KeyPair("a", "a")
    assert key_pair(*NAMES, file=file, environment={}) == KeyPair("b", "b")


@pytest.mark.parametrize(
    "text",
    [
        "APCA_API_KEY_ID=k\nAPCA_API_SECRET_KEY=s=/+\n",
        "# mine\nexport APCA_API_KEY_ID='k'\n\nexport APCA_API_SECRET_KEY = \"s=/+\"\nOTHER=1\n",
    ],
)
def test_a_file_is_read_as_a_shell_would_write_it(tmp_path: Path, text: str) -> None:
    assert key_pair(*NAMES, file=private(tmp_path / "keys", text), environment={}) == KeyPair("k", "s=/+")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = private(tmp_path / "keys", f"APCA_API_KEY_ID={CANARY}\nAPCA_API_SECRET_KEY={CANARY}\n", mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        key_pair(*NAMES, file=file, environment={})
    assert CANARY not in str(caught.value)


def test_what_is_missing_is_named_and_what_is_there_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="APCA_API_SECRET_KEY is not set") as caught:
        key_pair(*NAMES, environment={"APCA_API_KEY_ID": CANARY})
    assert CANARY not in str(caught.value)
    with pytest.raises(ConfigError, match="APCA_API_KEY_ID and APCA_API_SECRET_KEY are not set"):
        key_pair(*NAMES, file=private(tmp_path / "keys", ""), environment={})
    with pytest.raises(ConfigError, match="cannot read"):
        key_pair(*NAMES, file=tmp_path / "none", environment={})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(ConfigError, match="it is not text"):
        key_pair(*NAMES, file=tmp_path / "binary", environment={})


def test_a_pair_is_never_shown() -> None:
    pair = KeyPair(f"id-{CANARY}", f"secret-{CANARY}")
    assert CANARY not in f"{pair} {pair!r}"
    assert pair.hidden(f"401 for id-{CANARY}, secret-{CANARY}") == "401 for ***, ***"
    assert pickle.loads(pickle.dumps(pair)) == pair
