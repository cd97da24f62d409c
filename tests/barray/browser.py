"""A real browser, headless: what a page is once its scripts have run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPTIONS = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
)  # fmt: skip


def browser() -> str:
    """Its path; the test is skipped where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on PATH: apt-get install chromium")
    return found


def opened(page: Path, width: int = 1400, dark: bool = False) -> tuple[str, list[str]]:
    """The DOM after the scripts, as HTML, and the addresses that the page asked for.

    No name is resolved, so that nothing leaves the machine. What the browser asks for by itself has no origin.
    """
    log = page.with_suffix(".netlog.json")
    command = [
        browser(), *_OPTIONS, f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},2000",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=5000",
        f"--log-net-log={log}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=90, check=True)
    events = json.loads(log.read_text())["events"]
    asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
    return done.stdout.decode(), [
        one["url"] for one in asked if one["initiator"] != "not an origin" and one["url"] != page.as_uri()
    ]
