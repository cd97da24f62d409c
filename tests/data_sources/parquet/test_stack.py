"""Bars of many symbols at once are those that each is given alone, and so are the reasons, whatever the tree."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.data_sources.parquet.stack import read_stack
from barray.market.bars import COLUMNS, Bars
from barray.market.calendar import Sessions
from barray.market.errors import BarrayError, DataError
from barray.market.interval import Interval
from barray.market.universe.stack import Stack
from barray.market.validation import Reason
from tests.data_sources.files import DAILY, MINUTE, MONDAY, TUESDAY, WEDNESDAY, minutes, named, write
from tests.examples import at_most
from tests.market.builders import MINUTE_NS, assert_same_arrays, calendar, expected_stamps, walk

SESSIONS = calendar("XNYS", MONDAY, WEDNESDAY).sessions.take(slice(0, 3))
SHARED = ("{interval}/{date}.parquet", "{interval}/{month}.parquet", "all.parquet", "{interval}/{date}/*.parquet")
EACH = ("{symbol}/{interval}/{date}.parquet", "{interval}/{date}/{symbol}.parquet", "{symbol}.parquet",
        "{interval}/{year}/{month}/{day}/{symbol}.parquet", "{symbol}/{symbol}_{month}.parquet")  # fmt: skip
FAULTS = ("nan", "negative", "unsorted", "twice", "no stamp", "no price", "far stamp", "outside")


def table_of(bars: Bars, symbol: str | None, fault: str | None, kind: str) -> pa.Table:
    """The bars as a file has them, with a fault in the middle, stamps and prices of some kind."""
    stamps, close = bars.start_ns.copy(), bars.close.copy()
    i = len(bars) // 2
    if fault == "unsorted" and i:
        stamps[[i - 1, i]] = stamps[[i, i - 1]]
    elif fault == "twice" and i:
        stamps[i] = stamps[i - 1]
    elif fault == "outside":
        stamps[-1] += 6 * 3_600 * 1_000_000_000
    close[i] = {"nan": np.nan, "negative": -1.0}.get(str(fault), close[i])
    whole = (stamps // 1_000).tolist()
    whole[i] = {"no stamp": None, "far stamp": 2**60}.get(str(fault), whole[i])
    columns = {name: pa.array(getattr(bars, name)) for name in COLUMNS}
    prices = [None if fault == "no price" and row == i else price for row, price in enumerate(close.tolist())]
    columns["close"] = pa.array(prices, pa.float64())
    if kind == "decimal":
        columns["open"] = pa.array([Decimal(f"{x:.2f}") for x in bars.open.tolist()], pa.decimal128(18, 4))
    instant = pa.array(whole, pa.int64())
    instant = instant if kind == "epoch" else instant.cast(pa.timestamp("us", "UTC"))
    found = pa.table({"timestamp": instant, **columns})
    if symbol is None:
        return found
    texts = pa.array([symbol] * len(bars))
    return found.add_column(1, "symbol", texts.dictionary_encode() if kind == "dictionary" else texts)


@st.composite
def universes(draw: st.DrawFn) -> dict[str, tuple[Bars, str | None]]:
    found = {}
    for i in range(draw(st.integers(1, 6), label="symbols")):
        seed = draw(st.integers(0, 2**32 - 1), label="seed")
        random = np.random.default_rng(seed)
        stamps = np.concatenate([expected_stamps(SESSIONS, row)[::39] for row in range(3)])
        stamps = stamps[random.random(len(stamps)) >= draw(st.sampled_from([0.0, 0.3, 0.9]), label="holes")]
        fault = draw(st.sampled_from([None, None, None, *FAULTS]), label="fault")
        found[f"S{i}"] = walk(stamps, seed), fault
    return found


def write_tree(root: Path, template: str, universe: dict[str, tuple[Bars, str | None]], kind: str, order: str) -> None:
    """The universe in the layout; `order`: how the rows of a file of many symbols lie."""
    layout, files = Layout(template), {}
    for symbol, (bars, fault) in universe.items():
        periods = [
            layout.period_of(np.datetime64(ns, "ns").astype("datetime64[D]").item()) for ns in bars.start_ns.tolist()
        ]
        for period in dict.fromkeys(periods):
            own = bars.take(np.array([one == period for one in periods]))
            rows = table_of(own, None if layout.has_symbol else symbol, fault, kind)
            day = layout.days_of(period)[0] if period else MONDAY
            values = {"symbol": symbol, "interval": "1m", **layout.values_of(day)}
            path = "/".join(str(layout.known(i, values) or "*") for i in range(len(layout.components)))
            files.setdefault(path, []).append(rows)
    for path, tables in files.items():
        whole = pa.concat_tables(tables).unify_dictionaries()
        if order == "by time":
            whole = whole.take(np.argsort(whole["timestamp"].cast(pa.int64()).fill_null(0).to_numpy(), kind="stable"))
        elif order == "twice over":  # each symbol in two places
            whole = whole.take(pa.array([*range(0, len(whole), 2), *range(1, len(whole), 2)]))
        if "*" in path:
            half = len(whole) // 2
            write(root / path.replace("*", "part-0.parquet"), whole.slice(half), row_group_size=7)
            write(root / path.replace("*", "part-1.parquet"), whole.slice(0, half), row_group_size=7)
        else:
            write(root / path, whole, row_group_size=7 if len(tables) % 2 else 100_000)


def alone(
    source: ParquetSource, symbols: list[str], sessions: Sessions, interval: Interval = MINUTE
) -> tuple[dict[str, Bars], dict[str, Reason]]:
    """What each symbol is given by itself."""
    bars: dict[str, Bars] = {}
    reasons: dict[str, Reason] = {}
    for symbol in symbols:
        try:
            bars[symbol] = source.read_bars(symbol, interval, sessions)
        except BarrayError as error:
            reasons[symbol] = Reason.of(error, source.name)
    return {symbol: own for symbol, own in bars.items() if len(own)}, reasons


def assert_same(stack: Stack, bars: dict[str, Bars]) -> None:
    assert stack.symbols == tuple(sorted(bars))
    for symbol, own in bars.items():
        assert_same_arrays(own, stack.bars_of(symbol), symbol)


def source_of(root: Path | str, template: str, **settings: object) -> ParquetSource:
    named_by_setting = {} if "{interval}" in template else {"interval": MINUTE}
    return ParquetSource(str(root), layout=Layout(template), **named_by_setting, **settings)  # type: ignore[arg-type]


@pytest.mark.long
@settings(deadline=None, max_examples=at_most(60))
@given(
    universe=universes(),
    template=st.sampled_from([*SHARED, *EACH]),
    kind=st.sampled_from(["plain", "dictionary", "decimal", "epoch"]),
    order=st.sampled_from(["by symbol", "by time", "twice over"]),
    days=st.sampled_from([slice(0, 3), slice(1, 2), slice(1, 3)]),
    at_end=st.booleans(),
    threads=st.sampled_from([1, 2]),
    some=st.booleans(),
)
def test_every_symbol_of_a_stack_is_what_it_is_given_alone(
    universe: dict[str, tuple[Bars, str | None]],
    template: str,
    kind: str,
    order: str,
    days: slice,
    at_end: bool,
    threads: int,
    some: bool,
) -> None:
    sessions = SESSIONS.take(days)
    asked = [*list(universe)[::2], "NONE"] if some else list(universe)
    with tempfile.TemporaryDirectory() as root:
        write_tree(Path(root), template, universe, kind, order)
        columns = Columns(stamp="end" if at_end else "start")
        bars, reasons = alone(source_of(root, template, columns=columns), asked, sessions)
        source = source_of(root, template, columns=columns)
        try:
            stack, found = read_stack(source, MINUTE, sessions, asked if some else None, threads=threads)
        except BarrayError as error:
            told = Reason.of(error)
        else:
            told = None
        if told is not None:  # what is wrong with a file of many is wrong for all
            assert not source.layout.has_symbol
            assert reasons.keys() == set(asked)
            assert told in reasons.values()
            return
        fewer, _ = read_stack(source, MINUTE, sessions, asked, ("close", "volume"), threads=threads)
    if not some:  # nobody asked for a symbol that has no file of these sessions
        reasons = {symbol: reason for symbol, reason in reasons.items() if symbol in found or reason.code != "no_data"}
    assert found == reasons
    assert_same(stack, bars)
    for symbol in fewer.symbols:
        assert np.array_equal(fewer.bars_of(symbol).close, bars[symbol].close, equal_nan=True)
        assert np.isnan(fewer.bars_of(symbol).high).all()


def test_days_and_how_they_are_stamped_are_read_as_for_one(tmp_path: Path) -> None:
    """B's bar of Tuesday is stamped with the close, where the others' are with some midnight or the open."""
    opens, closes = SESSIONS.open_ns, SESSIONS.close_ns
    midnights = SESSIONS.dates.astype("datetime64[ns]").astype(np.int64)
    tape = {"A": midnights, "B": np.array([opens[0], closes[1]]), "C": opens[1:], "D": midnights + 4 * 3_600 * 10**9}
    tables = [table_of(walk(stamps, seed), symbol, None, "plain") for seed, (symbol, stamps) in enumerate(tape.items())]
    write(tmp_path / "1d" / "2024-07.parquet", pa.concat_tables(tables))
    source = source_of(tmp_path, "{interval}/{month}.parquet")
    bars, reasons = alone(source, list(tape), SESSIONS, DAILY)
    stack, found = read_stack(source, DAILY, SESSIONS)
    assert found == reasons
    assert {symbol: reason.code for symbol, reason in reasons.items()} == {"B": "other_edge"}
    assert_same(stack, bars)
    assert len(stack) == 3 + 2 + 3


def test_a_bad_file_of_many_is_told_once_and_one_of_a_symbol_stops_that_symbol(tmp_path: Path) -> None:
    shared, each = tmp_path / "shared", tmp_path / "each"
    whole = pa.concat_tables([named(symbol, minutes(TUESDAY)) for symbol in ("A", "B")])
    path = write(shared / "1m" / f"{TUESDAY}.parquet", whole)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"2024-07-02\.parquet is no readable Parquet file") as caught:
        read_stack(source_of(shared, "{interval}/{date}.parquet"), MINUTE, SESSIONS)
    assert caught.value.symbol is None
    for day in (MONDAY, TUESDAY):
        for symbol in ("GOOD", "LATE", "TORN", "COLUMNS", "FOLDER", "OTHER", "TYPES", "EMPTY", "NAIVE"):
            write(each / symbol / "1m" / f"{day}.parquet", minutes(day))
    (each / "LATE" / "1m" / f"{MONDAY}.parquet").unlink()
    torn = each / "TORN" / "1m" / f"{TUESDAY}.parquet"
    torn.write_bytes(torn.read_bytes()[:200])
    write(each / "COLUMNS" / "1m" / f"{TUESDAY}.parquet", minutes(TUESDAY).drop_columns(["volume"]))
    (each / "FOLDER" / "1m" / f"{TUESDAY}.parquet").unlink()
    (each / "FOLDER" / "1m" / f"{TUESDAY}.parquet").mkdir()
    write(each / "OTHER" / "1m" / f"{TUESDAY}.parquet", named("A", minutes(TUESDAY)))
    prices = pa.array([Decimal("1.25")] * 5, pa.decimal128(12, 4))
    write(each / "TYPES" / "1m" / f"{TUESDAY}.parquet", minutes(TUESDAY).set_column(2, "high", prices))
    write(each / "EMPTY" / "1m" / f"{TUESDAY}.parquet", minutes(TUESDAY).slice(0, 0))
    naive = minutes(TUESDAY)
    naive = naive.set_column(0, "timestamp", naive["timestamp"].cast(pa.timestamp("us")))
    write(each / "NAIVE" / "1m" / f"{TUESDAY}.parquet", naive)
    source = source_of(each, "{symbol}/{interval}/{date}.parquet")
    sessions, symbols = SESSIONS.take(slice(0, 2)), [*sorted(path.name for path in each.iterdir()), "NOBODY", "../up"]
    bars, reasons = alone(source, symbols, sessions)
    stack, found = read_stack(source, MINUTE, sessions, symbols)
    assert found == reasons
    assert {symbol: reason.code for symbol, reason in reasons.items()} == {
        "TORN": "unreadable_file", "COLUMNS": "wrong_columns", "FOLDER": "is_folder", "OTHER": "other_symbol",
        "EMPTY": "empty_file", "NAIVE": "naive_stamps", "NOBODY": "no_data", "../up": "no_data",
    }  # fmt: skip
    assert_same(stack, bars)
    assert stack.symbols == ("GOOD", "LATE", "TYPES")


@pytest.mark.parametrize("template", ["{interval}/{date}.parquet", "{symbol}/{interval}/{date}.parquet"])
def test_rows_after_the_time_that_is_asked_for_are_left_out(tmp_path: Path, template: str) -> None:
    days = (TUESDAY, WEDNESDAY)
    for day in days:
        if "{symbol}" in template:
            write(tmp_path / "A" / "1m" / f"{day}.parquet", minutes(day, count=30))
            write(tmp_path / "B" / "1m" / f"{day}.parquet", minutes(day, first="09:50", count=30))
        else:
            both = [named("A", minutes(day, count=30)), named("B", minutes(day, first="09:50", count=30))]
            write(tmp_path / "1m" / f"{day}.parquet", pa.concat_tables(both))
    source = source_of(tmp_path, template)
    stack, _ = read_stack(source, MINUTE, SESSIONS.take(slice(1, 3)), first_ns=10 * MINUTE_NS)
    assert stack.symbols == ("A",)
    opens = SESSIONS.open_ns[1:3]
    assert stack.bars.start_ns.tolist() == [int(open_ns) + i * MINUTE_NS for open_ns in opens for i in range(10)]


def test_symbols_are_those_that_the_tree_names(tmp_path: Path) -> None:
    for symbol in ("B", "A"):
        write(tmp_path / "1m" / str(MONDAY) / f"{symbol}.parquet", minutes(MONDAY))
    source = source_of(tmp_path, "{interval}/{date}/{symbol}.parquet")
    assert source.symbols() == {"A", "B"}
    assert read_stack(source, MINUTE, SESSIONS)[0].symbols == ("A", "B")
