"""The fold of a report on Step 0."""

from __future__ import annotations

from collections.abc import Iterable

from barray.market.validation import SymbolValidationResult
from barray.report.markup import NOTHING, Html, count, folded, table


def step0(results: Iterable[SymbolValidationResult]) -> Html:
    """Every symbol asked for: whether it passed, by which source, and why those asked before it were passed over."""
    found = list(results)
    passed = [one for one in found if one.can_proceed]
    other = sum(1 for one in passed if one.reasons)
    beside = f", {other:,} of them by another source than the first asked" if other else ""
    rows = (
        (
            one.symbol,
            "passed" if one.can_proceed else Html('<span class="loss">failed</span>'),
            " + ".join(dict.fromkeys(name for name in (one.data_source, one.daily_source) if name)) or NOTHING,
            one.base_interval or NOTHING,
            ", ".join(one.sources_asked) or NOTHING,
            " · ".join(map(str, one.reasons)),
        )
        for one in found
    )
    columns = ("Symbol", "Step 0", "Source", "Base", "Asked", "Failures")
    listed = table(columns, rows, left=len(columns), kind="sortable reasons")
    return folded(f"Step 0: {len(passed):,} of {count(len(found), 'symbol')} passed{beside}", listed)
