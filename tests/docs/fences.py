"""The fenced code blocks of README and docs, and what is to become of each.

A block is run, unless its fence says why not: ```` ```python not-run="the package is not installed here" ````. A block
whose first line is a comment that names a file (`# session.yaml`) is that file too, for the blocks after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
RUN = ("python", "console", "yaml")
SHOWN = ("text", "json")
_OPENING = re.compile(r"^(\s*)(`{3,})(.*)$")
_NOT_RUN = re.compile(r'\bnot-run="([^"]*)"')
_FILE = re.compile(r"^# ([\w./-]+\.(?:py|yaml))$")


@dataclass(frozen=True)
class Fence:
    """A block: its page, the line it begins in (1 is the page's first), language, what else its fence says, its text.

    `not_run`: why it isn't run; None where it is. `indented`: whether the fence does not begin its line.
    """

    page: Path
    line: int
    language: str
    info: str
    text: str
    indented: bool

    @property
    def not_run(self) -> str | None:
        found = _NOT_RUN.search(self.info)
        return found[1] if found else None

    @property
    def file(self) -> str | None:
        """The file that the block is, if it names one."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found[1] if found else None

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.not_run is None


def fences(page: Path) -> list[Fence]:
    """All blocks of a page, in order."""
    found: list[Fence] = []
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    for number, line in lines:
        opening = _OPENING.match(line)
        if opening is None:
            continue
        indent, ticks, info = opening.groups()
        inside: list[str] = []
        for _, inner in lines:
            if inner.strip() == ticks:
                break
            inside.append(inner)
        language = (info.split() or [""])[0]
        found.append(Fence(page, number, language, info, "\n".join(inside) + "\n", bool(indent)))
    return found
