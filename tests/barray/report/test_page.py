from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barray.market.bars import Bars
from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.market.validation import Reason, SymbolValidationResult
from barray.report.charts import MAX_CANDLES, MAX_CHARTS, Chart, default_symbols, in_script, local_seconds, thin
from barray.report.markup import Html, number, pairs, table, toned
from barray.report.page import write_report
from barray.report.sections.symbols import MAX_TRADES
from barray.trading.orders.fills import Fills
from barray.trading.orders.order import Order, Refusal
from barray.trading.orders.order_columns import Orders
from barray.trading.orders.reasons import Why
from barray.trading.orders.terms import OrderTerms
from barray.trading.results.backtest import BacktestResult
from barray.trading.results.equity import EquityCurve
from barray.trading.results.events import Events, RunEvent
from barray.trading.results.logs import LogLine, Logs
from tests.barray.browser import opened
from tests.barray.result_builder import (
    HOSTILE,
    MINUTE_NS,
    OPEN_NS,
    backtest,
    chart,
    no_trades,
    random_backtest,
    random_symbol,
    traded,
    walk,
)


def page_of(result: BacktestResult, folder: Path, charts: dict[str, Chart] | None = None) -> str:
    return write_report(result, folder / "report.html", charts or {}).read_text("utf-8")


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_a_report_shows_the_profit_and_how_it_came_about(tmp_path: Path) -> None:
    bars = walk(2, 0)
    part = traded("AAPL", bars, 2, np.array([10]), np.array([400]), np.array([100.0]), 50_000.0)
    page = page_of(backtest({"AAPL": part}, 2), tmp_path)
    profit = 100.0 * (bars.open[400] - bars.open[10]) - 1.0
    assert number(profit, 2, sign=True) in page
    assert "2024-07-01 – 2024-07-02" in page
    assert "2024-07-01 09:40" in page  # entered on row 10, at the exchange's time
    for title in (
        "Validation",
        "Equity, drawdown and exposure",
        "Orders",
        "Monthly returns",
        "Symbols",
        "Trades",
        "Costs",
        "Lineage",
    ):
        assert f"<h2>{title}</h2>" in page


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    result, charts = random_backtest(3, 2, 10), {"S001": chart(2, 1)}
    first = write_report(result, tmp_path / "a.html", charts).read_bytes()
    assert write_report(result, tmp_path / "b.html", charts).read_bytes() == first


def test_what_is_hostile_stays_text(tmp_path: Path) -> None:
    part = replace(
        random_symbol(HOSTILE, 1, 3, 1),
        error=f"Traceback\n  File\nValueError: {HOSTILE}",
        error_ns=OPEN_NS,
        skipped={HOSTILE: HOSTILE},
        refusals=(Refusal(OPEN_NS, 1.5, HOSTILE),),
    )
    result = backtest(
        {HOSTILE: part},
        1,
        name=HOSTILE,
        strategy=HOSTILE,
        source=HOSTILE,
        form=HOSTILE,
        parameters={HOSTILE: {HOSTILE: [HOSTILE]}},
        settings={HOSTILE: HOSTILE},
        dropped={HOSTILE: (HOSTILE,)},
        error=HOSTILE,
        timings_s={HOSTILE: 1.0},
    )
    shown = chart(1, 1)
    page = page_of(result, tmp_path, {HOSTILE: Chart(HOSTILE, shown.bars, {HOSTILE: shown.bars.close})})
    assert "<script>alert" not in page
    assert page.count("</script>") == 2
    assert page.count("<script") == 2
    assert data_of(page)["candles"][0]["symbol"] == HOSTILE


def test_half_a_surrogate_pair_does_not_stop_a_report(tmp_path: Path) -> None:
    assert "bad ?" in page_of(replace(random_backtest(1, 1, 2), error="bad \udcff"), tmp_path)


@pytest.mark.parametrize("sessions", [0, 1])
def test_a_report_of_no_symbols_says_so(sessions: int, tmp_path: Path) -> None:
    page = page_of(
        backtest({}, sessions, dropped={"XYZ": ("no source has it",)}, error="Traceback\nKeyError: 1"), tmp_path
    )
    assert "No symbol was run." in page
    assert "no source has it" in page
    assert "KeyError: 1" in page
    assert data_of(page) == {"equity": None, "candles": []}
    assert 'id="orders"' not in page
    assert 'id="events"' not in page


