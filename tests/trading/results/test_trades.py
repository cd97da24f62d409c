"""Round trips: matching, commissions, and what the position saw on its way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.market.bars import Bar, Bars
from barray.trading.orders.fills import Fill, Fills
from barray.trading.results.result import Trades
from barray.trading.results.trades import match_alternating, match_each, match_fifo, match_one_by_one, round_trips
from tests.market.builders import MINUTE_NS

quick = settings(deadline=None, max_examples=150)


def bars(*rows: tuple[float, float, float, float]) -> Bars:
    """Bars from (open, high, low, close), a minute each from 1970 on."""
    return Bars.of(Bar(row * MINUTE_NS, *prices, 1_000.0) for row, prices in enumerate(rows))


def fills(*rows: tuple[int, float, float], commission: float = 0.0, at_close: Sequence[int] = ()) -> Fills:
    """Fills from (row, quantity, price); `at_close` counts fills."""
    return Fills.of(
        [
            Fill(row, row * MINUTE_NS, quantity, price, commission, 0.0, number + 1, number in at_close)
            for number, (row, quantity, price) in enumerate(rows)
        ]
    )


FOUR = bars((10, 12, 9, 11), (11, 15, 8, 12), (12, 14, 7, 13), (13, 20, 5, 14))
"""Each bar's extremes differ from every other's, so that a result tells which bars were counted."""


def only(trades: Trades) -> dict[str, float]:
    (row,) = trades.rows()
    return row


def test_a_long_round_trip() -> None:
    trade = only(round_trips(fills((0, 2, 10), (2, -2, 12), commission=0.5), FOUR, 3))
    assert trade == {
        "entry_ns": 0,
        "entry_price": 10,
        "exit_ns": 2 * MINUTE_NS,
        "exit_price": 12,
        "quantity": 2,
        "pnl": 3,  # 2 × 2 less twice 0.50
        "commission": 1,
        "mae": -4,  # to 8 in bar 1
        "mfe": 10,  # to 15 in bar 1
        "bars": 2,
    }


def test_a_short_round_trip_has_the_signs_turned() -> None:
    trade = only(round_trips(fills((0, -2, 10), (2, 2, 12), commission=0.5), FOUR, 3))
    assert (trade["quantity"], trade["pnl"], trade["mae"], trade["mfe"]) == (-2, -5, -10, 4)


def test_no_fills_are_no_trades() -> None:
    assert len(round_trips(fills(), FOUR, 3)) == 0
    assert round_trips(fills(), Bars.empty(), -1).rows() == []


def test_an_open_trade_is_valued_at_the_last_close_and_saw_the_whole_last_bar() -> None:
    trade = only(round_trips(fills((1, 1, 11), commission=1.0), FOUR, 2))
    assert (trade["exit_ns"], trade["exit_price"], trade["pnl"], trade["commission"]) == (-1, 13, 1, 1)
    assert (trade["mae"], trade["mfe"], trade["bars"]) == (-4, 4, 2)


def test_a_fill_that_turns_the_position_round_ends_one_trade_and_begins_the_next() -> None:
    trades = round_trips(fills((0, 1, 10), (1, -3, 11), (2, 2, 12), commission=3.0), FOUR, 3)
    assert trades.quantity.tolist() == [1, -2]
    assert trades.commission.tolist() == [4, 5]  # of 3.00 for three shares, 1.00 ends and 2.00 begins
    assert trades.pnl.tolist() == [1 - 4, -2 - 5]


def test_partial_fills_are_matched_first_in_first_out() -> None:
    bought_twice = fills((0, 2, 10), (1, 3, 11), (2, -4, 12), (3, -1, 13), commission=1.0)
    trades = round_trips(bought_twice, FOUR, 3)
    assert trades.entry_price.tolist() == [10, 11, 11]
    assert trades.exit_price.tolist() == [12, 12, 13]
    assert trades.quantity.tolist() == [2, 2, 1]
    assert trades.commission == pytest.approx([1 + 1 / 2, 2 / 3 + 1 / 2, 1 / 3 + 1])


def test_rounding_in_fractional_shares_leaves_no_trade_behind() -> None:
    trades = round_trips(fills((0, 0.1, 10), (1, 0.2, 11), (2, -(0.1 + 0.2), 12)), FOUR, 3)
    assert trades.quantity == pytest.approx([0.1, 0.2])
    assert not trades.is_open.any()
    assert len(round_trips(fills((0, 0.3, 10), (1, -0.3, 12), (2, -5e-17, 12)), FOUR, 3)) == 1


@pytest.mark.parametrize(
    ("why", "rows", "at_close", "mae", "mfe"),
    [
        ("in and out at the open: nothing of the exit's bar", [(1, 1, 11), (2, -1, 12)], [], -3, 4),
        ("in at the open, out at the same bar's close: the whole bar", [(1, 1, 11), (1, -1, 12)], [1], -3, 4),
        ("in at the close: nothing of its bar", [(0, 1, 11), (1, -1, 11)], [0], 0, 0),
        ("in at the close, and a whole bar", [(0, 1, 11), (1, -1, 12)], [0, 1], -3, 4),
        ("stopped out within the bar: down to the stop alone", [(1, 1, 11), (1, -1, 9)], [], -2, 0),
        ("out at a limit within the bar: it may have been low before", [(1, 1, 11), (1, -1, 14)], [], -3, 3),
        ("in by a stop: the high came after, the low may have", [(1, 1, 13), (2, -1, 12)], [], -5, 2),
        ("in by a limit: the low came after, the high may not have", [(1, 1, 10), (2, -1, 12)], [], -2, 2),
        ("short in by a stop: the low came after, the high may have", [(1, -1, 10), (2, 1, 12)], [], -5, 2),
        ("short in by a limit: the high came after, the low may not have", [(1, -1, 13), (2, 1, 12)], [], -2, 1),
        ("short, stopped out within the bar: up to the stop alone", [(1, -1, 11), (1, 1, 14)], [], -3, 0),
        ("short, out at a limit: it may have been high before", [(1, -1, 11), (1, 1, 9)], [], -4, 2),
        ("in and stopped out within one bar: both prices alone", [(1, 1, 13), (1, -1, 9)], [], -4, 0),
    ],
)
def test_what_a_trade_saw_of_the_bars_at_its_ends(
    why: str, rows: list[tuple[int, float, float]], at_close: list[int], mae: float, mfe: float
) -> None:
    trade = only(round_trips(fills(*rows, at_close=at_close), FOUR, 3))
    assert (trade["mae"], trade["mfe"]) == (mae, mfe), why


def test_a_fill_that_slipped_from_the_open_is_a_fill_at_the_open() -> None:
    slipped = Fills.of([Fill(1, MINUTE_NS, 2, 11.5, 0, 1.0, 1), Fill(2, 2 * MINUTE_NS, -2, 11.9, 0, 0.2, 2)])
    trade = only(round_trips(slipped, FOUR, 3))
    assert (trade["mae"], trade["mfe"]) == (2 * (8 - 11.5), 2 * (15 - 11.5))


@pytest.mark.parametrize(("at_close", "count"), [([], 1), ([0], 0), ([1], 2), ([0, 1], 1)])
def test_bars_held_are_whole_bars(at_close: list[int], count: int) -> None:
    assert only(round_trips(fills((1, 1, 11), (2, -1, 12), at_close=at_close), FOUR, 3))["bars"] == count


def test_anything_but_in_and_out_is_left_to_the_general_matching() -> None:
    for quantity in ([1, -2], [1, 1, -2], [1, -1, 0.0], [0.0, -0.0]):
        assert match_alternating(np.array(quantity, np.float64)) is None


signed = st.integers(-5, 5).filter(bool)


@pytest.mark.long
@quick
@given(st.lists(signed, max_size=12), st.booleans())
def test_both_ways_of_matching_agree(sizes: list[int], last_open: bool) -> None:
    quantity = np.array([q for size in sizes for q in (size, -size)] + [3] * last_open, np.float64)
    fast, general = match_alternating(quantity), match_fifo(quantity)
    assert fast is not None
    for one, other in zip(fast, general, strict=True):
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()


def never_short(sizes: list[int]) -> list[int]:
    """The same with no sale of more than there is."""
    kept: list[int] = []
    for size in sizes:
        kept += [size] if sum(kept) + size >= 0 else []
    return kept


@pytest.mark.long
@quick
@given(
    st.lists(st.lists(st.integers(-4, 6).filter(bool), max_size=9), max_size=4),
    st.booleans(),
    st.sampled_from([1.0, 0.1]),
)
def test_many_symbols_lots_are_matched_as_one_by_one(sizes: list[list[int]], short: bool, lot: float) -> None:
    if not short:
        sizes = [never_short(own) for own in sizes]
    quantity = np.array([lot * size for own in sizes for size in own], np.float64)
    bounds = np.cumsum([0, *map(len, sizes)])
    for one, other in zip(match_each(quantity, bounds), match_one_by_one(quantity, bounds), strict=True):
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()


@st.composite
def histories(draw: st.DrawFn) -> tuple[Bars, Fills]:
    """Any bars, and any fills inside them, in order."""
    n = draw(st.integers(1, 8))
    prices = [sorted(draw(st.lists(st.integers(1, 40), min_size=4, max_size=4))) for _ in range(n)]
    rows = [(low, high, *draw(st.permutations(inner))) for low, *inner, high in prices]
    base = bars(*((o, high, low, c) for low, high, o, c in rows))
    made = []
    for row in sorted(draw(st.lists(st.integers(0, n - 1), max_size=10))):
        at_close = draw(st.booleans())
        price = base.close[row] if at_close else draw(st.integers(int(base.low[row]), int(base.high[row])))
        made.append(Fill(row, row, draw(signed), float(price), draw(st.integers(0, 3)), 0.0, 1, at_close))
    made.sort(key=lambda fill: (fill.row, fill.at_close))
    return base, Fills.of(made)


def paths(bar: Bar) -> list[np.ndarray]:
    """Every whole price on the two shortest ways through a bar."""
    found = []
    for way in ((bar.open, bar.high, bar.low, bar.close), (bar.open, bar.low, bar.high, bar.close)):
        legs = [np.arange(a, b + np.sign(b - a), np.sign(b - a) or 1) for a, b in itertools.pairwise(way)]
        found.append(np.concatenate([*legs, [bar.close]]))
    return found


@pytest.mark.long
@quick
@given(histories())
def test_the_accounts_balance(history: tuple[Bars, Fills]) -> None:
    base, made = history
    trades = round_trips(made, base, len(base) - 1)
    cash = -sum(fill.quantity * fill.price + fill.commission for fill in map(made.__getitem__, range(len(made))))
    position = sum(made.quantity.tolist())
    assert trades.pnl.sum() == pytest.approx(cash + position * base.close[-1])
    assert trades.commission.sum() == pytest.approx(made.commission.sum())
    assert trades.quantity[trades.is_open].sum() == pytest.approx(position)
    assert list(trades.entry_ns) == sorted(trades.entry_ns)
    assert (trades.mae <= np.minimum(trades.pnl + trades.commission, 0) + 1e-9).all()
    assert (trades.mfe >= np.maximum(trades.pnl + trades.commission, 0) - 1e-9).all()


@pytest.mark.long
@quick
@given(histories(), st.sampled_from([-1, 1]))
def test_no_way_through_the_bars_was_worse_than_mae_or_each_better_than_mfe(
    history: tuple[Bars, Fills], side: int
) -> None:
    """Long or short from the first bar's first touch of a price to the last bar's first touch of another."""
    base, _ = history
    if len(base) < 2:
        return
    first, last = 0, len(base) - 1
    entry, leave = float(np.round(base.high[first] + base.low[first]) // 2), float(base.open[last])
    trade = only(round_trips(fills((first, side, entry), (last, -side, leave)), base, last))
    seen = [side * (way[int(np.argmax(way == entry)) :] - entry) for way in paths(base[first])]
    between = [side * (price - entry) for bar in map(base.__getitem__, range(1, last)) for price in (bar.high, bar.low)]
    worst = min([*between, side * (leave - entry), *(way.min() for way in seen), 0.0])
    best = max([*between, side * (leave - entry), min(way.max() for way in seen), 0.0])
    assert trade["mae"] == worst
    assert trade["mfe"] == best
