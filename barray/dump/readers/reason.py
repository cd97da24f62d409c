"""A reason, read from a dump."""

from __future__ import annotations

from typing import cast

from barray.dump.reason import ReasonJson
from barray.market.reason_codes import ReasonCode
from barray.market.validation import Reason


def read_reason(entry: ReasonJson) -> Reason:
    """The object."""
    return Reason(cast(ReasonCode, entry["code"]), entry["message"], entry["remedy"], entry["source"])
