"""What a strategy did and what scans found as Parquet tables, beside those of the symbols: what the header says.

- `orders.parquet`, `fills.parquet`, `refusals.parquet`, `decisions.parquet` (`detail` as JSON) and `account.parquet`
  (cash and equity at each window's end): there where a strategy traded;
- `scan_hits.parquet`: a row a scan, time and symbol that may be kept, with a column for each number compared;
  `scan_steps.parquet`: what was asked of the session, by which scans, and why; `scan_visits.parquet`: who was kept from
  when to when, and why no longer: there where there are scans.

Keys are those of the JSON dump; stamps are UTC. They say nothing that the header doesn't, and are checked against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from barray.dump.digest import dumps
from barray.dump.scans import ScansJson
from barray.dump.trading import TradingJson
from barray.market.bars import parse_ns

_STAMP = pa.timestamp("ns", "UTC")
_TEXT, _NUMBER, _WHOLE, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_TEXTS = pa.list_(pa.string())
_ORDERS = {
    "symbol": _TEXT,
    "number": _WHOLE,
    "kind": _TEXT,
    "placed": _STAMP,
    "ended": _STAMP,
    **dict.fromkeys(("quantity", "filled", "limit", "stop", "trail"), _NUMBER),
    "day": _FLAG,
    "guards": _WHOLE,
    **dict.fromkeys(("status", "tag", "code", "reason"), _TEXT),
}
_FILLS = {
    "at": _STAMP,
    "symbol": _TEXT,
    "order": _WHOLE,
    "bar": _STAMP,
    **dict.fromkeys(("quantity", "price", "commission", "slippage"), _NUMBER),
    "at_close": _FLAG,
}
_REFUSALS = {"at": _STAMP, "symbol": _TEXT, "bar": _STAMP, "quantity": _NUMBER, "reason": _TEXT}
_DECISIONS = {
    "at": _STAMP,
    "own": _TEXT,
    "call": _TEXT,
    "nth": _WHOLE,
    **dict.fromkeys(("action", "symbol", "detail"), _TEXT),
}
_ACCOUNT = {"at": _STAMP, "cash": _NUMBER, "equity": _NUMBER}
_HITS = {"at": _STAMP, "scan": _TEXT, "place": _WHOLE, "symbol": _TEXT, "score": _NUMBER}
_STEPS = {
    "at": _STAMP,
    "what": _TEXT,
    "symbol": _TEXT,
    "by": _TEXTS,
    "reason": _TEXT,
    "indicators": _TEXTS,
    "refused": _TEXT,
    "there": _FLAG,
}
_VISITS = {
    "scan": _TEXT,
    "symbol": _TEXT,
    "since": _STAMP,
    "place": _WHOLE,
    "best": _WHOLE,
    "until": _STAMP,
    "why": _TEXT,
}
NAMES = (
    *(f"{name}.parquet" for name in ("orders", "fills", "refusals", "decisions", "account")),
    *(f"scan_{name}.parquet" for name in ("hits", "steps", "visits")),
)


def further_tables(header: Mapping[str, Any]) -> dict[str, Any]:
    """Arrow tables by the names of their files, of a header as JSON has it; ValueError for what is no stamp."""
    found = _of_trading(header["trading"]) if "trading" in header else {}
    return found | (_of_scans(header["scans"]) if "scans" in header else {})


def _of_trading(entry: TradingJson) -> dict[str, Any]:
    decisions = [{**one, "detail": dumps(one["detail"]).decode()} for one in entry["decisions"]]
    stood = entry["stood"]
    account = [
        {"at": at, "cash": cash, "equity": equity}
        for at, cash, equity in zip(stood["at"], stood["cash"], stood["equity"], strict=True)
    ]
    return {
        "orders.parquet": _table(entry.get("orders", []), _ORDERS),
        "fills.parquet": _table(entry["fills"], _FILLS),
        "refusals.parquet": _table(entry["refusals"], _REFUSALS),
        "decisions.parquet": _table(decisions, _DECISIONS),
        "account.parquet": _table(account, _ACCOUNT),
    }


def _of_scans(entry: ScansJson) -> dict[str, Any]:
    rows, names = hit_rows(entry), dict[str, Any]()
    for step in entry["steps"]:
        for hits in step["hits"]:
            names |= {_named(name): _NUMBER for name in hits["values"]}
    flat = [{**row, **{_named(name): one for name, one in row["values"].items()}} for row in rows]
    steps = [{"at": step["at"], **did} for step in entry["steps"] for did in step["did"]]
    return {
        "scan_hits.parquet": _table(flat, {**_HITS, **names}),
        "scan_steps.parquet": _table(steps, _STEPS),
        "scan_visits.parquet": _table(entry["visits"], _VISITS),
    }


def hit_rows(entry: ScansJson) -> list[dict[str, Any]]:
    """A row a scan, time and symbol that may be kept, the best first; `values` by terms' texts."""
    return [
        {
            "at": step["at"],
            "scan": hits["scan"],
            "place": place + 1,
            "symbol": hits["symbols"][place],
            "score": score,
            "values": {name: column[place] for name, column in hits["values"].items()},
        }
        for step in entry["steps"]
        for hits in step["hits"]
        for place, score in enumerate(hits["score"])
    ]


def _named(term: str) -> str:
    return f"{term} (value)" if term in _HITS else term


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> Any:
    """Rows under a schema: of stamps their nanoseconds, what a row lacks null."""
    arrays = []
    for name, kind in columns.items():
        values = [row.get(name) for row in rows]
        if kind == _STAMP:
            values = [None if text is None else parse_ns(str(text)) for text in values]
            arrays.append(pa.array(values, pa.int64()).cast(_STAMP))
        else:
            arrays.append(pa.array(values, kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema(dict(columns)))
