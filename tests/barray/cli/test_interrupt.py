"""Ctrl-C and SIGTERM; Ctrl-C where Python would lose it or do harm with it, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import signal, sys, time
from barray.cli.console import reporting
import typer

class Noisy:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # Python ignores what a destructor raises

def destructor():
    Noisy()
    time.sleep(30)

def half_made_module():
    import interrupted_module
    assert interrupted_module.whole
    print("whole", flush=True)
    time.sleep(30)

def terminated():
    signal.raise_signal(signal.SIGTERM)
    time.sleep(30)

try:
    reporting({work})()
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


@pytest.mark.long
@pytest.mark.parametrize("work", ["destructor", "half_made_module"])
def test_an_interrupt_is_neither_lost_nor_leaves_a_module_half_made(tmp_path: Path, work: str) -> None:
    module = "import signal, time\nsignal.raise_signal(signal.SIGINT)\nwhole = True\n"
    (tmp_path / "interrupted_module.py").write_text(module)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + COMMAND.replace("{work}", work)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    assert done.stdout == ("whole\n" if work == "half_made_module" else "")


@pytest.mark.long
def test_sigterm_ends_a_command_in_a_line() -> None:
    code = COMMAND.replace("{work}", "terminated")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (143, "error: terminated; everything was ended\n")


@pytest.mark.long
def test_one_that_was_started_to_ignore_interrupts_goes_on() -> None:
    """As a shell starts `barray run … &` and `nohup` does."""
    work = "lambda: (signal.raise_signal(signal.SIGINT), signal.raise_signal(signal.SIGHUP))"
    ignoring = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    )
    code = ignoring + COMMAND.replace("{work}", work)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
