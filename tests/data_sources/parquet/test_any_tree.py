"""Whatever lies in a tree, a symbol is loaded or stopped with a reason of ours that says what would mend it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from barray.actors.loading import load_range
from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.file import Columns
from barray.data_sources.parquet.layout import Layout
from barray.data_sources.parquet.source import ParquetSource
from barray.market.errors import BarrayError
from barray.market.interval import Interval
from barray.market.requirements import calendar_for
from barray.market.session_range import session_range_of
from barray.trading.engine.commands import LoadRange
from tests.data_sources.files import MONDAY, TUESDAY, outcomes
from tests.market.builders import MINUTE_NS, new_york_ns, require

LAYOUTS = [
    "{symbol}/{interval}/{date}.parquet",
    "{interval}/{symbol}/{month}.parquet",
    "{symbol}/{year}/{month}/{day}.parquet",
    "symbol={symbol}/date={date}/part-*.parquet",
    "{interval}/{date}.parquet",
    "{symbol}.parquet",
    "all.parquet",
]
OPEN = new_york_ns(TUESDAY, "09:30")
STAMPS = st.one_of(
    st.integers(0, 395).map(lambda minute: OPEN + minute * MINUTE_NS),
    st.sampled_from(
        [
            *(
                new_york_ns(day, at)
                for day in (MONDAY, TUESDAY)
                for at in ("00:00", "09:30", "10:00", "16:00", "23:59")
            ),
            OPEN + 1,
            0,
            -(2**62),
            2**63 - 1,
        ]
    ),
)
PRICES = st.one_of(
    st.just(100.0), st.sampled_from([0.0, -1.0, 1e-300, 1e308, float("nan"), float("inf"), None]), st.floats(1, 200)
)
STAMP_TYPES: list[Any] = [
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ("UTC", "Asia/Tokyo", None)),
    *(pa.date32(), pa.date64(), pa.int64(), pa.int32(), pa.uint64(), pa.float64(), pa.string(), pa.time64("us")),
]
NUMBER_TYPES: list[Any] = [
    *([pa.float64()] * 12),
    *(pa.float32(), pa.float16(), pa.int64(), pa.int8(), pa.uint32(), pa.bool_(), pa.string(), pa.null()),
    *(pa.decimal128(20, 4), pa.decimal128(38, 30), pa.decimal256(60, 4), pa.dictionary(pa.int8(), pa.float64())),
]
SYMBOL_TYPES: list[Any] = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.int64(), None]


def stored(stamps: list[int | None], kind: Any, unit_ns: int) -> pa.Array:
    """The stamps (UTC ns) as a column of some type; as whole numbers they count by `unit_ns`."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind):
        return cast(pa.array(stamps, pa.int64()).cast(pa.timestamp("ns")), kind)
    return cast(pa.array([None if ns is None else ns // unit_ns for ns in stamps], pa.int64()), kind)


def numbers(values: list[float | None], kind: Any) -> pa.Array:
    """The values as a column of some type."""
    column = pa.array(values, pa.float64())
    return column.dictionary_encode() if pa.types.is_dictionary(kind) else cast(column, kind)


def cast(column: pa.Array, kind: Any) -> pa.Array:
    """The column as the type, whatever that does to its values; as it is, where the type can't have them."""
    try:
        return column.cast(kind, safe=False)
    except pa.ArrowException:
        return column


@st.composite
def tables(draw: st.DrawFn, interval: str, days: tuple[date, ...]) -> pa.Table:
    """Good bars of these sessions, spoiled in up to three ways."""
    faults = draw(st.sets(st.sampled_from(["stamps", "times", "prices", "numbers", "symbols", "columns"]), max_size=3))
    step_ns = Interval.parse(interval).ns
    each = 4 if Interval.parse(interval).is_intraday else 1
    stamps: list[int | None] = [new_york_ns(day, "09:30") + nth * step_ns for day in days for nth in range(each)]
    if "stamps" in faults:
        stamps = list(draw(st.lists(st.one_of(STAMPS, st.none()), max_size=8)))
        if draw(st.booleans()):
            stamps = sorted({ns for ns in stamps if ns is not None})
    count = len(stamps)
    kind = draw(st.sampled_from(STAMP_TYPES)) if "times" in faults else pa.timestamp("us", "UTC")
    columns = {"timestamp": stored(stamps, kind, draw(st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000])))}
    number = draw(st.sampled_from(NUMBER_TYPES)) if "numbers" in faults else pa.float64()
    for name in ("open", "high", "low", "close", "volume"):
        some = draw(st.lists(PRICES, min_size=count, max_size=count)) if "prices" in faults else [100.0] * count
        columns[name] = numbers(some, number if draw(st.booleans()) else pa.float64())
    symbol = draw(st.sampled_from(SYMBOL_TYPES)) if "symbols" in faults else None
    if symbol is not None:
        texts = pa.array(draw(st.lists(st.sampled_from(["A", "B", None]), min_size=count, max_size=count)), pa.string())
        columns["symbol"] = pa.array([1] * count, symbol) if pa.types.is_integer(symbol) else texts.cast(symbol)
    if "columns" in faults:
        del columns[draw(st.sampled_from(sorted(columns)))]
    return pa.table(columns)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Layout, str, list[tuple[str, date, int, Any]], dict[str, Any]]:
    """A layout, the interval it is of, what lies at which place, and how files are written."""
    layout = Layout(draw(st.sampled_from(LAYOUTS)))
    interval = draw(st.sampled_from(["1m", "1m", "5m", "1h", "1d", "1d", "1w"]))
    junk = st.sampled_from([b"", b"PAR1", b"timestamp,open\n", "folder", "full folder"])

    def content(day: date) -> Any:
        if draw(st.integers(0, 11)) == 7:
            return draw(junk)
        bars = draw(tables(interval, (day,) if layout.period == "date" else (MONDAY, TUESDAY)))
        return bars if layout.has_symbol or "symbol" in bars.column_names else of_both(bars)

    more = draw(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from([MONDAY, TUESDAY]), st.just(1)), max_size=1))
    places = [*((symbol, day, 0) for symbol in "AB" for day in (MONDAY, TUESDAY)), *more]
    options = {
        "row_group_size": draw(st.sampled_from([1, 3, 100])),
        "write_statistics": draw(st.booleans()),
        "use_deprecated_int96_timestamps": draw(st.integers(0, 5)) == 3,
        "compression": draw(st.sampled_from(["none", "zstd"])),
    }
    return layout, interval, [(*place, content(place[1])) for place in places], options


