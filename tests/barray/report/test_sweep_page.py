"""A sweep's page: heat maps, a row a set, and the same policy as a backtest's report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from barray.market.errors import ConfigError
from barray.report.sections.sweep import MAX_SETS
from barray.report.sweep_page import write_sweep
from barray.trading.sweeps.result import SweepResult
from tests.barray.browser import opened
from tests.barray.result_builder import HOSTILE
from tests.barray.sweep_builder import failed, swept, tried

GRID = swept(
    tried({"fast": 5, "slow": 20, "stop": 0.1}, 100.0, -40.0),
    tried({"fast": 5, "slow": 20, "stop": 0.2}, 300.0, 12.5),
    tried({"fast": 5, "slow": 40, "stop": 0.1}, -1000.0, -500.0),
    tried({"fast": 8, "slow": 20, "stop": 0.1}, 5.0, 5.0, trades=1234),
    failed({"fast": 8, "slow": 40, "stop": 0.1}, "AAPL: Traceback\nValueError: no"),
)


def page_of(result: SweepResult, folder: Path) -> str:
    return write_sweep(result, folder)[1].read_text("utf-8")


def rows_of(page: str, table: str) -> list[list[str]]:
    """The texts of a table's cells, below its head."""
    body = page[page.index(table) :]
    body = body[body.index("<tbody>") : body.index("</tbody>")]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_both_files_are_written_side_by_side_into_a_folder_that_is_made(tmp_path: Path) -> None:
    files = write_sweep(GRID, tmp_path / "new" / "folder")
    assert [path.name for path in files] == ["mine-sweep.csv", "mine-sweep.html"]
    assert {path.parent for path in files} == {tmp_path / "new" / "folder"}
    with pytest.raises(ConfigError, match=r"cannot write .*choose another place"):
        write_sweep(GRID, files[0] / "below")


def test_a_heat_map_shows_the_best_value_over_all_other_parameters(tmp_path: Path) -> None:
    page = page_of(GRID, tmp_path)
    assert rows_of(page, "<caption>pnl by fast and slow") == [["20", "312.50", "10.00"], ["40", "−1,500.00", ""]]
    assert rows_of(page, "<caption>pnl by fast and stop") == [["0.1", "60.00", "10.00"], ["0.2", "312.50", ""]]
    assert page.count("<caption>") == 3
    heats = dict(re.findall(r'--h:(\d+)%">([^<]*)<', page))
    assert (heats["100"], heats["0"]) == ("312.50", "−1,500.00")


def test_every_set_has_its_row_best_first(tmp_path: Path) -> None:
    rows = rows_of(page_of(GRID, tmp_path), '<section id="sets">')
    assert [row[:4] for row in rows] == [
        ["5", "20", "0.2", "312.50"],
        ["5", "20", "0.1", "60.00"],
        ["8", "20", "0.1", "10.00"],
        ["5", "40", "0.1", "−1,500.00"],
        ["8", "40", "0.1", "–"],
    ]
    assert rows[2][-1] == "1,234"


def test_the_metric_that_was_sought_stands_first_among_the_figures(tmp_path: Path) -> None:
    result = swept(tried({"fast": 5}, 3.0, -1.0), tried({"fast": 6}, 30.0, -3.0), metric="profit_factor")
    page = page_of(result, tmp_path)
    head = re.findall(r"<th[^>]*>([^<]*)</th>", page[page.index('<section id="sets">') :])
    assert head[:3] == ["fast", "profit factor", "pnl"]
    assert [row[:2] for row in rows_of(page, '<section id="sets">')] == [["6", "10.00"], ["5", "3.00"]]
    assert "Heat maps" not in page  # one parameter alone varies


@pytest.mark.long
def test_only_the_best_sets_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    many = swept(*(tried({"n": number}, float(number), 0.0) for number in range(MAX_SETS + 200)))
    page = page_of(many, tmp_path)
    assert "The best 1,000 of 1,200" in page
    assert len(rows_of(page, '<section id="sets">')) == MAX_SETS


def test_a_sweep_of_no_sets_says_so(tmp_path: Path) -> None:
    assert "No set was tried." in page_of(swept(), tmp_path)


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    first = page_of(GRID, tmp_path)
    assert page_of(GRID, tmp_path) == first


def test_what_is_hostile_stays_text(tmp_path: Path) -> None:
    rows = (tried({HOSTILE: HOSTILE, "b": number}, 1.0, number) for number in (1, 2))
    page = page_of(swept(*rows, failed({HOSTILE: "x", "b": 1}, HOSTILE), strategy=HOSTILE, metric="pnl"), tmp_path)
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 2


@pytest.mark.long
@pytest.mark.parametrize(("width", "dark"), [(1400, False), (400, True)])
def test_a_browser_opens_it_without_an_error_or_a_request(width: int, dark: bool, tmp_path: Path) -> None:
    dom, asked = opened(write_sweep(GRID, tmp_path)[1], width, dark)
    root = dom[: dom.index("<head")]
    assert 'data-charts="0"' in root
    assert "data-errors" not in root
    assert len(re.findall(r'<th scope="col" class="n"><button', dom[dom.index('id="sets"') :])) == 11
    assert asked == []
