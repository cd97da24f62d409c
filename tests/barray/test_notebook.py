"""A notebook in a real kernel: a strategy in a cell, a backtest of it, and what the notebook shows."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from barray.local import warm_ray
from tests.sessions import family, wait_until
from tests.shared_data import REPO

pytestmark = pytest.mark.ray
EXAMPLE = REPO / "examples/strategies/sma_cross.py"
CONFIG = """
import barray
config = {{
    "session": {{"start": "2024-06-26", "end": "2024-07-03"}},
    "symbols": ["AAPL", "MSFT"],
    "sources": [{{"root": {root!r}}}],
    "ray": {{"num_cpus": 2}},
}}
"""


class Notebook:
    """Cells run one after another in one kernel."""

    def __init__(self, folder: Path) -> None:
        self._client = NotebookClient(
            new_notebook(), kernel_name="python3", timeout=120, resources={"metadata": {"path": str(folder)}}
        )

    def run(self, source: str) -> list[dict[str, object]]:
        """The cell's outputs; CellExecutionError where it raised."""
        cells = self._client.nb.cells
        cells.append(new_code_cell(source))
        outputs: list[dict[str, object]] = self._client.execute_cell(cells[-1], len(cells) - 1).outputs
        return outputs

    def printed(self, source: str) -> str:
        """What a cell printed."""
        return "".join(str(one["text"]) for one in self.run(source) if one["output_type"] == "stream").strip()


@pytest.fixture(scope="module")
def warm() -> Iterator[None]:
    """A Ray that is up already, for what has no need of its own."""
    warm_ray.up(2)
    yield
    assert warm_ray.down()


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    one = Notebook(tmp_path)
    with one._client.setup_kernel():
        yield one


def _interrupt_once(path: Path, kernel: int) -> None:
    """Do as the stop button does, as soon as there is a file."""
    wait_until(path.exists)
    os.kill(kernel, signal.SIGINT)


def html(output: dict[str, object]) -> str | None:
    data = output.get("data")
    return str(data["text/html"]) if isinstance(data, dict) and "text/html" in data else None


def test_an_interrupt_leaves_no_process(notebook: Notebook, universe: Path, tmp_path: Path) -> None:
    assert warm_ray.find() is None, "it looks at the processes of a Ray of its own"
    started = tmp_path / "started"
    notebook.run(CONFIG.format(root=str(universe)))
    notebook.run(
        "import pathlib\n"
        "class Endless(barray.Strategy):\n"
        "    def on_bar(self, ctx):\n"
        f"        pathlib.Path({str(started)!r}).touch()\n"
        "        while True:\n"
        "            pass"
    )
    kernel = int(notebook.printed("import os; print(os.getpid())"))
    stop = threading.Thread(target=_interrupt_once, args=(started, kernel))
    stop.start()
    with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
        notebook.run("barray.backtest(Endless, config)")
    stop.join()
    wait_until(lambda: not family(kernel))


def test_a_strategy_of_a_cell_runs_as_the_same_text_in_a_file_does(
    warm: None, notebook: Notebook, universe: Path
) -> None:
    notebook.run(CONFIG.format(root=str(universe)))
    notebook.run(EXAMPLE.read_text())
    outputs = notebook.run("result = barray.backtest(SmaCross, config, parameters={'fast': 5})\nresult")
    progress = [output for output in outputs if output["output_type"] == "display_data"]
    assert [html(output) for output in progress] == [""]  # it was there, and is gone
    shown = next(html(output) for output in outputs if output["output_type"] == "execute_result")
    assert shown is not None
    assert "SmaCross, 2 symbols, 2024-06-26 to 2024-07-03" in shown
    path = f"barray.backtest({str(EXAMPLE)!r}, config, parameters={{'fast': 5}})"
    assert notebook.printed(f"print({path}.trades.equals(result.trades), len(result.trades) > 0)") == "True True"
    table = notebook.run("result.trades.head()")
    assert "entry_price" in str(html(table[-1]))


def test_helpers_in_other_cells_travel_and_are_read_at_the_call(warm: None, notebook: Notebook, universe: Path) -> None:
    notebook.run(CONFIG.format(root=str(universe)))
    notebook.run("LOTS = 3\ndef lots():\n    return LOTS")
    notebook.run(
        "class Once(barray.Strategy):\n"
        "    def on_bar(self, ctx):\n"
        "        if not ctx.position and not ctx.orders:\n"
        "            ctx.buy(lots())"
    )
    fills = "print(sorted(set(barray.backtest(Once, config).fills.quantity)))"
    assert notebook.printed(fills) == "[3.0]"
    notebook.run("LOTS = 7")
    assert notebook.printed(fills) == "[7.0]"
