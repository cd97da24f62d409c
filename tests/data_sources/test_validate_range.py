"""Step 0 over many sessions at once, on real files: each session is judged as it would be alone."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barray.actors.loading import load_range
from barray.data_sources.alpaca.vendor import AlpacaAccount
from barray.data_sources.fetching.vendor import VendorAccount
from barray.data_sources.fetching.vendor_source import VendorSource
from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.source import ParquetSource
from barray.data_sources.schwab.vendor import SchwabAccount
from barray.data_sources.span_reader import SpanReader
from barray.market.errors import BarrayError, ConfigError
from barray.market.interval import Interval
from barray.market.requirements import SymbolRequirements
from barray.market.session_range import RangeValidation, SessionRange, session_range_of
from barray.trading.engine.commands import LoadRange
from barray.trading.engine.event_run import Outcome
from barray.trading.engine.symbol_run import summarise
from barray.trading.orders.broker import Account
from barray.trading.orders.fills import Fills
from tests.market.builders import calendar, walk

CALENDAR = calendar("XNYS", date(2024, 6, 10), date(2024, 7, 12))


def session_range(requirements: SymbolRequirements, first: date, last: date) -> SessionRange:
    return session_range_of(requirements, CALENDAR, CALENDAR.between(first, last))


def requirements(trailing_days: int = 0, max_missing_days: int = 0) -> SymbolRequirements:
    return SymbolRequirements((Interval.parse("1m"),), (), trailing_days, max_missing_days)


@pytest.mark.parametrize("trailing_days", [0, 1, 3])
def test_every_session_is_judged_as_if_it_were_alone(universe: Path, tmp_path: Path, trailing_days: int) -> None:
    (tmp_path / "TSLA").symlink_to(universe / "TSLA")
    (tmp_path / "AAPL/1m").mkdir(parents=True)
    for file in (universe / "AAPL/1m").iterdir():
        if file.stem not in ("2024-06-27", "2024-07-02"):
            (tmp_path / "AAPL/1m" / file.name).symlink_to(file)
    manager = DataManager((ParquetSource(str(tmp_path)),))
    wanted = requirements(trailing_days)
    days = session_range(wanted, date(2024, 6, 24), date(2024, 7, 3))
    found = manager.validate_range(["AAPL", "TSLA", "NOPE", "../x"], wanted, days)
    for symbol, validation in found.items():
        for row, day in zip(days.rows.tolist(), days.dates, strict=True):
            alone = manager.validate([symbol], wanted, days.context(row))[symbol]
            runs = validation.result.can_proceed and day not in validation.skipped
            assert runs == alone.can_proceed, (symbol, day, alone.reason)
    assert found["AAPL"].result.can_proceed == (trailing_days < 3)  # there are not three good days in a row before any
    assert found["AAPL"].result.data_source == "parquet"
    assert "has no data for NOPE" in found["NOPE"].result.reason
    assert not found["../x"].result.can_proceed


def linked(folder: Path, universe: Path, symbol: str, *days: int) -> ParquetSource:
    """A source named as its folder, with some days of July of the universe."""
    (folder / symbol / "1m").mkdir(parents=True)
    for day in days:
        name = f"{symbol}/1m/2024-07-{day:02}.parquet"
        (folder / name).symlink_to(universe / name)
    return ParquetSource(str(folder), folder.name)


def named(found: RangeValidation) -> list[tuple[str, int]]:
    return [(span.source, span.last.day) for span in found.spans]


def test_each_session_is_served_by_the_first_source_that_has_it(universe: Path, tmp_path: Path) -> None:
    some = linked(tmp_path / "some", universe, "TSLA", 2)
    manager = DataManager((some, ParquetSource(str(universe), "all")))
    wanted = requirements()
    found = manager.validate_range(["TSLA", "SPY"], wanted, session_range(wanted, date(2024, 7, 1), date(2024, 7, 3)))
    assert named(found["TSLA"]) == [("all", 1), ("some", 2), ("all", 3)]
    assert found["TSLA"].whole
    assert found["TSLA"].result.data_source == "some"
    assert found["TSLA"].result.sources_asked == ("some", "all")
    assert named(found["SPY"]) == [("all", 3)]


def test_a_stale_day_whose_history_is_gone_leaves_its_session_to_the_next_source(
    universe: Path, tmp_path: Path
) -> None:
    stale = linked(tmp_path / "stale", universe, "TSLA", 2)
    manager = DataManager((stale, ParquetSource(str(universe), "all")))
    wanted = requirements(trailing_days=2)
    days = session_range(wanted, date(2024, 7, 1), date(2024, 7, 3))
    found = manager.validate_range(["TSLA"], wanted, days)["TSLA"]
    assert named(found) == [("all", 3)]
    assert found.whole
    assert [reason.source for reason in found.result.reasons] == ["stale", "stale"], "lacks history, and the 1st"


def test_history_is_read_from_the_source_of_the_first_session_that_needs_it_if_that_has_it(
    universe: Path, tmp_path: Path
) -> None:
    wanted = requirements(trailing_days=1, max_missing_days=1)
    first = linked(tmp_path / "first", universe, "TSLA", 3)
    second = linked(tmp_path / "second", universe, "TSLA", 2, 5)
    days = session_range_of(wanted, CALENDAR, [date(2024, 7, 3), date(2024, 7, 5)])
    found = DataManager((first, second)).validate_range(["TSLA"], wanted, days)["TSLA"]
    assert named(found) == [("first", 3), ("second", 5)]
    with_the_second = requirements(trailing_days=2, max_missing_days=2)
    days = session_range_of(with_the_second, CALENDAR, [date(2024, 7, 3), date(2024, 7, 5)])
    found = DataManager((first, second)).validate_range(["TSLA"], with_the_second, days)["TSLA"]
    assert named(found) == [("first", 1), ("second", 2), ("first", 3), ("second", 5)]


def test_what_no_source_serves_is_left_out_with_what_each_said(universe: Path, tmp_path: Path) -> None:
    one, two = (linked(tmp_path / name, universe, "TSLA", day) for name, day in (("one", 1), ("two", 2)))
    wanted = requirements()
    days = session_range(wanted, date(2024, 7, 1), date(2024, 7, 3))
    found = DataManager((one, two)).validate_range(["TSLA"], wanted, days)["TSLA"]
    assert not found.whole
    assert found.result.can_proceed
    [(day, reasons)] = found.skipped.items()
    assert day == date(2024, 7, 3)
    assert [(reason.source, reason.code) for reason in reasons] == [
        ("one", "no_session_data"),
        ("two", "no_session_data"),
    ]


def test_sources_of_one_range_share_their_interval(universe: Path, tmp_path: Path) -> None:
    wanted = SymbolRequirements((Interval.parse("5m"),))
    days = session_range(wanted, date(2024, 7, 1), date(2024, 7, 2))
    minutes = linked(tmp_path / "minutes", universe, "TSLA", 1)
    (tmp_path / "fives/TSLA/5m").mkdir(parents=True)
    fives = ParquetSource(str(tmp_path / "fives"), "fives")
    bars = derived(universe, days)
    pq.write_table(bars, tmp_path / "fives/TSLA/5m/2024-07-02.parquet")
    found = DataManager((minutes, fives)).validate_range(["TSLA"], wanted, days)["TSLA"]
    [(day, reasons)] = found.skipped.items()
    assert day == date(2024, 7, 2)
    assert [reason.code for reason in reasons] == ["no_session_data", "mixed_sources"]
    assert reasons[1].message == "has 5m bars, while minutes with 1m bars serves other sessions of the range"


def derived(universe: Path, days: SessionRange) -> pa.Table:
    """TSLA's 5m bars of 2 July, as a file has them."""
    minutes = pq.read_table(universe / "TSLA/1m/2024-07-02.parquet")
    return minutes.take(list(range(0, len(minutes), 5)))


