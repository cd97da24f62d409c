"""One word for each thing: names that were given up do not come back (see docs/glossary.md)."""

from __future__ import annotations

import re
import subprocess
import tokenize
from pathlib import Path

import pytest

from tests.docs.fences import ROOT

RETIRED = {
    "stretch": "session range",
    "desk": "portfolio engine",
    "ticket": "order",
    "admission": "approval",
    "source gateway": "gateway",
    "live feed": "stream",
    "mend": "remedy",
}
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def tracked() -> list[str]:
    found = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in found.stdout.split() if (ROOT / name).is_file()]


def words_of(name: str) -> str:
    """The words of an identifier: `LiveFeed` and `live_feed` are `live feed`."""
    return " ".join(_PARTS.findall(name)).lower()


def retired_in(identifier: str) -> str | None:
    words = f" {words_of(identifier)} "
    return next((word for word in RETIRED if f" {word} " in words or f" {word}es " in words), None)


def identifiers(path: Path) -> set[str]:
    with path.open("rb") as file:
        return {token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.NAME}


@pytest.mark.parametrize("name", ["SourceGateway", "live_feed", "validate_stretch", "LoadStretches", "mend", "_Desk"])
def test_a_retired_word_is_found_in_a_name(name: str) -> None:
    assert retired_in(name)


@pytest.mark.parametrize("name", ["recommend", "desktop", "source", "live", "feed", "amended"])
def test_other_names_are_let_be(name: str) -> None:
    assert retired_in(name) is None


@pytest.mark.long
def test_no_identifier_says_a_retired_word() -> None:
    found = {
        f"{path}: {name}": f"say {RETIRED[word]}"
        for path in tracked()
        for name in identifiers(ROOT / path)
        if (word := retired_in(name))
    }
    assert found == {}


def test_no_file_is_named_by_a_retired_word() -> None:
    assert [path for path in tracked() if retired_in(Path(path).stem)] == []
