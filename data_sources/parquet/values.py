"""Columns of a Parquet file as NumPy arrays, without pandas ever being imported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from barray.market.arrow_arrays import arrow_numbers
from barray.market.bars import FloatArray

_NUMPY_TYPES = {
    pa.float64(): np.float64,
    pa.float32(): np.float32,
    pa.int64(): np.int64,
    pa.int32(): np.int32,
    pa.uint64(): np.uint64,
    pa.uint32(): np.uint32,
}
_EXACT = 2**53
"""Whole numbers up to it are exact as floats, and so are powers of ten up to the 22nd: one division rounds once."""
_EXACT_POWER = 22


def floats(column: pa.ChunkedArray) -> FloatArray:
    """float64 (n,), NaN where there is no value: the checks of bars tell which bar that is.

    A decimal becomes the float nearest to it, which is what `float(Decimal)` gives.
    """
    plain = _NUMPY_TYPES.get(column.type)
    if plain is not None and not column.null_count:
        return numpy_values(column, plain).astype(np.float64, copy=False)  # Arrow's cast would import pyarrow.compute
    if pa.types.is_decimal(column.type):
        return _decimals(column)
    if not pa.types.is_float64(column.type):
        column = column.cast(pa.float64())
    if column.null_count:
        column = column.fill_null(arrow_numbers(np.array([np.nan]))[0])
    return numpy_values(column, np.float64)


def numpy_values(column: pa.ChunkedArray, dtype: Any) -> NDArray[Any]:
    """The values of a column without nulls; no copy where they lie in one piece. (to_numpy would import pandas.)"""
    chunks = [
        np.frombuffer(chunk.buffers()[1], dtype)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    if not chunks:
        return np.empty(0, dtype)
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _decimals(column: pa.ChunkedArray) -> FloatArray:
    kind = column.type
    if pa.types.is_decimal128(kind) and not column.null_count and 0 <= kind.scale <= _EXACT_POWER:
        words = numpy_values(column, np.dtype((np.int64, 2)))  # little-endian: the low half comes first
        low, high = words[:, 0], words[:, 1]
        if ((high == low >> 63) & (abs(low) <= _EXACT) & (low > np.iinfo(np.int64).min)).all():
            return np.asarray(low / 10.0**kind.scale, np.float64)
    return np.array([np.nan if value is None else float(value) for value in column.to_pylist()], np.float64)
