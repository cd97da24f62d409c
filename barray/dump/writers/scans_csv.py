"""What scans found in a session as CSV, beside the session's own: who was found, and what was asked of the session.

Columns: `at` (stamp), `scan` (of what was asked: all that want it, joined by a space), `symbol`, `what` (`hit`,
`promote`, `add`, `also`, `evict`, `let_go`), `place` and `score` (of a hit), `values` (the numbers compared, as JSON),
`reason`, `refused`, and in every row `digest`, SHA-256 over all other cells (see `barray.dump.digest`). Rows by time;
hits by scan and place, then what was asked, in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from barray.dump.digest import dumps
from barray.dump.writers.further_tables import hit_rows
from barray.dump.writers.rows_csv import write_rows
from barray.dump.writers.scans import scans_json
from barray.trading.scans.result import ScannedSession

COLUMNS = ("at", "scan", "symbol", "what", "place", "score", "values", "reason", "refused")


def write_scans_csv(path: Path, scanned: ScannedSession) -> Path:
    """Write the rows to `path` and give it; ConfigError where it can't be written."""
    return write_rows(path, COLUMNS, _rows(scanned))


def _rows(scanned: ScannedSession) -> Iterator[tuple[Any, ...]]:
    told = scans_json(scanned)
    for step in told["steps"]:
        for one in hit_rows({**told, "steps": [step]}):  # type: ignore[typeddict-item]
            values = dumps(one["values"]).decode()
            yield step["at"], one["scan"], one["symbol"], "hit", one["place"], one["score"], values, None, None
        for did in step["did"]:
            by = " ".join(did["by"])
            yield step["at"], by, did["symbol"], did["what"], None, None, None, did["reason"], did["refused"]
