"""TA-Lib without what it drags in.

`import talib` looks for polars and pandas to wrap its functions for their series: 2 s and 130 MB in every process where
they are installed. Arrays are all we pass, so both are hidden while it is imported.
"""

from __future__ import annotations

import sys

_HIDDEN = [name for name in ("polars", "pandas") if name not in sys.modules]
for _name in _HIDDEN:
    sys.modules[_name] = None  # type: ignore[assignment]  # makes `import polars` raise ModuleNotFoundError
try:
    from talib import get_functions
    from talib.abstract import Function  # type: ignore[attr-defined]
finally:
    for _name in _HIDDEN:
        del sys.modules[_name]

__all__ = ["Function", "get_functions"]