def vendor_source(folder: Path, name: str, account: VendorAccount, day: date) -> VendorSource:
    """A vendor's source whose store holds a symbol's minutes of one session."""
    made = VendorSource(name, account, str(folder), int(CALENDAR.sessions.close_ns[-1]))
    row = CALENDAR.session(day)
    open_ns, close_ns = int(CALENDAR.sessions.open_ns[row]), int(CALENDAR.sessions.close_ns[row])
    bars = walk(np.arange(open_ns, close_ns, 60 * 10**9), seed=1)
    made.store.write("TSLA", Interval.parse("1m"), open_ns, close_ns, bars, close_ns)
    return made


@pytest.mark.parametrize(
    ("account", "alike"),
    [
        (SchwabAccount(Path("token.json")), False),
        (AlpacaAccount("sip", "raw"), False),
        (AlpacaAccount("iex", "split"), False),
        (AlpacaAccount("iex", "raw"), True),
    ],
)
def test_two_datasets_never_make_one_range(tmp_path: Path, account: VendorAccount, alike: bool) -> None:
    monday, tuesday = date(2024, 7, 1), date(2024, 7, 2)
    raw = vendor_source(tmp_path / "a", "raw", AlpacaAccount("iex", "raw"), monday)
    other = vendor_source(tmp_path / "b", "other", account, tuesday)
    wanted = requirements()
    days = session_range(wanted, monday, tuesday)
    found = DataManager((raw, other)).validate_range(["TSLA"], wanted, days)["TSLA"]
    assert found.whole == alike
    if not alike:
        assert found.skipped[tuesday][-1].code == "mixed_sources"
        assert f"has {other.account.dataset.folder} bars, while raw with alpaca-iex-raw" in str(found.skipped[tuesday])


