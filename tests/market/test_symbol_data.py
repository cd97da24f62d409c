"""The four states that a symbol's metadata can be in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import product

import pytest

from barray.market.bars import Bar
from barray.market.interval import Interval
from barray.market.symbol_data import ADDED_BY, AdhocConflict, SymbolMetadata, SymbolSessionData, metadata_problems
from tests.market.builders import utc_ns

# SPEC 3, row by row: meets, added_by, auto_provisioned, upgraded_from_adhoc
TRUTH_TABLE = {
    (True, "config", False, False),
    (True, "strategy", False, False),
    (True, "scanner", False, False),
    (False, "adhoc", True, False),
    (True, "strategy", False, True),
    (True, "scanner", False, True),
}
ALL = list(product([True, False], ["config", "strategy", "scanner", "adhoc"], [True, False], [True, False]))


@pytest.mark.parametrize("flags", ALL)
def test_exactly_the_rows_of_the_truth_table_are_accepted(flags: tuple[bool, str, bool, bool]) -> None:
    assert (metadata_problems(*flags) == []) == (flags in TRUTH_TABLE)


def test_all_combinations_were_asked() -> None:
    assert len(set(ALL)) == 2 * 4 * 2 * 2
    assert set(ADDED_BY) == {flags[1] for flags in ALL}


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ((True, "config", True, False), "both True: exactly one is true"),
        ((False, "config", False, False), "both False: exactly one is true"),
        ((False, "config", True, False), "added_by is config while auto_provisioned is True"),
        ((True, "config", False, True), "upgraded_from_adhoc is true while added_by is config"),
        ((False, "adhoc", True, True), "upgraded_from_adhoc is true while meets_session_config_requirements is false"),
        ((True, "alien", False, False), "added_by is 'alien', not one of config, strategy, scanner, adhoc"),
        ((1, "config", False, False), "meets_session_config_requirements is 1, not true or false"),
        ((True, None, "no", None), "auto_provisioned is 'no', not true or false"),
        ((True, ["config"], False, False), "added_by is ['config']"),
    ],
)
def test_a_contradiction_is_named(flags: tuple, problem: str) -> None:
    assert any(problem in found for found in metadata_problems(*flags))


def test_metadata_is_in_the_symbols_data_and_nowhere_else() -> None:
    data = SymbolSessionData(
        "SPY", added_by="scanner", meets_session_config_requirements=True, session_date=date(2024, 6, 5)
    )
    assert isinstance(data, SymbolMetadata)
    assert list(data.metadata_dict()) == list(SymbolMetadata.__dataclass_fields__)


def test_session_time_is_written_in_utc() -> None:
    metadata = SymbolMetadata(added_at=datetime(2024, 6, 5, 14, 0, tzinfo=UTC))
    assert metadata.metadata_dict()["added_at"] == "2024-06-05T14:00:00Z"
    assert SymbolMetadata().metadata_dict()["added_at"] is None


def test_a_conflict_says_which_bar_and_what_became_of_it() -> None:
    bar = Bar(utc_ns("2024-06-05T13:30"), 1.0, 1.0, 1.0, 1.0, 1.0)
    minute = Interval.parse("1m")
    start = "1m bar at 2024-06-05T13:30:00Z was added adhoc; "
    assert str(AdhocConflict(minute, bar, bar)) == start + "the source's bar is used"
    assert str(AdhocConflict(minute, bar, None)) == start + "the source has no such bar, it was dropped"
