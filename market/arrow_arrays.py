"""Arrow arrays made of their buffers. `pyarrow.array`, given anything of Python's or NumPy's, first imports pandas:
a quarter of a second, and 70 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def arrow_numbers(values: NDArray[Any], unknown: NDArray[np.bool_] | None = None) -> pa.Array:
    """The values, without a copy where they lie in one piece (booleans become bits); null where they are `unknown`."""
    known = None if unknown is None else _bits(~unknown)
    plain = _bits(values) if values.dtype == np.bool_ else pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [known, plain])


def arrow_texts(values: Sequence[str]) -> pa.Array:
    """The values as strings."""
    encoded = [value.encode() for value in values]
    ends = np.array([0, *accumulate(map(len, encoded))], np.int32)
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def _bits(flags: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))