def test_a_symbol_without_trades_has_its_row(tmp_path: Path) -> None:
    part = replace(random_symbol("IDLE", 1, 1, 1), trades=no_trades(), fills=Fills.of([]))
    flat = np.full(len(part.equity), part.capital)
    part = replace(part, curve=EquityCurve.of(flat, 0 * flat), session_pnl=np.zeros(1))
    page = page_of(backtest({"IDLE": part}, 1), tmp_path, {"IDLE": chart(1, 1)})
    assert "There were no trades." in page
    assert "<td>IDLE</td>" in page
    assert data_of(page)["candles"][0]["trades"] == []


def test_orders_are_counted_and_the_first_listed_with_events(tmp_path: Path) -> None:
    result = random_backtest(2, 1, 60)
    part = result.symbols["S000"]
    refused = Order(121, OrderTerms(7.0, tag=HOSTILE), 7.0, "rejected", Why("no_money", HOSTILE), ended_ns=1)
    orders = Orders.concat([part.orders, Orders.of({"S000": [refused]})])
    event = RunEvent(OPEN_NS, "limit", "S001", "account", accepted=False, detail="gross", count=1234)
    symbols = {**result.symbols, "S000": replace(part, orders=orders)}
    page = page_of(replace(result, symbols=symbols, events=Events((event,), left_out=2)), tmp_path)
    assert "<b>240</b> filled" in page
    assert "<b>1</b> refused" in page
    assert "200 orders, the first 200 of 241; orders.parquet" in page
    assert "<td>limit hit</td><td>S001</td><td>gross</td>" in page
    assert "1,234" in page
    assert "3 events, 2 not shown" in page
    assert HOSTILE not in page


def test_exposure_is_drawn_in_per_cent_of_equity(tmp_path: Path) -> None:
    part = random_symbol("S", 1, 1, 1)
    part = replace(part, curve=EquityCurve.of(*(np.full(len(part.equity), worth) for worth in (1250.0, -250.0))))
    equity = data_of(page_of(backtest({"S": part}, 1), tmp_path))["equity"]
    assert (set(equity["gross"]), set(equity["net"])) == ({25.0}, {-25.0})


def test_errors_skipped_sessions_and_refusals_are_told(tmp_path: Path) -> None:
    result = random_backtest(3, 2, 4)
    symbols = dict(result.symbols)
    symbols["S000"] = replace(
        symbols["S000"], error='Traceback:\n  File "s.py"\nZeroDivisionError: by zero', error_ns=OPEN_NS + 5 * MINUTE_NS
    )
    symbols["S001"] = replace(symbols["S001"], skipped={"2024-07-02": "half of it is missing"})
    symbols["S002"] = replace(symbols["S002"], refusals=(Refusal(OPEN_NS, 300.0, "not enough cash"),))
    page = page_of(replace(result, symbols=symbols), tmp_path)
    assert "S000: the strategy raised at 2024-07-01 09:35" in page
    assert "File &quot;s.py&quot;" in page
    assert "2024-07-02: half of it is missing" in page
    assert "1 order refused" in page
    assert "not enough cash" in page


def test_the_whole_of_step_0_is_told_with_the_sources_that_failed_before_another_served(tmp_path: Path) -> None:
    lacking = Reason("no_data_source", "has no data for S001", "add it", "files")
    minute = Interval.parse("1m")
    step0 = {
        "S000": SymbolValidationResult(
            "S000", True, data_source="files", base_interval=minute, sources_asked=("files",), asked_s=(0.25,)
        ),
        "S001": SymbolValidationResult(
            "S001",
            True,
            data_source="alpaca",
            base_interval=minute,
            reasons=(lacking,),
            sources_asked=("files", "alpaca"),
            asked_s=(0.5, 2.0),
        ),
        HOSTILE: SymbolValidationResult(HOSTILE, reasons=(Reason("bad_symbol", HOSTILE),)),
    }
    page = page_of(replace(random_backtest(2, 2, 4), step0=step0), tmp_path)
    assert "Step 0: 2 of 3 symbols passed, 1 of them by another source than the first asked" in page
    cells = "".join(f"<td>{cell}</td>" for cell in ("S001", "passed", "alpaca", "1m", "files, alpaca"))
    assert f"{cells}<td>[files] has no data for S001; add it</td>" in page
    assert "<td>S000</td><td>passed</td><td>files</td><td>1m</td><td>files</td><td></td>" in page
    assert page.count('<span class="loss">failed</span></td><td>–</td>') == 1
    assert page.count("<script") == 2
    assert "<dt>Step 0, answers of files</dt><dd>0.750 s</dd>" in page
    assert "<dt>Step 0, answers of alpaca</dt><dd>2.000 s</dd>" in page


