"""What a strategy sees of a table: the newest row that is known by now, in all forms, and never anything later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.market.errors import ConfigError
from barray.market.known_table import KnownTable, SymbolTable, tables_of
from barray.market.table import Column
from barray.trading.checks.causality import lookahead
from barray.trading.engine.symbol_run import LoadedRange, run_loaded
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.signals import Signals
from barray.trading.strategy.view import WindowView
from barray.trading.sweeps.evaluate import evaluate_sets
from tests.trading.sweep_data import loaded_range, plan_of
from tests.trading.windows import Floor, lay, plan, sessions_of

NAN = float("nan")


def table(*rows: tuple[str, int, float, str | None], by_day: bool = False) -> KnownTable:
    """Rows (symbol, known at, pe, sector), in any order."""
    ordered = sorted(rows, key=lambda row: row[:2])
    symbols = [row[0] for row in ordered]
    labels = tuple(sorted({row[3] for row in rows if row[3]}))
    texts = np.array([labels.index(row[3]) if row[3] else -1 for row in ordered], np.int32)
    places = {s: slice(symbols.index(s), symbols.index(s) + symbols.count(s)) for s in symbols}
    pe = Column(np.array([row[2] for row in ordered], np.float64))
    known = np.array([row[1] for row in ordered], np.int64)
    return KnownTable("facts", places, known, by_day, {"pe": pe, "sector": Column(texts, "text", labels=labels)})


def with_table(loaded: LoadedRange, made: KnownTable) -> LoadedRange:
    return replace(loaded, tables=tables_of({"facts": made}, loaded.symbol, loaded.session_range))


class Sees(Strategy):
    """Writes down what it sees."""

    def on_bar(self, ctx: Context) -> None:
        SEEN.append((ctx.now_ns, ctx.table("facts", "pe"), ctx.table("facts", "sector")))

    def signals(self, data: SymbolData) -> Signals:
        pe, sector = data.table("facts", "pe"), data.table("facts", "sector")
        assert (pe.dtype, sector.dtype) == (np.float64, object)
        SEEN.extend(zip(data.bars.end_ns[data.live].tolist(), pe[data.live].tolist(), sector[data.live], strict=True))
        return Signals(np.zeros(len(pe), bool), np.zeros(len(pe), bool))


SEEN: list[tuple[int, Any, Any]] = []


@pytest.mark.long
@given(
    rows=st.lists(
        st.tuples(st.integers(-400, 4000), st.sampled_from([1.0, 2.0, NAN]), st.sampled_from(["a", "b", None])),
        unique_by=lambda row: row[0],
        max_size=12,
    )
)
def test_every_form_sees_the_newest_row_that_is_known(rows: list[tuple[int, float, str | None]]) -> None:
    loaded = loaded_range(n=4, minutes=20)
    first_ns = int(loaded.session_range.sessions.open_ns[0])
    known = [(first_ns + minute * 60_000_000_000, pe, sector) for minute, pe, sector in rows]
    loaded = with_table(loaded, table(*(("AAA", *row) for row in known), ("B", first_ns, 9.0, "b")))

    def expected(now_ns: int) -> tuple[float, str | None]:
        past = [row for row in known if row[0] <= now_ns]
        return max(past)[1:] if past else (NAN, None)

    for form in ("on_bar", "signals"):
        SEEN.clear()
        assert run_loaded(loaded, plan_of(Sees, form)).error is None
        assert len(SEEN) == int((loaded.base.session >= 2).sum())
        np.testing.assert_equal([seen[1:] for seen in SEEN], [expected(seen[0]) for seen in SEEN])


def test_a_day_means_the_open_of_its_session_or_of_the_next() -> None:
    sessions = loaded_range(n=7).session_range.sessions  # Monday to Tuesday of the week after
    saturday = int(sessions.dates[4].astype(np.int64)) + 1
    monday = saturday + 2
    known = table(("AAA", saturday - 1, 1.0, None), ("AAA", saturday, 2.0, None), by_day=True)
    newer = table(("AAA", saturday, 2.0, None), ("AAA", monday, 3.0, None), by_day=True)
    opens = sessions.open_ns
    for made, at, expected in (
        (known, opens[4] - 1, NAN),
        (known, opens[4], 1.0),
        (known, opens[5] - 1, 1.0),
        (known, opens[5], 2.0),
        (newer, opens[5], 3.0),
    ):
        own = made.of("AAA", loaded_range(n=7).session_range)
        np.testing.assert_equal(own.value("pe", int(at)), expected)


def test_what_is_sent_is_what_a_range_needs() -> None:
    session_range = loaded_range(n=7).session_range
    first, last = session_range.sessions.open_ns[0], session_range.sessions.close_ns[-1]
    made = table(
        *(("AAA", int(at), float(k), None) for k, at in enumerate((first - 9, first - 5, first, last, last + 1)))
    )
    assert made.of("AAA", session_range).column("pe").tolist() == [2.0, 3.0]
    assert made.of("B", session_range).column("pe").tolist() == []
    part = session_range.split(2)[1]
    assert len(made.of("AAA", part).known_ns) == 2


OVER_ALL = """
class Over(Strategy):
    def on_session(self, view):
        print("open", view.minute, view.table("facts", "pe"), view.table("facts", "sector"))
    def on_window(self, view):
        if view.minute in (4, 5):
            print(view.minute, view.table("facts", "pe"), view.table("facts", "sector"))
        if view.minute == 5 and "C" not in view.symbols:
            view.add_symbol("C")
        if view.minute == 6:
            print(view.symbols, view.table("facts", "pe"))
        if view.minute == 7:
            view.table("facts", "pee")
