"""What a strategy did in a session as CSV, beside the session's own: a row an order, a fill or a refusal.

Columns: `at` (stamp: of an order when it was placed, of a fill and a refusal the start of the bar), `symbol`, `what`
(`order`, `fill`, `refusal`), `order` (its number), `quantity`, `price` (of an order its limit or stop), `commission`,
`status`, `reason`, and in every row `digest`, SHA-256 over all other cells (see `barray.dump.digest`). Rows by time,
then symbol, then what.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from barray.dump.writers.rows_csv import write_rows
from barray.dump.writers.trading import orders_json, pages_json
from barray.trading.engine.session_trading import SessionTrading

COLUMNS = ("at", "symbol", "what", "order", "quantity", "price", "commission", "status", "reason")


def write_trading_csv(path: Path, trading: SessionTrading) -> Path:
    """Write the rows to `path` and give it; ConfigError where it can't be written."""
    return write_rows(path, COLUMNS, sorted(_rows(trading), key=lambda row: (row[0], row[1], row[2], row[3])))


def _rows(trading: SessionTrading) -> list[tuple[Any, ...]]:
    pages = pages_json(trading.pages)
    orders = orders_json(trading.orders) if trading.orders is not None else []
    return [
        *(
            (
                one["placed"],
                one["symbol"],
                "order",
                one["number"],
                one["quantity"],
                one["limit"] if one["limit"] is not None else one["stop"],
                None,
                one["status"],
                one["reason"],
            )
            for one in orders
        ),
        *(
            (one["bar"], one["symbol"], "fill", one["order"], one["quantity"], one["price"], one["commission"], "", "")
            for one in pages["fills"]
        ),
        *(
            (one["bar"], one["symbol"], "refusal", 0, one["quantity"], None, None, "", one["reason"])
            for one in pages["refusals"]
        ),
    ]
