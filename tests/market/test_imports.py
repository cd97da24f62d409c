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
    assert printed(code) == "[]"


@pytest.mark.long
def test_the_face_imports_nothing_before_it_is_used() -> None:
    heavy = (*HEAVY, "numpy")
    code = f"import sys, barray; print([n for n in sys.modules if n.startswith('barray.') or n in {heavy!r}])"
    assert printed(code) == "[]"


@pytest.mark.long
def test_a_symbols_process_never_imports_pandas() -> None:
    """Nor does who reads a table through Arrow."""
    code = (
        "import sys, barray.actors.symbol_actor, barray.actors.backtest_actor\n"
        "from tests.barray.result_builder import random_backtest\n"
        "random_backtest(1, 1, 2).tables.trades.to_arrow(); random_backtest(1, 1, 2)._repr_html_()\n"
        "print([name for name in ('pandas', 'IPython', 'polars') if name in sys.modules])"
    )
    assert printed(code) == "[]"


def printed(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    return done.stdout.strip()
