"""Matrices of many symbols hold each one's own bars, where they belong, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import COLUMNS, Bars
from barray.market.interval import Interval
from barray.market.series import derive, lay_on_sessions
from barray.trading.strategy.data import SymbolData, prepare
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.panel import Panel, PanelBlock
from tests.examples import at_most
from tests.trading.sweep_data import weekdays

MINUTE, FIVE = Interval.parse("1m"), Interval.parse("5m")
SESSIONS = weekdays(3, 20)
NEEDS = Needs(MINUTE, (MINUTE, FIVE), {})


def symbol_data(name: str, seed: int, share: float, *, coarse: bool = False) -> SymbolData:
    """Bars of three sessions, of which a share is there; `coarse`: its own finest interval is 5m."""
    random = np.random.default_rng(seed)
    starts = np.concatenate(
        [np.arange(o, c, MINUTE.ns) for o, c in zip(SESSIONS.open_ns, SESSIONS.close_ns, strict=True)]
    )
    kept = random.random(len(starts)) < share
    kept[0] = True
    price = np.round(random.uniform(90, 110, (2, int(kept.sum()))), 2)
    bars = Bars(
        starts[kept], price[0], price.max(axis=0), price.min(axis=0), price[1], random.uniform(1, 9, kept.sum())
    )
    base = lay_on_sessions(bars, MINUTE, SESSIONS, 0, symbol=name, source="memory")
    needs = NEEDS
    if coarse:
        five = derive(base, FIVE, SESSIONS, 0)
        base = lay_on_sessions(five.bars, FIVE, SESSIONS, 0, symbol=name, source="memory")
        needs = Needs(FIVE, (FIVE,), {})
    return prepare(name, base, needs, SESSIONS, np.arange(3), {row: max(row - 1, 0) for row in range(3)})


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(50))
@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.8, 1.0]), st.booleans(), st.sampled_from([None, FIVE]))
def test_every_bar_stands_in_the_row_in_which_it_closes(
    seed: int, share: float, coarse: bool, interval: Interval | None
) -> None:
    data = {"B": symbol_data("B", seed, share), "A": symbol_data("A", seed + 1, 1.0, coarse=coarse)}
    block = PanelBlock(data, 0, 2, MINUTE)
    assert block.symbols == ("A", "B")
    ends = np.concatenate([SESSIONS.expected_starts(row, interval or MINUTE, 2**62)[1] for row in range(3)])
    for name in COLUMNS:
        matrix = block.column(name, interval)
        assert matrix.shape == (len(ends), 2)
        for symbol, one in data.items():
            series = one.base if interval is None else one.series[interval]
            column = matrix[:, block.index[symbol]]
            own = dict(zip(series.end_ns.tolist(), getattr(series.bars, name).tolist(), strict=True))
            assert {
                end: value for end, value in zip(ends.tolist(), column.tolist(), strict=True) if not np.isnan(value)
            } == own
    for symbol, one in data.items():
        for row, end in enumerate(block.end_ns.tolist()):
            closed = one.base.closed_by(end)
            last = float(one.base.bars.close[closed - 1]) if closed else np.nan
            assert np.array_equal(block.last_close[row, block.index[symbol]], last, equal_nan=True)
            rows = block.own_rows(block.index[symbol], row, row)
            assert [int(one.base.end_ns[own]) for own in rows] == ([end] if end in one.base.end_ns else [])


def test_a_panel_shows_its_session_and_its_history_and_a_part_of_the_symbols() -> None:
    data = {name: symbol_data(name, number, 1.0) for number, name in enumerate("ABC")}
    block = PanelBlock(data, 0, 2, MINUTE)
    panel = Panel(block, ["C", "A"], int(SESSIONS.open_ns[1]))
    now_ns = int(SESSIONS.open_ns[2]) + 3 * MINUTE.ns
    assert panel.symbols == ("A", "C")
    assert np.array_equal(panel.bars("close", now_ns), block.column("close")[20:43, [0, 2]])
    assert np.array_equal(panel.bars("close", now_ns, 5), block.column("close")[38:43, [0, 2]])
    whole = Panel(block, "ABC", int(SESSIONS.open_ns[0]))
    assert whole.bars("close", now_ns).base is not None, "a view, no copy"
    assert np.shares_memory(whole.bars("close", now_ns), block.column("close"))
