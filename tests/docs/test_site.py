"""The site as `make docs` builds it: strictly, and from nothing but what lies in it."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from tests.docs.fences import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("sphinx", "myst_parser", "furo")),
        reason="the extra `docs` is not installed: make docs",
    ),
]
_FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / ".doctrees")]
    done = subprocess.run([*command, "docs", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Page(HTMLParser):
    """What a page fetches, where its links lead, and which places it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if (address := values.get(_FETCHED.get(tag, ""))) is not None:
            self.fetched.append(address)
        if tag == "a" and (address := values.get("href")) is not None:
            self.links.append(address)
        if (place := values.get("id")) is not None:
            self.places.add(place)


def is_outside(address: str) -> bool:
    return re.match(r"([a-z]+:)?//", address) is not None


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for path in pages:
        assert not [address for address in Page(path).fetched if is_outside(address)], path


def test_no_style_fetches_anything_from_elsewhere(site: Path) -> None:
    styles = list(site.rglob("*.css"))
    assert styles
    for path in styles:
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text()), path


def test_every_link_inside_leads_to_a_page_and_a_place(site: Path) -> None:
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            address, place = urldefrag(link)
            if is_outside(link) or link.startswith(("mailto:", "data:")):
                continue
            target = (path.parent / unquote(address)).resolve() if address else path
            assert target.exists(), f"{path}: {link}"
            if place and target in pages:
                assert unquote(place) in pages[target].places, f"{path}: {link}"