def test_what_the_strategy_said_is_told_and_a_silent_one_has_no_such_section(tmp_path: Path) -> None:
    silent = random_backtest(1, 1, 2)
    lines = tuple(
        LogLine(None if number else 1_719_840_660_000_000_000, "S000", f"<i>{number}") for number in range(600)
    )
    spoken = replace(silent, logs=Logs(lines, 7))
    page = write_report(spoken, tmp_path / "spoken.html").read_text()
    assert "607 lines, 107 left out" in page
    assert "<td>2024-07-01 09:31</td><td>S000</td><td>&lt;i&gt;0</td>" in page
    assert "&lt;i&gt;499<" in page
    assert "&lt;i&gt;500<" not in page
    assert "What the strategy said" not in write_report(silent, tmp_path / "silent.html").read_text()


def test_a_shared_account_shows_symbols_by_their_share_of_it(tmp_path: Path) -> None:
    parts = {
        name: replace(random_symbol(name, 2, 5, seed, capital=0.0), hold_capital=40_000.0)
        for seed, name in enumerate(("AA", "BB"))
    }
    equity = 80_000.0 + np.sum([part.equity for part in parts.values()], axis=0)
    page = page_of(backtest(parts, 2, capital=80_000.0, account_equity=equity, shared=True), tmp_path)
    assert "shared account" in page
    assert number(100 * parts["AA"].pnl / 80_000, 2, "%", sign=True) in page
    held = 40_000 * sum(part.last_price / part.first_price for part in parts.values())
    assert data_of(page)["equity"]["hold"]["y"] == [80_000, pytest.approx(held, rel=0.2), pytest.approx(held, abs=0.01)]


def test_only_the_first_trades_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    page = page_of(random_backtest(6, 5, 100), tmp_path)
    assert "The first 500 of 600" in page
    listed = page[page.index('<section id="trades">') : page.index('<section id="orders">')]
    assert listed.count("<tr>") == MAX_TRADES + 1
    entries = re.findall(r"<td>(?:long|short)</td><td>([^<]*)</td>", listed)
    assert entries == sorted(entries)


@pytest.mark.long
def test_a_report_of_a_thousand_symbols_stays_small(tmp_path: Path) -> None:
    few = random_backtest(1, 5, 20).symbols["S000"]
    names = [f"N{number:04d}" for number in range(1000)]
    path = write_report(backtest({name: replace(few, symbol=name) for name in names}, 5), tmp_path / "report.html")
    assert path.stat().st_size < 2_500_000


def test_default_charts_are_of_the_best_and_worst_that_traded() -> None:
    result = random_backtest(10, 2, 5)
    chosen = default_symbols(result)
    by_profit = sorted(result.symbols, key=lambda name: result.symbols[name].pnl)
    assert set(chosen) == {*by_profit[:3], *by_profit[-3:]}
    assert default_symbols(random_backtest(2, 1, 5)) != []
    idle = replace(result.symbols["S000"], trades=no_trades())
    assert default_symbols(backtest({"S000": idle}, 2)) == []


@pytest.mark.long
def test_charts_are_bounded_in_number_and_length(tmp_path: Path) -> None:
    result = random_backtest(10, 10, 5)
    charts = {name: chart(10, seed, minutes=1) for seed, name in enumerate(result.symbols)}
    candles = data_of(page_of(result, tmp_path, charts))["candles"]
    assert len(candles) == MAX_CHARTS
    assert len(candles[0]["t"]) == len(candles[0]["lines"][0]["y"]) == MAX_CANDLES
    assert candles[0]["left_out"] == 3_900 - MAX_CANDLES


def test_trades_stand_on_the_candle_they_happened_in(tmp_path: Path) -> None:
    bars = walk(1, 3)
    part = traded("AA", bars, 1, np.array([16, 100]), np.array([44, 389]), np.array([100.0, -50.0]), 1e5)
    trades = replace(part.trades, exit_ns=np.array([part.trades.exit_ns[0], -1]))  # the second is still open
    result = backtest({"AA": replace(part, trades=trades)}, 1)
    marks = data_of(page_of(result, tmp_path, {"AA": chart(1, 3, minutes=15)}))["candles"][0]["trades"]
    assert [(mark[0], mark[2]) for mark in marks] == [(1, 2), (6, None)]


