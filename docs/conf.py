"""Settings of the documentation site: Sphinx, Markdown by MyST, the Furo theme. `make docs` builds it, strictly.

Nothing of a built page comes from elsewhere: no font, script or style; tests/docs looks for that.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs.generate.cli import cli_reference
from docs.generate.config import config_reference
from docs.generate.docstrings import to_rst
from docs.generate.dump import dump_reference
from docs.generate.errors import errors_reference, order_codes, reason_codes

project = "barray"
release = version = version_of("barray")
copyright = "the authors of barray"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"barray {release}"
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
suppress_warnings = ["misc.highlighting_failure"]  # output of commands, with an ellipsis, is no code
default_role = "literal"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
toc_object_entries_show_parents = "hide"
autodoc_class_signature = "mixed"

GENERATED = {
    "cli": cli_reference,
    "config": config_reference,
    "dump": dump_reference,
    "errors": errors_reference,
    "reason_codes": reason_codes,
    "order_codes": order_codes,
}


def write_generated(_: Any, page: str, source: list[str]) -> None:
    """Put what is generated where a page says `<!-- generated: NAME -->`; KeyError for an unknown name."""
    source[0] = re.sub(r"<!-- generated: (\w+) -->", lambda found: GENERATED[found[1]](), source[0])


def as_rst(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings as autodoc wants them."""
    lines[:] = to_rst(lines)


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("source-read", write_generated)
    app.connect("autodoc-process-docstring", as_rst)
