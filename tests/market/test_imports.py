"""What the pure core leaves out: every symbol's process pays for what it imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.shared_data import REPO

HEAVY = ["ray", "pandas", "polars", "pyarrow", "exchange_calendars", "pydantic", "alpaca"]


@pytest.mark.long
@pytest.mark.parametrize(
    "module",
    ["barray.market.symbol_session", "barray.market.validation", "barray.market.requirements", "barray.market.clock"],
)
def test_the_core_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