def test_lines_that_leave_the_price_get_a_pane_of_their_own(tmp_path: Path) -> None:
    lines = data_of(page_of(random_backtest(1, 2, 5), tmp_path, {"S000": chart(2, 0)}))["candles"][0]["lines"]
    assert {line["name"]: line["below"] for line in lines} == {"SMA(8)": False, "SMA(21)": False, "RSI(14)": True}


def test_thinning_keeps_the_ends_and_every_stretchs_extremes() -> None:
    values = np.sin(np.arange(50_000) / 700)
    values[31_234] = 5.0
    rows = thin(values, 1_000)
    assert len(rows) <= 1_000
    assert {0, 31_234, 49_999} <= set(rows.tolist())
    assert values[rows].min() == values.min()
    assert np.all(np.diff(rows) > 0)
    assert thin(values[:10], 1_000).tolist() == list(range(10))


def test_times_are_the_exchanges_on_both_sides_of_a_clock_change() -> None:
    stamps = np.array(["2024-03-08T14:30", "2024-03-11T13:30"], "datetime64[s]").astype(np.int64)
    local = local_seconds(stamps * 1_000_000_000, "America/New_York")
    assert [int(second % 86_400) for second in local] == [34_200, 34_200]  # 09:30 on either day
    assert local_seconds(np.empty(0, np.int64), "UTC").tolist() == []


def test_numbers_are_written_as_people_read_them() -> None:
    assert number(-1234.5) == "−1,234.50"
    assert number(0.001, 2, "%", sign=True) == "0.00%"
    assert number(-0.001) == "0.00"
    assert (number(None), number(float("nan")), number(float("inf"))) == ("–", "–", "∞")
    assert toned("1", 1.0) == '<span class="gain">1</span>'
    assert toned("–", None) == "–"


def test_tables_and_lists_escape_what_they_hold() -> None:
    assert "&lt;b&gt;" in table(("<b>",), [("<b>",)])
    assert "<b>" not in table(("<b>",), [("<b>",)], kind='"><b>', name="<b>")
    assert table(("a",), [(Html("<i>1</i>"),)]).count("<i>1</i>") == 1
    assert "<dt>a.b</dt><dd>1, 2</dd>" in pairs({"a": {"b": [1, 2]}})
    assert in_script(b'{"a":"</script>&"}') == rb'{"a":"\u003c/script\u003e\u0026"}'


def test_a_place_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        write_report(random_backtest(1, 1, 1), tmp_path / "missing" / "report.html")


@pytest.mark.long
def test_writing_a_report_needs_no_heavy_library() -> None:
    code = "import sys, barray.report.page; print(sorted({'pandas', 'pyarrow', 'ray', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def hostile_and_large() -> tuple[BacktestResult, dict[str, Chart]]:
    result = random_backtest(12, 20, 30)
    symbols = {**result.symbols, HOSTILE: replace(random_symbol(HOSTILE, 20, 30, 5), error=HOSTILE, error_ns=OPEN_NS)}
    result = backtest(symbols, 20, dropped={HOSTILE: (HOSTILE,)}, name=HOSTILE)
    return result, {"S001": chart(20, 1), HOSTILE: chart(20, 5)}


@pytest.mark.long
@pytest.mark.parametrize(("width", "dark"), [(1400, False), (400, True)])
def test_a_browser_draws_the_charts_without_an_error_or_a_request(width: int, dark: bool, tmp_path: Path) -> None:
    result, charts = hostile_and_large()
    page = write_report(result, tmp_path / "report.html", charts)
    dom, asked = opened(page, width, dark)
    root = dom[: dom.index("<head")]
    assert 'data-charts="2"' in root
    assert "data-errors" not in root
    drawn = {kind: path for path, kind in re.findall(r'<path d="([^"]*)" class="([^"]*)"', dom)}
    assert len(drawn["line equity"]) > 5_000
    assert drawn["candle up"].count("V") > 100
    assert all(drawn[f"trade {kind}"] for kind in ("won", "lost", "buy", "sell", "out"))
    assert "NaN" not in "".join(drawn.values())
    assert dom.count('role="tab"') == 2
    assert "<script>alert" not in dom
    assert asked == []


