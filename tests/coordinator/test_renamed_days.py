"""Renamed companies in scans and as full symbols: as if each had always been called what it is called that day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barray.actors.loading import load_range
from barray.coordinator.config.file import as_config
from barray.coordinator.prepare import prepare_run
from barray.coordinator.summary import SessionSummary
from barray.market.errors import ConfigError, DataError
from barray.market.interval import Interval
from barray.market.symbol_data import SymbolSessionData
from barray.sample.universe import write_sample_data
from barray.trading.engine.commands import LoadRange
from barray.trading.strategy.source import StrategySource
from tests.coordinator.test_scanned_days import Backtested
from tests.coordinator.traded import CALENDAR, TradedSession, settings_of
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
SECOND, THIRD = date(2024, 7, 2), date(2024, 7, 3)
COMPANIES = {
    "AAA": ((None, "AAA"), (SECOND, "ZZZ")),
    "BBB": ((None, "BBB"), (THIRD, "AAA")),  # which was another's
    "CCC": ((None, "CCC"), (date(2024, 6, 28), "C2"), (THIRD, "CCC3")),
    "DDD": ((None, "DDD"),),
    "EEE": ((None, "EEE"), (SECOND, "BBB2")),
}
LISTINGS = """symbol,start,end,renamed_to
AAA,,2024-07-01,ZZZ
ZZZ,2024-07-02,,
BBB,,2024-07-02,AAA
AAA,2024-07-03,,
CCC,,2024-06-27,C2
C2,2024-06-28,2024-07-02,CCC3
CCC3,2024-07-03,,
DDD,,,
EEE,,2024-07-01,BBB2
BBB2,2024-07-02,,
"""
LAYOUTS = ("{symbol}/{interval}/{date}.parquet", "{interval}/{date}.parquet")
TRADES = (
    HEAD
    + """
class Trades(Strategy):
    def on_window(self, view):
        for symbol in view.symbols:
            if view.minute % 3 == 0 and not view.positions.get(symbol):
                view.order(symbol, 5, stop_loss=round(float(view.close[view.index(symbol)]) * 0.995, 2))
            elif view.minute % 50 == 0:
                view.order_target(symbol, 0)
"""
)
HELD = {
    "universe": ["AAA"],
    "at": "10:00",
    "where": "close(1) > 0",
    "rank": "close(1)",
    "promote": 1,
}
KEEPS = """
class Keeps(Strategy):
    def on_window(self, view):
        if "AAA" in view.symbols and not view.positions:
            view.order("AAA", 5)
"""


def name_on(company: str, day: date) -> str:
    return [name for first, name in COMPANIES[company] if first is None or first <= day][-1]


def stored(root: Path, layout: str, named: Callable[[str, date], str]) -> Path:
    """A tree in which each day's bars of a company stand under a name."""
    write_sample_data(root / "made", symbols=tuple(COMPANIES), start=date(2024, 6, 26), end=THIRD, seed=5)
    tables: dict[tuple[str, str], list[pa.Table]] = {}
    for path in sorted((root / "made").rglob("*.parquet")):
        company, _, day = path.relative_to(root / "made").with_suffix("").parts
        name = named(company, date.fromisoformat(day))
        table = pq.ParquetFile(path).read()
        if "symbol" not in layout:
            table = table.add_column(0, "symbol", pa.array([name] * len(table)))
        place = layout.format(symbol=name, interval="1m", date=day)
        tables.setdefault((place, day), []).append(table)
    for (place, _), parts in tables.items():
        path = root / "bars" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(parts).sort_by("symbol" if "symbol" not in layout else "timestamp"), path)
    return root / "bars"


