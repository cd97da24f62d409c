"""What a strategy says goes to standard error, of a run so much and no more."""

from __future__ import annotations

import pytest

from barray.local.strategy_logs import LogPrinter
from barray.trading.results.logs import LogLine, Logs


def test_a_run_shows_a_thousand_lines_and_says_how_many_more_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    printer = LogPrinter("America/New_York")
    printer.show(Logs((LogLine(1_719_840_660_000_000_000, "AAPL", "first"), LogLine(None, "AAPL", "second")), 5))
    printer.show(Logs(tuple(LogLine(None, "MSFT", "more") for _ in range(2_000))))
    printer.close()
    printed, said = capsys.readouterr()
    assert printed == ""
    lines = said.splitlines()
    assert lines[:2] == ["AAPL 2024-07-01 09:31:00 EDT: first", "AAPL: second"]
    assert len(lines) == 1_001
    assert lines[-1] == "… 1,007 more lines of the strategy; result.logs has what is kept"


def test_a_silent_strategy_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    printer = LogPrinter("UTC")
    printer.show(Logs())
    printer.close()
    assert capsys.readouterr() == ("", "")