"""


@pytest.mark.parametrize("pickled", [False, True])
def test_a_view_shows_all_symbols_and_those_added(pickled: bool) -> None:
    session_range = sessions_of(2, 10)
    opens = session_range.sessions.open_ns.tolist()
    minute = 60_000_000_000
    made = table(
        ("A", opens[0] - 5, 1.0, "x"),
        ("A", opens[1] + 5 * minute, 2.0, None),
        ("B", opens[0] + 5 * minute, 7.0, "y"),
        ("C", opens[0], 8.0, "z"),
    )
    loaded = {name: with_table(lay(session_range, name, [100.0] * 20), made) for name in "ABC"}
    guests = {"C": loaded.pop("C")}
    floor = Floor(plan(OVER_ALL.replace('"pee"', '"pe"'), "on_window"), loaded, guests=guests, pickled=pickled)
    floor.run()
    assert floor.portfolio.error is None
    assert [line.text for line in floor.said] == [
        "open 0 [ 1. nan] ['x' None]",
        "4 [ 1. nan] ['x' None]",
        "5 [1. 7.] ['x' 'y']",
        "('A', 'B', 'C') [1. 7. 8.]",
        "open 0 [1. 7.] ['x' 'y']",
        "4 [1. 7.] ['x' 'y']",
        "5 [2. 7.] [None 'y']",
        "('A', 'B', 'C') [2. 7. 8.]",
    ]
    floor = Floor(plan(OVER_ALL, "on_window"), loaded, guests=guests)
    floor.run()
    assert "the table facts has no column 'pee'; did you mean 'pe'?" in str(floor.portfolio.error)


def test_a_shared_account_sees_them_too() -> None:
    session_range = sessions_of(1, 10)
    made = table(("A", int(session_range.sessions.open_ns[0]), 4.0, None))
    text = "class Own(Strategy):\n    def on_bar(self, ctx):\n        ctx.order_target(ctx.table('facts', 'pe'))\n"
    floor = Floor(plan(text, "on_bar"), {"A": with_table(lay(session_range, "A", [100.0] * 10), made)})
    assert floor.run()["A"].position == 4.0


@pytest.mark.parametrize(
    ("name", "column", "told"),
    [
        ("fact", "pe", "there is no table 'fact'; did you mean 'facts'"),
        ("other", "pe", "there is no table 'other'; there are facts"),
        ("facts", "x", "the table facts has no column 'x'; there are pe, sector"),
    ],
)
def test_a_name_that_is_none_is_told_with_those_that_are(name: str, column: str, told: str) -> None:
    data = with_table(loaded_range(n=4), table(("AAA", 0, 1.0, None))).prepare(Sees())
    with pytest.raises(ConfigError, match=told):
        data.table(name, column)
    with pytest.raises(ConfigError, match="declare it in the config, under tables"):
        loaded_range(n=4).prepare(Sees()).table(name, column)


class Buys(Strategy):
    """Buys where the table says so; a cheat takes its newest row of all."""

    cheats: bool = False

    def signals(self, data: SymbolData) -> Signals:
        pe = data.table("facts", "pe")
        if self.cheats:
            pe = np.full(len(pe), data.tables["facts"].column("pe")[-1])
        return Signals(pe > 1.5, pe <= 1.5, size=1.0)


def quarterly(loaded: LoadedRange, **changes: float) -> LoadedRange:
    opens = loaded.session_range.sessions.open_ns.tolist()
    rows = [("AAA", at + 9 * 60_000_000_000, changes.get(f"row{k}", 1.0 + k % 2), None) for k, at in enumerate(opens)]
    return with_table(loaded, table(*rows))


@pytest.mark.long
def test_lookahead_changes_what_a_table_says_later() -> None:
    loaded = quarterly(loaded_range())
    honest, cheat = (plan_of(Buys, "signals", parameters={"cheats": cheats}) for cheats in (False, True))
    assert lookahead(loaded, honest, cuts=20).verdict == "ok"
    report = lookahead(loaded, cheat, cuts=20)
    assert report.verdict == "looks ahead"
    assert "through table facts" in "\n".join(report.sentences)


def test_a_sweeps_rows_know_the_table_that_they_were_made_of() -> None:
    loaded = loaded_range()
    made_of = [
        evaluate_sets(one, plan_of(Buys, "signals"), [{}]).data
        for one in (quarterly(loaded), quarterly(loaded), quarterly(loaded, row3=5.0))
    ]
    assert made_of[0] == made_of[1] != made_of[2]
    assert loaded.digest not in made_of


def test_a_tables_past_stays_when_its_future_is_another() -> None:
    values: Mapping[str, Any] = {"pe": np.arange(6.0), "sector": np.array(list("abcdef"), object)}
    one = SymbolTable("facts", np.arange(6) * 10, values)
    other = one.with_other_future(25, 1.7, np.random.default_rng(0))
    assert other.column("pe")[:3].tolist() == [0, 1, 2]
    assert other.column("sector")[:3].tolist() == ["a", "b", "c"]
    assert set(other.column("pe")[3:]) == {3 * 1.7, 4 * 1.7, 5 * 1.7}
    assert one.until(30).column("pe").tolist() == [0, 1, 2, 3]


class BuysTogether(Strategy):
    """The same over all symbols."""

    cheats: bool = False

    def on_window(self, view: WindowView) -> None:
        pe = view.table("facts", "pe")
        if self.cheats:  # as one would look behind the view
            pe = np.array([data.tables["facts"].column("pe")[-1] for data in view._panel.block.data])
        for symbol, value in zip(view.symbols, pe.tolist(), strict=True):
            view.order_target(symbol, float(value > 1.5))


@pytest.mark.long
def test_lookahead_of_a_portfolio_changes_tables_too() -> None:
    loaded = [replace(quarterly(loaded_range(seed, n=5, minutes=20)), symbol=name) for seed, name in enumerate("AB")]
    honest, cheat = (plan_of(BuysTogether, "on_window", parameters={"cheats": cheats}) for cheats in (False, True))
    assert lookahead(loaded, honest, cuts=10).verdict == "ok"
    report = lookahead(loaded, cheat, cuts=10)
    assert report.verdict == "looks ahead"
    assert "through table facts" in "\n".join(report.sentences)
