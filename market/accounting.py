"""The totals of a run: all that was asked for was run, or was left out with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from barray.market.errors import BarrayError

_NAMED = 5


def require_accounted(
    asked: Iterable[str], ran: Iterable[str], left_out: Mapping[str, object], *, symbol: str | None = None
) -> None:
    """Of `asked`, `ran` and those that `left_out` has a reason for are all, and none is in both; there may be others.

    BarrayError (`unaccounted`) otherwise, naming what is missing or there twice; `symbol`: whose it is.
    """
    wanted, run = set(asked), set(ran)
    out = {one for one, reason in left_out.items() if reason}
    wrong = {
        "neither run nor left out with a reason": wanted - run - out,
        "both run and left out": wanted & run & out,
    }
    for how, which in wrong.items():
        if which:
            listed = ", ".join(sorted(which)[:_NAMED]) + (" …" if len(which) > _NAMED else "")
            raise BarrayError(
                f"{len(which)} of {len(wanted)} asked for were {how}: {listed}",
                symbol=symbol,
                remedy="this is a fault of the program: please report it with the config",
                code="unaccounted",
            )
