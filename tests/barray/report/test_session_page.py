from __future__ import annotations

import re
import weakref
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from barray.coordinator.summary import SessionEvent
from barray.market.errors import ConfigError
from barray.market.symbol_data import SymbolSessionData
from barray.market.validation import Reason
from barray.report.session_files import write_exports
from barray.report.session_page import write_session
from tests.barray.browser import opened
from tests.barray.dump_builder import Built, build, tree_of, with_summary
from tests.barray.result_builder import HOSTILE


def page_of(built: Built, folder: Path, name: str = "mine") -> str:
    return write_session(folder / "session.html", name, built.summary, iter(built.symbols)).read_text("utf-8")


def part(page: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}">.*?</section>', page, re.DOTALL)
    assert found is not None, anchor
    return found[0]


def rows(html: str) -> list[list[str]]:
    """The cells of every row of every table, as a reader sees them."""
    lines = re.findall(r"<tr>(<td.*?)</tr>", html, re.DOTALL)
    return [[unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?</td>", line)] for line in lines]


def test_every_symbol_stands_in_the_table_as_the_dump_has_it(tmp_path: Path) -> None:
    built = build()
    tree = tree_of(built.write(tmp_path / "session.json"))
    shown = {row[0]: row[1:] for row in rows(part(page_of(built, tmp_path), "symbols"))}
    assert list(shown) == list(tree["symbols"])
    for symbol in ("ALL", "GAP", "LATE", "UP"):
        entry = tree["symbols"][symbol]
        quality = entry["quality"]["1m"]
        state, by, source, _, bars, share, gaps = shown[symbol]
        assert by == entry["metadata"]["added_by"]
        assert source == entry["lineage"]["source"]
        assert int(bars) == len(entry["bars"]["1m"]["timestamp"]) - entry["bars"]["1m"]["history"]
        assert share == f"{100 * quality['share']:.2f}%"
        assert int(gaps) == len(quality["gaps"])
        assert state == ("full (upgraded)" if symbol == "UP" else "full")
    # three bars of 5m were given to HAND, none has a source; GAP lacks minutes 3 to 5, 17, 40 to 44
    assert shown["HAND"] == ["adhoc", "adhoc", "–", "–", "3", "–", "–"]
    assert shown["GAP"][4:] == ["381", "97.69%", "3"]


def test_step_0_and_drops_are_told_with_their_reasons(tmp_path: Path) -> None:
    shown = part(page_of(build(), tmp_path), "validation")
    why = "[memory] has no data for NONE; check the symbol"
    assert ["NONE", why] in rows(shown)
    assert ["NONE", "failed", "–", "–", "memory", why] in rows(shown)
    for symbol in ("ALL", "GAP", "LATE", "UP"):
        assert [symbol, "passed", "memory", "1m", "memory", ""] in rows(shown)
    assert "Step 0: 4 of 5 symbols passed" in shown
    for many, what in ((4, "full"), (1, "adhoc"), (1, "upgraded"), (1, "dropped"), (1, "not accepted")):
        assert f"<b>{many}</b> {what}</li>" in shown
    assert "lost by the machine" not in shown


def test_events_are_told_in_order_at_the_time_of_the_exchange(tmp_path: Path) -> None:
    built = build()
    tree = tree_of(built.write(tmp_path / "session.json"))
    found = rows(part(page_of(built, tmp_path), "events"))
    assert [(row[1], row[2], row[4], row[6]) for row in found] == [
        (event["action"], event["symbol"], event["by"], event["reason"]) for event in tree["events"]
    ]
    assert [row[5] for row in found] == ["yes" if event["accepted"] else "no" for event in tree["events"]]
    assert found[0] == [f"{built.summary.session_date} 09:42", "add_indicator", "UP", "EMA(3)@7m", "scanner", "yes", ""]
    assert found[1][3] == "1m"


def test_what_the_source_overruled_is_told_with_both_closes(tmp_path: Path) -> None:
    built = build()
    tree = tree_of(built.write(tmp_path / "session.json"))
    expected = [
        (symbol, one["interval"], one["adhoc"]["close"], one["record"]["close"] if one["record"] else None)
        for symbol, entry in tree["symbols"].items()
        for one in entry["adhoc"]["conflicts"]
    ]
    assert expected
    found = rows(part(page_of(built, tmp_path), "conflicts"))
    assert [(row[0], row[1]) for row in found] == [one[:2] for one in expected]
    for row, (_, _, adhoc, record) in zip(found, expected, strict=True):
        assert row[3:] == [f"{adhoc:,.2f}", "–" if record is None else f"{record:,.2f}"]


def test_calendar_hours_and_requirements_are_told(tmp_path: Path) -> None:
    page = page_of(build(minutes=60), tmp_path)
    day = build().summary.session_date
    shown = part(page, "settings")
    for name, value in (
        ("Calendar", "XNYS"),
        ("Hours", "regular"),
        ("Open", f"{day} 09:30"),
        ("Close", f"{day} 16:00"),
        ("Stands at", f"{day} 10:30"),
        ("Intervals", "1m, 5m, 1d"),
        ("Trailing sessions", "3"),
    ):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in shown
    assert f"<li>stands at {day} 10:30</li>" in page
    assert "stands at" not in page_of(build(), tmp_path)


def test_a_degraded_session_and_suspected_prices_are_told(tmp_path: Path) -> None:
    built = build()
    whole = page_of(built, tmp_path)
    lost = with_summary(built, dropped={"NONE": (Reason("actor_failed", "died 4 times"),)})
    doubted = Reason("suspect_jump", "fell by half", "correct the bars", "memory")
    symbols = (replace(built.symbols[0], warnings=(doubted,)), *built.symbols[1:])
    page = page_of(replace(lost, symbols=symbols), tmp_path)
    for told in ("the machine failed, and lost NONE", "<b>1</b> lost by the machine", "<b>0</b> dropped"):
        assert told in page
        assert told not in whole
    assert ["ALL", "[memory] fell by half; correct the bars"] in rows(part(page, "validation"))
    assert "Suspected move of its prices" not in whole


def hostile() -> Built:
    built = build()
    reason = Reason("no_data_source", HOSTILE, HOSTILE, HOSTILE)
    failed = replace(built.summary.step0["NONE"], symbol=HOSTILE, reasons=(reason,), sources_asked=(HOSTILE,))
    event = SessionEvent(
        built.summary.open_ns, "add_indicator", HOSTILE, HOSTILE, False, HOSTILE, {"indicator": HOSTILE}
    )
    lineage = built.symbols[0].lineage
    assert lineage is not None
    first = replace(
        built.symbols[0],
        added_by=HOSTILE,
        lineage=replace(lineage, source=HOSTILE, dataset=HOSTILE),
        warnings=(reason,),
    )
    changed = with_summary(built, step0={HOSTILE: failed}, dropped={HOSTILE: (reason,)}, events=(event,))
    return replace(changed, symbols=(first, *built.symbols[1:]))


def test_no_name_and_no_reason_becomes_markup(tmp_path: Path) -> None:
    page = page_of(hostile(), tmp_path, name=HOSTILE)
    assert HOSTILE not in page
    assert "<script>alert" not in page
    assert page.count("<script") == page_of(build(), tmp_path).count("<script")
    assert page.count(HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split('"')[0]) > 12


def test_the_same_session_gives_the_same_bytes(tmp_path: Path) -> None:
    built = build()
    step0 = {name: replace(found, elapsed_s=99.0, asked_s=(7.0,)) for name, found in built.summary.step0.items()}
    later = with_summary(built, step0=step0)
    assert page_of(built, tmp_path) == page_of(later, tmp_path)


def test_symbols_pass_by_one_at_a_time(tmp_path: Path) -> None:
    built = build()
    alive: weakref.WeakSet[SymbolSessionData] = weakref.WeakSet()
    most = 0

    def stream() -> Iterator[SymbolSessionData]:
        nonlocal most
        for data in built.symbols:
            copy = replace(data)
            alive.add(copy)
            most = max(most, len(alive))
            yield copy
            del copy

    write_session(tmp_path / "session.html", "mine", built.summary, stream())
    assert most <= 2


def test_the_report_is_one_of_the_formats_of_an_export(tmp_path: Path) -> None:
    built = build()

    def export(*formats: str) -> list[str]:
        return [
            path.name for path in write_exports(tmp_path, "mine", formats, built.summary, lambda: iter(built.symbols))
        ]

    day = built.summary.session_date
    assert export("html") == [f"mine-{day}.html"]
    assert [path.name for path in tmp_path.iterdir()] == [f"mine-{day}.html"]
    assert export("html", "json") == [f"mine-{day}.json", f"mine-{day}.html"]
    with pytest.raises(ConfigError, match="'xml' is no export format; choose from json, csv, parquet, html"):
        export("xml")


@pytest.mark.long
def test_the_page_asks_for_nothing_and_nothing_in_it_runs(tmp_path: Path) -> None:
    page_of(hostile(), tmp_path)
    dom, asked = opened(tmp_path / "session.html")
    assert asked == []
    assert "Session report" in dom
