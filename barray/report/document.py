"""A report's HTML file around its sections: styles, script, and a policy by which no request ever leaves the page."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from barray.data_sources.atomic_file import replacing
from barray.report.markup import Html, text

_HERE = Path(__file__).parent
NO_CHARTS = b'{"equity":null,"candles":[]}'
"""What the script reads where there is nothing for it to draw."""


def document(title: object, body: Html, data: bytes = NO_CHARTS) -> bytes:
    """The file, UTF-8. `data`: JSON that the script draws; it must be safe inside a script element, see `in_script`."""
    script = (_HERE / "page.js").read_text("utf-8")
    styles = (_HERE / "page.css").read_text("utf-8")
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{styles}</style>\n</head>\n"
    )
    before = f'{head}<body>\n<main>\n{body}</main>\n<script id="data" type="application/json">'
    after = f"</script>\n<script>{script}</script>\n</body>\n</html>\n"
    return _utf8(before) + data + _utf8(after)


def write_document(path: Path, page: bytes) -> Path:
    """Put the page at `path`, whole or not at all, and give the path; ConfigError where it cannot be written."""
    with replacing(path) as temporary:
        temporary.write_bytes(page)
    return path


def _policy(script: str) -> Html:
    """Nothing is fetched, and no script runs but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Html(f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'")


def _utf8(page: str) -> bytes:
    return page.encode("utf-8", "replace")  # what a vendor sends may hold half a surrogate pair
