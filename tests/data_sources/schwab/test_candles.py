"""Whatever stands in an answer: bars that can be, in the range, or an error of the kinds that are told of."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.data_sources.fetching.vendor import PageRequest
from barray.data_sources.schwab.candles import bars_of
from barray.market.errors import DataError
from barray.market.interval import Interval
from tests.data_sources.gateway_fakes import END_NS, MIN_NS, MINUTE, START_NS

GOOD = {"datetime": START_NS // 1_000_000, "open": 10.0, "high": 11.5, "low": 9, "close": 10, "volume": 700}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=3),
    st.just({}),
)
CANDLES = st.lists(
    st.one_of(
        st.just(GOOD), JUNK, st.fixed_dictionaries({name: st.one_of(st.just(GOOD[name]), JUNK) for name in GOOD})
    ),
    max_size=4,
)
ANSWERS = st.one_of(
    JUNK, st.fixed_dictionaries({"candles": st.one_of(CANDLES, JUNK), "empty": JUNK, "symbol": st.just("A")})
)


def answer(*candles: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"candles": list(candles), "empty": not candles, "symbol": "A", **changed}


def request(interval: str = "1m") -> PageRequest:
    return PageRequest(("A",), Interval.parse(interval), START_NS, END_NS)


@given(ANSWERS, st.sampled_from(["1m", "1d", "1w"]))
def test_any_answer_is_bars_or_an_error_that_is_told_of(held: Any, interval: str) -> None:
    try:
        bars = bars_of(held, "A", request(interval))
    except (DataError, KeyError, TypeError, ValueError, AttributeError):
        return
    assert all(getattr(bars, name).shape == (len(bars),) for name in ("start_ns", "open", "volume"))
    assert ((bars.start_ns >= START_NS) & (bars.start_ns < END_NS)).all()


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("value", [None, "1", True, [1.0], {}, ..., -1, 1e300, 2**63])
def test_a_value_that_is_none_is_refused(name: str, value: Any) -> None:
    candle = {key: held for key, held in {**GOOD, name: value}.items() if held is not ...}
    if name in ("high", "volume") and value in (1e300, 2**63):
        return  # unlikely, but they may be
    with pytest.raises((DataError, KeyError, TypeError, ValueError)):
        bars_of(answer(candle), "A", request())


def test_good_values_are_taken_to_the_last_bit() -> None:
    second = {**GOOD, "datetime": GOOD["datetime"] + 60_000, "open": 10.1, "close": 0.1 + 0.2 + 10}
    held = orjson.loads(orjson.dumps(answer(GOOD, second)))
    bars = bars_of(held, "A", request())
    assert bars.close.tolist() == [10.0, 0.1 + 0.2 + 10]
    assert np.diff(bars.start_ns).tolist() == [MINUTE.ns] == [MIN_NS]
