"""`barray replay-day`: does a strategy decide again what it decided on a recorded day?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import FAILED, print_json, print_table, reporting, stdout
from barray.cli.options import AsJson
from barray.market.bars import format_ns

if TYPE_CHECKING:
    from barray.trading.engine.day_again import Difference
    from barray.trading.engine.notes import Decision, Pages


@reporting
def replay_day(
    recording: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="NAME-DATE-recording.jsonl of a live session.")
    ],
    strategy: Annotated[
        Path | None, typer.Option("--strategy", help="A file with another strategy, in place of the day's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recorded live day again, and say whether the decisions are identical, or which is the first that differs.

    The strategy gets each bar as it came then, late and corrected ones included. A second table says what it would have
    done had every bar come in time, and in its last version. Exit code 0 where all decisions are identical, else 1.
    """
    from barray.day_again import replay_day as run_it
    from barray.trading.engine.day_again import first_difference

    found = run_it(recording, strategy)
    apart = first_difference(found.again, found.corrected)
    if as_json:
        runs = {name: _figures(getattr(found, name)) for name in ("then", "again", "corrected")}
        told = {"path": str(recording), "identical": found.difference is None, "code_changed": found.code_changed}
        print_json({**told, "difference": _told(found.difference), **runs, "corrections": _told(apart)})
    else:
        _print(found.difference, found.again, code_changed=found.code_changed)
        rows = [(name, *_figures(pages).values()) for name, pages in _named(found.again, found.corrected)]
        print_table("What the corrections changed", ("bars", "decisions #", "fills #", "profit #"), rows)
        first = "no decision" if apart is None else f"first, decision {apart.number + 1}: {_pair(apart)}"
        stdout.print(f"  {first}", highlight=False, markup=False)
    if found.difference is not None:
        raise typer.Exit(FAILED)


def _print(difference: Difference | None, again: Pages, *, code_changed: bool) -> None:
    if code_changed:
        stdout.print("the strategy's code is not what it was on that day", highlight=False)
    if difference is None:
        stdout.print(f"[green]identical decisions[/]: {len(again.decisions)}", highlight=False)
    else:
        stdout.print(f"decision {difference.number + 1} differs: {_pair(difference)}", highlight=False, markup=False)


def _named(again: Pages, corrected: Pages) -> list[tuple[str, Pages]]:
    return [("as they came", again), ("corrected", corrected)]


def _figures(pages: Pages) -> dict[str, Any]:
    stood = pages.stood
    pnl = stood[-1].equity - stood[0].equity if stood else None
    return {"decisions": len(pages.decisions), "fills": len(pages.fills), "pnl": None if pnl is None else round(pnl, 2)}


def _pair(difference: Difference) -> str:
    return f"then {_shown(difference.then)}, now {_shown(difference.now)}"


def _shown(decision: Decision | None) -> str:
    if decision is None:
        return "nothing"
    detail = ", ".join(f"{name} {value}" for name, value in decision.detail.items() if name != "number")
    return f"{format_ns(decision.at_ns)} {decision.action} {decision.symbol} {detail}".rstrip()


def _told(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "number": difference.number,
        **{
            name: None if one is None else vars(one)
            for name, one in (("then", difference.then), ("now", difference.now))
        },
    }
