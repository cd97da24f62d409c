"""Layout of a reason; a part of `barray.dump.schema`."""

from __future__ import annotations

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

_closed = with_config(ConfigDict(extra="forbid", strict=True))


@_closed
class ReasonJson(TypedDict):
    """Why something was refused: `Reason`."""

    code: str
    message: str
    remedy: str
    source: str | None