def of_both(table: pa.Table) -> pa.Table:
    """The rows for A, then for B."""
    count = table.num_rows
    names = pa.array(["A"] * count + ["B"] * count, pa.string())
    return pa.concat_tables([table, table]).append_column("symbol", names)


def lay_out(
    root: Path, layout: Layout, interval: str, files: list[tuple[str, date, int, Any]], options: dict[str, Any]
) -> None:
    for symbol, day, part, content in files:
        values = {"symbol": symbol, "interval": interval, **layout.values_of(day)}
        names = Layout(layout.template.replace("*", str(part)))
        path = root.joinpath(*(str(names.known(nth, values)) for nth in range(len(names.components))))
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.mkdir()
            (path / "part-0.parquet").touch() if content == "full folder" else None
        else:
            try:
                pq.write_table(content, path, **options)
            except (pa.ArrowException, OverflowError):  # it can't be written: then it isn't there
                path.unlink(missing_ok=True)


SOURCES = st.fixed_dictionaries(
    {
        "timezone": st.sampled_from([None, "America/New_York", "UTC"]),
        "stamp": st.sampled_from(["start", "start", "start", "end"]),
        "unit": st.sampled_from([None, None, None, "s", "ns"]),
    }
)
OTHER = st.sampled_from([None, None, None, "1m", "5m", "1h", "1d", "1w"])


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="barray-test-"))
    yield made
    shutil.rmtree(made)


@pytest.mark.long
@given(trees(), SOURCES, st.sampled_from(["positive", "any"]), OTHER, st.integers(0, 1), st.integers(0, 1))
def test_a_symbol_of_any_tree_is_loaded_or_stopped_with_a_reason(
    folder: Path, tree: Any, columns: dict[str, Any], prices: Any, other: str | None, trailing: int, missing: int
) -> None:
    layout, interval, files, options = tree
    needs = require(other or interval, trailing_days=trailing, max_missing=missing)
    root = Path(tempfile.mkdtemp(dir=folder))
    lay_out(root, layout, interval, files, options)
    source = ParquetSource(str(root), layout=layout, columns=Columns(**columns), interval=Interval.parse(interval))
    source = ParquetSource(*source.__reduce__()[1][:-1], prices)  # type: ignore[index]
    for symbol, outcome in outcomes(source, "A", "B", requirements=needs).items():
        event("loaded" if outcome.data is not None else f"{outcome.codes[0]}{' on load' * outcome.on_load}")
        if outcome.data is not None:
            assert outcome.data.meets_session_config_requirements
            continue
        assert "source_error" not in outcome.codes, outcome.text
        assert "; " in outcome.text, outcome.text  # what would mend it
        assert "Traceback" not in outcome.text
        if outcome.on_load:
            assert symbol in outcome.text or ".parquet" in outcome.text
    _backtest(source, needs)
    shutil.rmtree(root)


def _backtest(source: ParquetSource, needs: Any) -> None:
    """The same over a range of sessions: what Step 0 lets through is loaded, or stopped by an error of ours."""
    calendar = calendar_for(needs, "XNYS", MONDAY, TUESDAY)
    days = session_range_of(needs, calendar, [MONDAY, TUESDAY])
    for symbol, found in DataManager((source,)).validate_range(["A", "B"], needs, days).items():
        result = found.result
        assert all(reason.code != "source_error" for reason in result.reasons), result.reason
        if result.can_proceed and result.base_interval is not None:
            skipped = {day: str(reasons[0]) for day, reasons in found.skipped.items()}
            with suppress(BarrayError):
                load_range(LoadRange(symbol, days, source, result.base_interval, skipped))