def test_files_of_ones_own_go_with_a_vendors_bars(universe: Path, tmp_path: Path) -> None:
    monday, tuesday = date(2024, 7, 1), date(2024, 7, 2)
    raw = vendor_source(tmp_path / "a", "raw", AlpacaAccount("iex", "raw"), monday)
    own = linked(tmp_path / "own", universe, "TSLA", 2)
    wanted = requirements()
    found = DataManager((raw, own)).validate_range(["TSLA"], wanted, session_range(wanted, monday, tuesday))["TSLA"]
    assert named(found) == [("raw", 1), ("own", 2)]


def test_each_session_is_read_from_its_source_and_lineage_says_so(universe: Path, tmp_path: Path) -> None:
    some = linked(tmp_path / "some", universe, "TSLA", 2)
    manager = DataManager((some, ParquetSource(str(universe), "all")))
    wanted = requirements(trailing_days=1, max_missing_days=1)
    days = session_range(wanted, date(2024, 7, 1), date(2024, 7, 3))
    found = manager.validate_range(["TSLA"], wanted, days)["TSLA"]
    minute = Interval.parse("1m")
    mixed = load_range(LoadRange("TSLA", days, manager.reader(found), minute, {}))
    alone = load_range(LoadRange("TSLA", days, manager.source("all"), minute, {}))
    assert mixed.base.bars.equals(alone.base.bars)
    (tmp_path / "some/TSLA/1m/2024-07-02.parquet").unlink()
    with pytest.raises(BarrayError, match="some"):
        manager.reader(found).read_bars("TSLA", minute, days.loaded.take(slice(2, 3)))
    result = summarise(mixed, Account(), Outcome(Fills.of([])), days.grid(minute)[0], 0.0)
    assert result.lineage is not None
    assert result.lineage.source == "all + some"
    shares = [(one.source, one.bars, str(np.datetime64(one.last_ns, "ns"))[:16]) for one in result.sources]
    assert shares == [
        ("all", 2 * 390, "2024-07-01T19:59"),
        ("some", 390, "2024-07-02T19:59"),
        ("all", 210, "2024-07-03T16:59"),
    ]


def test_a_symbol_with_nothing_says_what_the_first_session_lacks(universe: Path) -> None:
    manager = DataManager((ParquetSource(str(universe)),))
    wanted = requirements(trailing_days=2)
    found = manager.validate_range(["GME"], wanted, session_range(wanted, date(2024, 7, 1), date(2024, 7, 2)))["GME"]
    assert not found.result.can_proceed
    assert "has no history; 2 sessions" in found.result.reason
    assert len(found.skipped) == 2


def test_a_range_knows_its_history_its_grid_and_its_parts() -> None:
    days = session_range(requirements(trailing_days=2), date(2024, 7, 2), date(2024, 7, 5))  # the 4th is a holiday
    assert [day.isoformat() for day in days.dates] == ["2024-07-02", "2024-07-03", "2024-07-05"]
    assert days.loaded.dates[0].item() == date(2024, 6, 28)
    ends, numbers = days.grid(Interval.parse("1m"))
    assert [int((numbers == number).sum()) for number in range(3)] == [390, 210, 390]
    assert int(ends[-1]) == int(days.sessions.close_ns[days.rows[-1]])
    parts = days.split(2)
    assert [day for part in parts for day in part.dates] == days.dates
    assert parts[1].loaded.dates[0].item() == date(2024, 7, 2)
    assert len(days.split(9)) == 3


def test_a_range_of_no_session_or_too_little_calendar_is_refused() -> None:
    with pytest.raises(ConfigError, match="no session to run"):
        session_range_of(requirements(), CALENDAR, [])
    with pytest.raises(ConfigError, match="not enough sessions before 2024-06-11"):
        session_range_of(requirements(trailing_days=5), CALENDAR, [date(2024, 6, 11)])


def test_bars_of_several_sources_may_be_what_those_of_any_may(tmp_path: Path) -> None:
    stocks, spreads = ParquetSource(str(tmp_path), "stocks"), ParquetSource(str(tmp_path), "spreads", prices="any")
    monday, tuesday = date(2024, 7, 1), date(2024, 7, 2)
    assert SpanReader(((monday, stocks), (tuesday, spreads))).prices == "any"
    assert SpanReader(((monday, stocks), (tuesday, stocks))).prices == "positive"


def test_a_file_without_rows_costs_its_own_session_alone(universe: Path, tmp_path: Path) -> None:
    source = linked(tmp_path / "own", universe, "TSLA", 1, 2, 3)
    empty = tmp_path / "own/TSLA/1m/2024-07-02.parquet"
    table = pq.read_table(empty)
    empty.unlink()
    pq.write_table(table.slice(0, 0), empty)
    wanted = requirements()
    days = session_range(wanted, date(2024, 7, 1), date(2024, 7, 3))
    loaded = load_range(LoadRange("TSLA", days, source, Interval.parse("1m"), {}))
    assert list(loaded.skipped) == ["2024-07-02"]
    assert "2024-07-02.parquet has no rows; write its bars, or remove it" in loaded.skipped["2024-07-02"]
    assert len(loaded.traded) == 2
