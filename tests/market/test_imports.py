"""What the pure core leaves out, and a run: every symbol's process pays for what it imports."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.source import ParquetSource
from tests.barray.dump_builder import build
from tests.conftest import GOOD, LAST
from tests.market.builders import context_for, require
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


@pytest.mark.long
def test_checks_and_reports_that_start_no_ray_never_load_it() -> None:
    assert (
        printed("import sys, barray.check, barray.analysis, barray.report.files; print('ray' in sys.modules)")
        == "False"
    )


@pytest.mark.long
def test_step_0_over_parquet_imports_no_masked_arrays(universe: Path, tmp_path: Path) -> None:
    """Each process that takes part would, for 20 ms: `numpy.unique` does."""
    manager = DataManager([ParquetSource(str(universe))])
    needs = require("1m", trailing_days=2)
    work = (GOOD[:2], manager, needs, context_for(needs, LAST), 30.0)
    (tmp_path / "work").write_bytes(pickle.dumps(work))
    code = (
        "import pickle, sys, pathlib\n"
        "from barray.actors.validation import validate_chunk\n"
        f"found = validate_chunk(*pickle.loads(pathlib.Path({str(tmp_path / 'work')!r}).read_bytes()))\n"
        "print([one.can_proceed for one in found.values()], 'numpy.ma' in sys.modules)"
    )
    assert printed(code) == "[True, True] False"


@pytest.mark.long
def test_results_and_their_report_import_no_masked_arrays() -> None:
    """Nor would the process that makes results, nor the command."""
    code = (
        "import sys, numpy\n"
        "from tests.barray.result_builder import random_backtest\n"
        "from barray.report.page import render_report\n"
        "from barray.trading.results.trades import match_fifo\n"
        "match_fifo(numpy.array([5.0, 3.0, -6.0, 1.0]))\n"
        "print(len(render_report(random_backtest(3, 5, 2), {})) > 1_000, 'numpy.ma' in sys.modules)"
    )
    assert printed(code) == "True False"


@pytest.mark.long
def test_a_session_that_ends_as_json_imports_none_of_arrows_functions(tmp_path: Path) -> None:
    """They take 30 ms, and only tables need them."""
    (tmp_path / "built").write_bytes(pickle.dumps(build()))
    code = (
        "import pickle, sys, pathlib\n"
        "from barray.report.session_files import write_exports\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "built = pickle.loads((folder / 'built').read_bytes())\n"
        "write_exports(folder, 'x', ['json'], built.summary, lambda: built.symbols)\n"
        "print('pyarrow.compute' in sys.modules, len(list(folder.glob('*.json'))))"
    )
    assert printed(code) == "False 1"


def printed(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    return done.stdout.strip()
