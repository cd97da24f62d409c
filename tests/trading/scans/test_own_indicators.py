"""A user's own functions in scans."""

from __future__ import annotations

import numpy as np

from barray.market.own_indicator import indicator
from barray.trading.scans.evaluate import evaluate
from barray.trading.scans.language import col
from barray.trading.scans.lookahead import lookahead
from barray.trading.scans.plan import make_plan
from barray.trading.scans.scan import Scan
from barray.trading.scans.times import every
from tests.trading.scans.universes import coarser, known, universe


@indicator(bars=2)
def rise(close, *, bars_back=2):
    return close / np.concatenate((np.full(bars_back, np.nan), close[:-bars_back])) - 1


@indicator(bars=0)
def peeks(close):
    return np.concatenate((close[1:], close[-1:])) - close


class Rising(Scan):
    at = every("1h")
    rank = col(rise @ "15m")
    where = rank > 0


def test_an_own_indicator_has_the_values_of_each_symbol_alone() -> None:
    world = universe(7, symbols=12)
    found = 0
    for hits in evaluate(make_plan(Rising()), world.bars).hits:
        for symbol, score in zip(hits.symbols, hits.scores.tolist(), strict=True):
            closes = [bar.close for bar in coarser(world, known(world, symbol, hits.at_ns), 15, hits.at_ns)]
            assert score == closes[-1] / closes[-3] - 1
            found += 1
    assert found > 10


def test_one_that_peeks_is_told() -> None:
    plan = make_plan(type("Peeking", (Scan,), {"at": every("1h"), "where": col(peeks @ "15m") > 0})())
    report = lookahead(plan, universe(7, symbols=12).bars)
    assert not report.honest
    assert {one.future for one in report.differences} >= {"cut off", "raised", "lowered"}
    assert lookahead(make_plan(Rising()), universe(7, symbols=12).bars, most_times=3).honest
