"""A step of scans in JSON types: who was found, what was asked for. Dumps and recordings have it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from barray.market.bars import FloatArray, format_ns
from barray.trading.scans.follow import ScanStep
from barray.trading.scans.hits import Hits
from barray.trading.scans.instructions import AddAdhoc, AlsoWanted, Evict, Instruction, LetGo, PromoteSymbol

What = Literal["promote", "add", "also", "evict", "let_go"]
"""`promote`: to a full symbol; `add`: an adhoc one; `also`: one more scan wants it; `evict`, `let_go`: none does."""
KINDS: Mapping[What, type[Instruction]] = {
    "promote": PromoteSymbol,
    "add": AddAdhoc,
    "also": AlsoWanted,
    "evict": Evict,
    "let_go": LetGo,
}
NAMES: Mapping[type[Instruction], What] = {kind: name for name, kind in KINDS.items()}


def step_json(step: ScanStep) -> dict[str, Any]:
    """As `ScanStepJson` of `barray.dump.scans`."""
    return {
        "at": format_ns(step.at_ns),
        "pinned": list(step.pinned),
        "hits": [hits_json(name, hits) for name, hits in step.hits],
        "did": did_json(step),
    }


def hits_json(scan: str, hits: Hits) -> dict[str, Any]:
    """As `HitsJson`."""
    values = {name: known(column.tolist()) for name, column in hits.values.items()}
    return {"scan": scan, "symbols": list(hits.symbols), "score": known(hits.scores.tolist()), "values": values}


def read_hits(entry: Mapping[str, Any], at_ns: int) -> Hits:
    """What `hits_json` was told of."""
    values = {name: _numbers(column) for name, column in entry["values"].items()}
    return Hits(at_ns, tuple(entry["symbols"]), _numbers(entry["score"]), values)


def _numbers(values: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if one is None else one for one in values], np.float64)


def did_json(step: ScanStep) -> list[dict[str, Any]]:
    """As a list of `DidJson`. Only what was to be promoted can be refused, and none that is evicted is others'."""
    return [
        {
            "what": NAMES[type(one)],
            "symbol": one.symbol,
            "by": list(one.by),
            "reason": one.reason,
            "indicators": [spec.key for spec in getattr(one, "indicators", ())],
            "refused": step.refused.get(one.symbol) if isinstance(one, PromoteSymbol) else None,
            "there": not isinstance(one, Evict) and one.symbol in step.there,
        }
        for one in step.instructions
    ]


def known(values: list[float]) -> list[float | None]:
    """Numbers, None for NaN."""
    return [None if math.isnan(one) else one for one in values]
