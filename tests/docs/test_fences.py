"""Every block of code in README and docs is run, or says why it is not; every configuration in them is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from barray.coordinator.config.file import read_config
from tests.docs.fences import PAGES, ROOT, RUN, SHOWN, Fence, fences

ALL = [fence for page in PAGES for fence in fences(page)]
LEAST = {
    "session": {"start": "2024-07-01"},
    "symbols": ["AAPL"],
    "intervals": ["1m"],
    "sources": [{"root": "bars"}],
}


@pytest.mark.parametrize("fence", ALL, ids=lambda fence: fence.where)
def test_a_block_says_what_it_is(fence: Fence) -> None:
    assert fence.language in RUN + SHOWN or fence.language.startswith("{"), "name its language"
    assert not fence.indented, "begin the fence at its line's start, so that it is found"
    if fence.not_run is not None:
        assert len(fence.not_run.split()) > 2, "say why it is not run"


def test_few_blocks_are_not_run() -> None:
    left_out = {fence.where: fence.not_run for fence in ALL if fence.not_run is not None}
    run = [fence for fence in ALL if fence.is_run]
    assert len(run) > 3 * len(left_out), left_out


@pytest.mark.parametrize("fence", [f for f in ALL if f.language == "yaml" and f.is_run], ids=lambda fence: fence.where)
def test_a_configuration_can_be_read(fence: Fence, tmp_path: Path) -> None:
    """A part of one is read with the least of the rest."""
    written = yaml.safe_load(fence.text)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(written if fence.file else {**LEAST, **written}))
    read_config(path)


def test_every_page_is_in_the_tree_of_the_site() -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = {
        str(Path(fence.page.parent, line.strip()).relative_to(ROOT / "docs"))
        for page in PAGES
        for fence in fences(page)
        if fence.language == "{toctree}"
        for line in fence.text.splitlines()
        if line.strip() and not line.startswith(":")
    }
    assert pages - named == {"index"}
