"""`barray sample-data --universe`: thousands of symbols to scan, and the config that reads them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from barray.cli.console import print_json, print_table, stdout
from barray.sample.listed import write_listed_universe


def write_universe(
    directory: Path,
    symbols: int,
    end: date,
    sessions: int,
    days: int,
    seed: int,
    *,
    file_per_symbol: bool,
    as_json: bool,
) -> None:
    """Write it, and say what there is. ConfigError for what cannot be meant or written."""
    written = write_listed_universe(
        directory, symbols=symbols, end=end, sessions=sessions, days=days, seed=seed, file_per_symbol=file_per_symbol
    )
    first, last = written.sessions[0], written.sessions[-1]
    if as_json:
        print_json(
            {
                "symbols": len(written.listings),
                "sessions": list(map(str, written.sessions)),
                "days": [str(written.days[0]), str(written.days[-1])],
                "broken": dict(written.broken),
                "files": written.files,
                "bars": written.bars,
            }
        )
        return
    what = f"{written.bars:,} minutes from {first} to {last}, daily bars from {written.days[0]}"
    stdout.print(f"{len(written.listings):,} symbols, {what}, in {directory}", highlight=False, soft_wrap=True)
    turned = [row for row in written.listings if row.start or row.end]
    text = (
        f"{len(turned)} of them come, go or are renamed in between: {directory / 'listings.csv'}; sectors.csv beside it"
    )
    stdout.print(text, highlight=False, soft_wrap=True)
    print_table("Broken on the last date", ("symbol", "fault"), sorted(written.broken.items()))
    stdout.print(f"# Read it with this in a config:\n{written.sources}", markup=False, highlight=False, soft_wrap=True)
