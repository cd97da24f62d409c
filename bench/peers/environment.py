"""A virtual environment for each tool that we measure ourselves against, made at first use and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_DATA = ("pandas==3.1.1", "pyarrow==26.0.1")
REQUIREMENTS = {
    "backtesting": ("backtesting==0.6.6", *_DATA),
    "vectorbt": ("vectorbt==1.2.0", "numba==0.68.1", *_DATA),
    "zipline": ("zipline-reloaded==3.2.1", "pyarrow==26.0.1"),
    "backtrader": ("backtrader==1.9.78.123", *_DATA),
    "pybroker": ("lib-pybroker==2.0.2", "pyarrow==26.0.1"),
    "bt": ("bt==1.4.1", *_DATA),
    "vectorbt_rust": ("vectorbt[rust]==1.2.0", "numba==0.68.1", *_DATA),
}
"""By peer. Tried on Python 3.11. vectorbt compiles with numba in each process; with its extra `rust` it needs not."""
_INSTALL_S = 900.0


def environment_of(peer: str) -> Path:
    """Where a peer's environment is or would be: another Python or other versions, another folder."""
    asked = "\n".join((sys.version, *REQUIREMENTS[peer]))
    return _cache() / f"{peer}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def python_of(peer: str) -> Path | None:
    """The interpreter that has the peer, installed now if it isn't yet; None, with a word to stderr, if it can't be."""
    folder = environment_of(peer)
    python, done = folder / "bin/python", folder / ".installed"
    if done.exists():
        return python
    print(f"bench: installing {peer} into {folder}, this once …", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # left by an attempt that was cut off
    for command in _commands(folder, python, REQUIREMENTS[peer]):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            print(f"bench: {peer} can't be installed, so it is left out: {said}", file=sys.stderr, flush=True)
            return None
    done.touch()
    return python


def _commands(folder: Path, python: Path, requirements: tuple[str, ...]) -> list[list[str]]:
    if uv := shutil.which("uv"):
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(python), *requirements],
        ]
    return [
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
    ]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "barray-bench"