@pytest.mark.long
def test_a_browser_opens_a_report_of_nothing_and_of_one_session(tmp_path: Path) -> None:
    empty = write_report(backtest({}, 0), tmp_path / "empty.html")
    dom, _ = opened(empty)
    assert 'data-charts="0"' in dom
    assert "data-errors" not in dom[: dom.index("<head")]
    shown = chart(1, 1)
    short = Chart("15m", shown.bars.take(slice(0, 1)), {"RSI": np.full(1, np.nan)})
    day = write_report(
        random_backtest(2, 1, 3), tmp_path / "day.html", {"S000": short, "S001": Chart("5m", Bars.empty())}
    )
    dom, _ = opened(day)
    assert 'data-charts="2"' in dom
    assert "data-errors" not in dom[: dom.index("<head")]


USER = """
const pointer = (svg, kind, x) => svg.dispatchEvent(new PointerEvent(kind, {clientX: x, clientY: 300, button: 0}));
const charts = () => [...document.querySelectorAll(".chart > svg")];
for (const svg of charts()) svg.setPointerCapture = () => {};
const found = {};
const candles = () => charts()[1].querySelector(".candle.up").getAttribute("d").length;
const whole = candles();
pointer(charts()[1], "pointerdown", 300);
pointer(charts()[1], "pointermove", 400);
pointer(charts()[1], "pointerup", 400);
found.zoomed = candles() < whole;
document.querySelectorAll("#candle-chart button")[4].click();
found.back = candles() === whole;
pointer(charts()[0], "pointermove", 300);
found.read = document.querySelector("#equity-chart .when").textContent;
document.querySelectorAll("#chart-tabs button")[1].click();
found.second = charts()[1].getAttribute("aria-label");
const rows = () => [...document.querySelectorAll("#symbols tbody tr:not([hidden])")];
const names = () => rows().map((row) => row.cells[0].textContent);
document.querySelectorAll("#symbols th button")[2].click();
found.sorted = names();
document.querySelectorAll("#symbols th button")[2].click();
found.reversed = names();
const input = document.querySelector("input.filter");
input.value = "s01";
input.dispatchEvent(new Event("input"));
found.filtered = names().sort();
document.documentElement.dataset.found = JSON.stringify(found);
"""


@pytest.mark.long
def test_charts_zoom_and_change_and_tables_sort_and_filter(tmp_path: Path) -> None:
    result = random_backtest(12, 5, 20)
    path = write_report(result, tmp_path / "report.html", {"S001": chart(5, 1), "S002": chart(5, 2)})
    open_page = re.sub(r"<meta http-equiv[^>]*>", "", path.read_text("utf-8"))  # to let the test's own script in
    path.write_text(open_page.replace("</body>", f"<script>{USER}</script></body>"), "utf-8")
    dom, _ = opened(path)
    answer = re.search(r'data-found="(.*?)"', dom)
    assert answer is not None, dom[: dom.index("<head")]
    found = json.loads(unescape(answer[1]))
    by_profit = sorted(result.symbols, key=lambda name: -result.symbols[name].pnl)
    assert found["zoomed"]
    assert found["back"]
    assert re.fullmatch(r"\w{3} \d Jul 2024, \d\d:\d\d", found["read"])
    assert found["second"].startswith("S002")
    assert found["sorted"] == by_profit
    assert found["reversed"] == by_profit[::-1]
    assert found["filtered"] == ["S010", "S011"]


@pytest.mark.long
def test_the_page_refuses_scripts_and_requests_that_are_not_its_own(tmp_path: Path) -> None:
    path = write_report(random_backtest(1, 1, 1), tmp_path / "report.html")
    smuggled = "<script>document.title = 'broken'</script><img src='http://192.0.2.1/a.png'></body>"
    path.write_text(path.read_text("utf-8").replace("</body>", smuggled), "utf-8")
    dom, asked = opened(path)
    assert "<title>broken" not in dom
    assert asked == []
    assert "data-errors" in dom[: dom.index("<head")]


@pytest.mark.long
def test_the_browser_test_sees_what_a_page_asks_for(tmp_path: Path) -> None:
    page = tmp_path / "asks.html"
    page.write_text("<html><img src='http://192.0.2.1/a.png'></html>")
    assert opened(page)[1] == ["http://192.0.2.1/a.png"]
