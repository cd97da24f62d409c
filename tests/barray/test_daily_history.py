"""Daily bars for history beside minutes, as a user has them: sessions, upgrades, backtests and sweeps on real Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import barray
from barray.market.symbol_data import SymbolSessionData
from tests.daily_trees import STRATEGY, WINDOWS, Trees, write_trees

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_here")]
WANTED = {"intervals": ["1m", "5m", "1d"], "indicators": ["SMA(12)@1d", "EMA(4)@1d", "EMA(2)@1w", "SMA(20)@5m"]}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    return write_trees(tmp_path_factory.mktemp("trees"), "AAPL", "MSFT", "NVDA")


def day_of(config: dict[str, Any], folder: Path) -> tuple[dict[str, SymbolSessionData], Path]:
    """A session to its close: two symbols from the config, one upgraded from adhoc at 11:00; and its dump."""
    with barray.Session(config) as session:
        session.begin("2024-07-02")
        session.advance_to("10:30")
        session.add_adhoc_indicator("NVDA", "SMA(3)@1d")
        session.advance_to("11:00")
        assert session.add_symbol("NVDA")
        session.advance_to()
        session.end()
        session.record(folder / "recorded")
        paths = session.export(directory=folder, formats=["json", "csv", "parquet"])
        found = {name: session.snapshot(name) for name in ("AAPL", "MSFT", "NVDA")}
    assert [barray.validate_session_dump(path) for path in paths] == [[], [], []]
    return found, next(path for path in paths if path.suffix == ".json")


@pytest.mark.long
def test_a_session_with_an_upgrade_knows_what_it_would_with_minutes_throughout(trees: Trees, tmp_path: Path) -> None:
    split, path = day_of(trees.config(daily=True, **WANTED), tmp_path / "split")
    whole, _ = day_of(trees.config(daily=False, **WANTED), tmp_path / "whole")
    for symbol, data in split.items():
        assert data.history_quality["1m"].expected == 390
        for name in ("1d", "1w"):
            assert data.bars[name].bars.equals(whole[symbol].bars[name].bars), (symbol, name)
        for key, one in data.indicators.items():
            if not one.spec.interval.is_intraday:
                assert np.array_equal(one.values["real"], whole[symbol].indicators[key].values["real"], equal_nan=True)
        assert not np.isnan(data.indicators["SMA(12)@1d"].values["real"][-1])
    assert split["NVDA"].upgraded_from_adhoc
    sources = [{"name": "days", "root": str(tmp_path / "split/recorded")}]
    again, _ = day_of(trees.config(daily=True, **WANTED) | {"sources": sources}, tmp_path / "again")
    for symbol, data in again.items():
        for name, series in data.bars.items():
            assert series.bars.equals(split[symbol].bars[name].bars), (symbol, name)
    summary = barray.read_dump(path).summary
    assert summary is not None
    assert summary.step0["AAPL"].daily_source == "days"
    assert summary.requirements.daily == "days"


@pytest.mark.long
def test_backtests_and_sweeps_trade_as_with_minutes_throughout(trees: Trees, tmp_path: Path) -> None:
    (tmp_path / "trend.py").write_text(STRATEGY)
    results, anew, sweeps = [], [], []
    for daily in (True, False):
        config = trees.config(
            daily=daily,
            strategy={"path": str(tmp_path / "trend.py")},
            sweep={"parameters": {"days": [4, 8, 12]}, "metric": "pnl"},
            report={"directory": str(tmp_path / f"report-{daily}")},
        )
        results.append(barray.backtest(config))
        anew.append(barray.backtest(config | {"account": {"carry": False}}).symbols["AAPL"].session_pnl.tolist())
        sweeps.append(barray.sweep(config))
    mine, theirs = results
    assert len(mine.tables.trades) > 4
    for symbol, part in mine.symbols.items():
        other = theirs.symbols[symbol]
        assert np.array_equal(part.fills.price, other.fills.price)
        assert np.array_equal(part.equity, other.equity)
        assert part.daily is not None
        assert part.daily.source == "days"
        assert mine.step0[symbol].daily_source == "days"
    assert anew[0] == anew[1]
    pnl = [{str(row.parameters): row.pnl for row in one.rows} for one in sweeps]
    assert pnl[0] == pnl[1]


@pytest.mark.long
@pytest.mark.parametrize(("code", "symbols"), [(STRATEGY, ["AAPL", "MSFT"]), (WINDOWS, ["AAPL"])])
def test_portfolios_trade_as_with_minutes_throughout(
    trees: Trees, tmp_path: Path, code: str, symbols: list[str]
) -> None:
    """One account, of strategies of a symbol each, and of one over all that adds MSFT for a session."""
    (tmp_path / "strategy.py").write_text(code)
    results = []
    for daily in (True, False):
        history = {"trailing_days": 1, "daily_days": 12} if daily else {"trailing_days": 12}
        window = {"window": "30m"} if code == WINDOWS else {}
        strategy = {"path": str(tmp_path / "strategy.py"), **window}
        account = {"shared": True, "capital": 5000}
        results.append(
            barray.backtest(
                trees.config(daily=daily, symbols=symbols, history=history, strategy=strategy, account=account)
            )
        )
    mine, theirs = results
    assert (mine.error, theirs.error) == (None, None)
    assert sorted(mine.symbols) == ["AAPL", "MSFT"]
    for symbol, part in mine.symbols.items():
        other = theirs.symbols[symbol]
        assert len(part.fills) > 0
        assert np.array_equal(part.fills.price, other.fills.price)
        assert np.array_equal(part.equity, other.equity)
        assert part.sessions == other.sessions
        assert part.daily is not None
        assert (part.daily.source, str(part.daily.interval)) == ("days", "1d")
        assert part.daily.bars > 8
        assert other.daily is None
    assert [line.text for line in mine.logs.lines] == [line.text for line in theirs.logs.lines]
