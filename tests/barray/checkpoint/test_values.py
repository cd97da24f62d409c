"""What is kept comes back as it was, to the last bit, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from barray.checkpoint.values import Codec
from barray.market.errors import DataError
from barray.trading.orders.fills import Fill


@dataclass(frozen=True)
class Thing:
    name: str
    inner: object = None


CODEC = Codec([Thing, Fill])
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(), inner, max_size=4),
        st.builds(Thing, st.text(), inner),
    ),
    max_leaves=12,
)


@pytest.mark.long
@given(values)
def test_values_come_back(value: object) -> None:
    assert CODEC.decode(CODEC.encode(value)) == value


@pytest.mark.long
@given(arrays.arrays(st.sampled_from(["<f8", "<i8", "|b1", "<i4", "<M8[D]"]), arrays.array_shapes(min_side=0)))
def test_arrays_come_back_to_the_last_bit(array: np.ndarray) -> None:
    [_, found] = CODEC.decode(CODEC.encode(("x" * (array.size % 7), array)))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_what_json_has_no_word_for_comes_back() -> None:
    told = {1: date(2024, 7, 1), (2, "x"): datetime(2024, 7, 1, 9, 30, tzinfo=UTC), None: frozenset({"b", "a"})}
    assert CODEC.decode(CODEC.encode(told)) == told
    inf, nan, zero = CODEC.decode(CODEC.encode((float("inf"), float("nan"), -0.0)))
    assert (inf, str(nan), str(zero)) == (float("inf"), "nan", "-0.0")
    fill = Fill(1, 2, 3.5, np.float64(4.25), 0.1, 0.0, np.int64(7), np.bool_(True))
    assert CODEC.decode(CODEC.encode(fill)) == fill


class Other:
    pass


@pytest.mark.parametrize("value", [Other(), [Other()], np.array([Other()]), {1j: 0}])
def test_what_has_no_kind_is_not_written(value: object) -> None:
    with pytest.raises(TypeError, match="kept"):
        CODEC.encode(value)


def test_a_kind_that_nobody_asked_for_is_not_made() -> None:
    for content in (
        b"\x01\x00",
        CODEC.encode(Thing("x")).replace(b"Thing", b"Other"),
        b"",
        b"\xff" * 40,
    ):
        with pytest.raises(DataError, match="can't be meant"):
            CODEC.decode(content)
