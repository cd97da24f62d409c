"""A sweep's results: one row a parameter set, over all symbols together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from barray.market.bars import FloatArray
from barray.trading.results.logs import MOST_LINES, NO_LOGS, Logs
from barray.trading.results.metrics import session_statistics
from barray.trading.sweeps.evaluate import SetTable
from barray.trading.sweeps.parameter_sets import ParameterSet, set_key
from barray.trading.sweeps.walk_forward import Window

_FIGURES = ("pnl", "gross_profit", "gross_loss", "commission", "slippage")


@dataclass(frozen=True, eq=False)
class SetRow:
    """One parameter set over all symbols. `session_pnl` float64 (n_sessions,); `error`: why it has no figures.

    `symbol_pnl`: profit by symbol. `data`: the symbols that it was made of, and the digest of each one's bars; only
    rows made of the same can be compared. Counts and sums are over all symbols; ratios are of the sums. `logs`: what
    was printed and logged, kept of few sets (see SetTable), and in no journal.
    """

    parameters: ParameterSet
    trades: int
    wins: int
    pnl: float
    gross_profit: float
    gross_loss: float
    commission: float
    slippage: float
    session_pnl: FloatArray
    symbol_pnl: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    logs: Logs = NO_LOGS

    @property
    def key(self) -> str:
        """What names the set, whatever the order of its parameters."""
        return set_key(self.parameters)

    def figures(self, capital: float, sessions: Sequence[int] | None = None) -> dict[str, Any]:
        """Everything of it that a table shows; None where undefined. `sessions`: positions of those that count."""
        pnl = self.session_pnl if sessions is None else self.session_pnl[list(sessions)]
        by_session = session_statistics(pnl, capital)
        whole = {
            "trades": self.trades,
            "win_rate_pct": 100.0 * self.wins / self.trades if self.trades else None,
            "profit_factor": self.gross_profit / self.gross_loss if self.gross_loss > 0 else None,
            "expectancy": (self.gross_profit - self.gross_loss) / self.trades if self.trades else None,
            "commission": self.commission,
            "slippage": self.slippage,
        }
        return {"pnl": float(pnl.sum()), **by_session, **(whole if sessions is None else {})}

    @classmethod
    def failed(cls, parameters: ParameterSet, error: str, sessions: int, data: Mapping[str, str], logs: Logs) -> SetRow:
        """The row of a set in error, over so many sessions."""
        nan = float("nan")
        none = np.full(sessions, np.nan)
        return cls(parameters, 0, 0, nan, nan, nan, nan, nan, none, error=error, data=data, logs=logs)

    def as_json(self) -> dict[str, Any]:
        """JSON types, with which `from_json` makes the same row again, but for its logs."""
        values = dict(self.__dict__)
        del values["logs"]
        values["session_pnl"] = self.session_pnl.tolist()
        values["symbol_pnl"] = dict(self.symbol_pnl)
        values["data"] = dict(self.data)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SetRow:
        """A row from `as_json`; KeyError or TypeError where it is none."""
        pnl = np.array(values["session_pnl"], np.float64)
        figures = {name: float("nan") for name in _FIGURES if values[name] is None}  # JSON has no NaN
        return cls(**{**values, **figures, "session_pnl": pnl})


def rows_of(tables: Iterable[SetTable], sessions: int) -> list[SetRow]:
    """Rows of the sets that all these tables (one a symbol) evaluated, in their order; sorted by symbol inside.

    A set that is in error on any symbol is in error, with the first symbol's traceback.
    """
    ordered = sorted(tables, key=lambda table: table.symbol)
    data = {table.symbol: table.data for table in ordered}
    rows = []
    for number, parameters in enumerate(ordered[0].sets if ordered else ()):
        logs = Logs.together(table.logs[number] for table in ordered).first(MOST_LINES)
        failed = next((f"{t.symbol}: {t.errors[number]}" for t in ordered if t.errors[number]), None)
        if failed is not None:
            rows.append(SetRow.failed(parameters, failed, sessions, data, logs))
            continue

        def total(name: str, row: int = number) -> float:
            return float(sum(getattr(table, name)[row] for table in ordered))

        rows.append(
            SetRow(
                parameters,
                trades=int(total("n_trades")),
                wins=int(total("wins")),
                pnl=total("pnl"),
                gross_profit=total("gross_profit"),
                gross_loss=total("gross_loss"),
                commission=total("commission"),
                slippage=total("slippage"),
                session_pnl=np.sum([table.session_pnl[number] for table in ordered], axis=0),
                symbol_pnl={table.symbol: float(table.pnl[number]) for table in ordered},
                data=data,
                logs=logs,
            )
        )
    return rows


def like_with_like(rows: Sequence[SetRow]) -> Mapping[str, str]:
    """What the rows that can be compared are made of: the most symbols, then the most rows; nothing without any."""
    counted = Counter(tuple(sorted(row.data.items())) for row in rows if row.error is None)
    best = max(counted.items(), key=lambda item: (len(item[0]), item[1]), default=((), 0))
    return dict(best[0])


def score(figures: Mapping[str, Any], metric: str) -> float:
    """A row's metric, -inf where it is undefined: more is better."""
    value = figures.get(metric)
    return float("-inf") if value is None or np.isnan(value) else float(value)


@dataclass(frozen=True, eq=False)
class WalkForwardStep:
    """One window: the set that was best in sample, its score there, and what it made out of sample."""

    window: Window
    parameters: ParameterSet
    in_sample: float
    out_of_sample_pnl: FloatArray


def walk(
    rows: Sequence[SetRow], windows: Sequence[Window], dates: Sequence[date], capital: float, metric: str
) -> list[WalkForwardStep]:
    """For every window the best set of its in-sample sessions, and that set's profits of the sessions after.

    Ties go to the set that comes first. Positions that a set carries into its out-of-sample sessions stay as they are:
    the set ran all the time. Metrics that need single trades (profit_factor, expectancy) are not known by session:
    `sharpe` then stands in.
    """
    position = {day: number for number, day in enumerate(dates)}
    by_session = metric if metric in ("pnl", "sharpe", "sortino", "close_calmar") else "sharpe"
    good = [row for row in rows if row.error is None]
    steps = []
    for window in windows if good else ():
        inside = [position[day] for day in window.in_sample]
        scores = [score(row.figures(capital, inside), by_session) for row in good]
        best = good[int(np.argmax(scores))]
        outside = best.session_pnl[[position[day] for day in window.out_of_sample]]
        steps.append(WalkForwardStep(window, best.parameters, max(scores), outside))
    return steps
