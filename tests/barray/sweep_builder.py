"""Sweep results as they come, with figures that can be reckoned by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from barray.trading.sweeps.result import SweepResult
from barray.trading.sweeps.table import SetRow

NAN = float("nan")


def tried(parameters: dict[str, Any], *session_pnl: float, trades: int = 10) -> SetRow:
    """A set that made this much in each session."""
    pnl = np.array(session_pnl, np.float64)
    won, lost = float(pnl[pnl > 0].sum()), float(-pnl[pnl < 0].sum())
    return SetRow(parameters, trades, trades // 2, float(pnl.sum()), won, lost, 1.0, 0.5, pnl)


def failed(parameters: dict[str, Any], error: str, sessions: int = 2) -> SetRow:
    """A set that raised."""
    return SetRow(parameters, 0, 0, NAN, NAN, NAN, NAN, NAN, np.full(sessions, NAN), error=error)


def swept(*rows: SetRow, name: str = "mine", metric: str = "pnl", strategy: str = "Mean") -> SweepResult:
    """A sweep over two sessions with a capital of 10,000."""
    return SweepResult(name, strategy, metric, 10_000.0, ("2024-07-01", "2024-07-02"), rows, {}, Path("journal"))
