"""`barray replay-day`: does a strategy decide again what it decided on a recorded day?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from barray.cli.console import FAILED, print_json, print_table, reporting, stdout
from barray.cli.options import AsJson
from barray.market.bars import format_ns
from barray.trading.scans.again import ScansAgain, StepDifference, figures_of, first_step_difference

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

    The strategy gets each bar as it came then, late and corrected ones included, and so do scans, whose hits and wishes
    are compared too. A second table says what it would have done had every bar come in time, and in its last version.
    Exit code 0 where all is identical, else 1.
    """
    from barray.day_again import replay_day as run_it
    from barray.trading.engine.day_again import first_difference

    found = run_it(recording, strategy)
    apart = first_difference(found.again, found.corrected)
    if as_json:
        runs = {name: _figures(getattr(found, name)) for name in ("then", "again", "corrected")}
        told = {"path": str(recording), "identical": found.identical, "code_changed": found.code_changed}
        scans = None if found.scans is None else _scans_json(found.scans)
        differs = {"difference": _told(found.difference)}
        print_json({**told, **differs, **runs, "corrections": _told(apart), "scans": scans})
    else:
        if found.scans is not None:
            _print_scans(found.scans)
        if found.then.decisions or found.again.decisions or found.scans is None:
            _print(found.difference, found.again, code_changed=found.code_changed)
        rows = [(name, *_figures(pages).values()) for name, pages in _named(found.again, found.corrected)]
        print_table("What the corrections changed", ("bars", "decisions #", "fills #", "profit #"), rows)
        first = "no decision" if apart is None else f"first, decision {apart.number + 1}: {_pair(apart)}"
        stdout.print(f"  {first}", highlight=False, markup=False)
        if found.scans is not None:
            _print_corrections(found.scans)
    if not found.identical:
        raise typer.Exit(FAILED)


def _print(difference: Difference | None, again: Pages, *, code_changed: bool) -> None:
    if code_changed:
        stdout.print("the strategy's code is not what it was on that day", highlight=False)
    if difference is None:
        stdout.print(f"[green]identical decisions[/]: {len(again.decisions)}", highlight=False)
    else:
        stdout.print(f"decision {difference.number + 1} differs: {_pair(difference)}", highlight=False, markup=False)


def _print_scans(scans: ScansAgain) -> None:
    for name in scans.changed:
        stdout.print(f"the code of scan {name} is not what it was on that day", highlight=False)
    difference = scans.difference
    if difference is None:
        stdout.print(f"[green]identical hits of scans[/], at {len(scans.again)} times", highlight=False)
        return
    stdout.print(f"scans differ {_apart(difference)}", highlight=False, markup=False)
    said = "  what they look at of earlier sessions is read from the sources: other bars there make other hits"
    stdout.print(said, highlight=False, markup=False)


def _print_corrections(scans: ScansAgain) -> None:
    named = [("as they came", scans.again), ("corrected", scans.corrected)]
    rows = [(name, *figures_of(steps).values()) for name, steps in named]
    print_table("What they changed of scans", ("bars", "times #", "hits #", "asked for #"), rows)
    apart = first_step_difference(scans.again, scans.corrected)
    first = "nothing" if apart is None else f"first {_apart(apart)}"
    stdout.print(f"  {first}", highlight=False, markup=False)


def _apart(difference: StepDifference) -> str:
    return f"at {difference.at}, in {difference.what}: then {difference.then}, now {difference.now}"


def _scans_json(scans: ScansAgain) -> dict[str, Any]:
    apart = {"difference": scans.difference, "corrections": first_step_difference(scans.again, scans.corrected)}
    runs = {name: figures_of(getattr(scans, name)) for name in ("then", "again", "corrected")}
    return {
        "identical": scans.difference is None,
        "code_changed": list(scans.changed),
        **{name: None if one is None else vars(one) for name, one in apart.items()},
        **runs,
    }


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