@pytest.fixture(scope="module", params=LAYOUTS, ids=["one file a symbol", "many symbols a file"])
def trees(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[date | None, Path]:
    """By day the companies as they are called then, on all days; without one, each day's by that day's names."""
    found: dict[date | None, Path] = {}
    for day in (SECOND, THIRD):
        found[day] = stored(tmp_path_factory.mktemp("plain"), request.param, lambda one, _, day=day: name_on(one, day))
    found[None] = stored(tmp_path_factory.mktemp("named"), request.param, name_on)
    (found[None].parent / "listings.csv").write_text(LISTINGS)
    return found


def told(root: Path, *symbols: str, **more: Any) -> dict[str, Any]:
    shared = next(root.iterdir()).name == "1m"
    source = {"type": "parquet", "root": str(root), "layout": LAYOUTS[1] if shared else LAYOUTS[0]}
    listings = root.parent / "listings.csv"
    settings = settings_of(root, *symbols, sources=[source], history={"trailing_days": 3}, **more)
    return {**settings, "listings": str(listings)} if listings.exists() else settings


def scanned(root: Path, day: date, *symbols: str) -> tuple[SessionSummary, dict[str, SymbolSessionData]]:
    scan = {
        "name": "movers",
        "universe": "everything",
        "at": {"every": "15m", "since": "09:45"},
        "where": ["gap > -1", "relative_volume(3) > 0", "RSI(14)@5m > 0", "close(2) > 0"],
        "rank": "relative_volume(3)",
        "keep": {"top": 4},
        "promote": {"full": 3, "evict": "rank"},
        "carry": ["SMA(30)@5m"],
    }
    session = TradedSession(told(root, *symbols, session={"start": day.isoformat()}, scans=[scan]), TRADES)

    async def go() -> tuple[SessionSummary, dict[str, SymbolSessionData]]:
        await session.begin()
        await session.coordinator.advance_to()
        return session.coordinator.summary(), {one.symbol: one for one in await session.coordinator.snapshots()}

    return asyncio.run(go())


@pytest.mark.parametrize("day", [SECOND, THIRD])
def test_scans_and_promoted_symbols_see_what_was_stored_under_earlier_names(
    trees: dict[date | None, Path], day: date
) -> None:
    (plain, own), (renamed, mine) = scanned(trees[day], day, "DDD"), scanned(trees[None], day, "DDD")
    assert plain.scanned is not None
    assert renamed.scanned is not None
    assert renamed.scanned.kept == plain.scanned.kept
    assert renamed.scanned.instructions == plain.scanned.instructions
    assert len({one.symbol for one in plain.scanned.instructions}) > 3
    assert plain.trading is not None
    assert renamed.trading is not None
    assert renamed.trading.pages == plain.trading.pages
    assert mine.keys() == own.keys()
    for symbol, theirs in own.items():
        for interval, bars in theirs.bars.items():
            assert mine[symbol].bars[interval].bars.equals(bars.bars)
        for name, series in theirs.indicators.items():
            for output, values in series.values.items():
                np.testing.assert_array_equal(mine[symbol].indicators[name].values[output], values)


def test_a_symbol_of_the_config_is_who_is_called_so_on_the_last_day(trees: dict[date | None, Path]) -> None:
    names = [name_on(company, THIRD) for company in COMPANIES]
    loaded = []
    for root in (trees[THIRD], trees[None]):
        dates = {"start": "2024-07-01", "end": "2024-07-03"}
        config = as_config(told(root, *names, session=dates), strategy_given=True)
        run = prepare_run(config, lambda *_: CALENDAR, StrategySource("made_up.py", TRADES))
        manager = config.data_manager
        validated = manager.validate_range(names, run.requirements, run.session_range)
        assert all(found.whole for found in validated.values())
        loaded.append(
            {
                symbol: load_range(
                    LoadRange(symbol, run.session_range, manager.reader(found), Interval.parse("1m"), {})
                )
                for symbol, found in validated.items()
            }
        )
    for symbol in names:
        assert loaded[0][symbol].base.bars.equals(loaded[1][symbol].base.bars)


@pytest.mark.parametrize(
    ("reused", "error"), [(False, None), (True, "AAA is held, and is another company's from 2024-07-03 on")]
)
def test_a_position_goes_on_under_its_name_until_that_is_anothers(
    trees: dict[date | None, Path], reused: bool, error: str | None
) -> None:
    settings = told(
        trees[None], session={"start": "2024-07-01", "end": "2024-07-03"}, scans=[HELD], account={"shared": True}
    )
    if not reused:
        table = trees[None].parent / "once.csv"
        table.write_text(
            LISTINGS.replace("BBB,,2024-07-02,AAA", "BBB,,2024-07-02,NOBODY").replace("AAA,2024-07-03,,\n", "")
        )
        settings["listings"] = str(table)
    backtest = Backtested(settings, HEAD + KEEPS)
    backtest.go()
    assert [one.error for one in backtest.outcomes[:2]] == [None, None]
    last = backtest.outcomes[-1]
    assert (last.error or "").startswith(error or "")
    assert error is None or last.error is not None
    assert backtest.run.positions == {"AAA"}
    closes = {row: backtest.get(["AAA"], row)["AAA"] for row in backtest.prepared.session_range.rows.tolist()[:2]}
    plain = as_config(told(trees[SECOND], "ZZZ")).data_manager.sources[0]
    bars = plain.read_bars("ZZZ", Interval.parse("1m"), CALENDAR.sessions)
    for data in closes.values():
        assert not isinstance(data, str)
        assert np.isin(data.base.bars.close[-390:], bars.close).all()


def test_listings_that_can_not_be_read_or_followed_are_told_of(
    trees: dict[date | None, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = told(trees[None], "AAA", session={"start": "2024-07-03"})
    with pytest.raises(ConfigError, match="No such file"):
        as_config(settings | {"listings": str(tmp_path / "none.csv")}).data_manager  # noqa: B018
    (tmp_path / "bad.csv").write_text("symbol,start,end,renamed_to\nA,,,B\n")
    with pytest.raises(DataError, match="without an end"):
        as_config(settings | {"listings": str(tmp_path / "bad.csv")})
    vendor = {"type": "schwab", "token": str(tmp_path / "token"), "store": str(tmp_path / "store")}
    assert not as_config({**settings, "sources": [*settings["sources"], vendor]}).renames
    assert "bars of schwab do not follow" in caplog.text
