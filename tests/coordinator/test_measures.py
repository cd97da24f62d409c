"""What is counted and what is exported of it; the dashboard asks for nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from barray.actors.metrics import node_exports
from barray.coordinator.measures import BARS, MEASURES, PHASE_SECONDS, RESTARTS, SYMBOLS, Sample, Tally, samples
from barray.market.commands import Appended, Rejected
from tests.coordinator.test_replay import minute, replay

ROOT = Path(__file__).parents[2]
STATUS = {"progress": [3, 8], "processes": 2, "restarts": 1}


def values(found: list[Sample], name: str) -> dict[str, float]:
    return {"/".join(one.tags.values()): one.value for one in found if one.measure.name == name}


def test_each_phase_has_its_seconds_the_present_one_too_and_one_that_comes_again_goes_on() -> None:
    tally = Tally(100.0)
    for at_s, phase in ((101.0, "loading"), (103.5, "running"), (110.0, "clean"), (111.0, "loading")):
        tally.enter(phase, at_s)
    assert tally.phase_seconds(115.0) == {"clean": 2.0, "loading": 6.5, "running": 6.5}


def test_bars_that_symbols_took_in_are_counted_and_those_refused_or_corrected_are_not() -> None:
    tally = Tally(0.0)
    tally.take({"A": Appended(new=3, late=1, replaced=7), "B": Rejected("no")})
    assert tally.bars == 4


def test_what_is_exported_is_what_the_status_says() -> None:
    status = {
        **STATUS,
        "full": ["A", "B"],
        "adhoc": [],
        "pending": [],
        "dropped": {"C": ["why"]},
        "live": {"lag_s": 1.5},
    }
    found = list(samples(Tally(0.0), status, 12, 4.0))
    assert values(found, "barray_symbols") == {"full": 2, "adhoc": 0, "pending": 0, "dropped": 1}
    assert values(found, "barray_steps") == {"done": 3, "all": 8}
    assert values(found, "barray_phase_seconds") == {"clean": 4.0}
    assert values(found, "barray_gateway_requests") == {"": 12}
    assert {one.measure for one in found} == set(MEASURES)


def test_of_a_backtest_nothing_is_exported_that_it_has_not() -> None:
    told = {one.measure for one in samples(Tally(0.0), STATUS, 0, 1.0)}
    assert SYMBOLS not in told
    assert {BARS, RESTARTS, PHASE_SECONDS} <= told


def test_every_sample_has_the_tags_of_its_measure_and_none_is_a_symbol() -> None:
    status = {**STATUS, "full": ["A"], "adhoc": [], "pending": [], "dropped": {}, "live": None}
    for sample in samples(Tally(0.0), status, 0, 1.0):
        assert set(sample.tags) == set(sample.measure.tags)
        assert "A" not in sample.tags.values()


@pytest.mark.long
def test_a_session_counts_its_bars_its_restarts_and_its_phases(universe: Path) -> None:
    coordinator, processes = replay(universe, "AAPL", "MSFT", actors={"heartbeat_s": 0})

    async def day() -> None:
        await coordinator.begin()
        processes.started[0].fate = "dies"
        await coordinator.advance_to(minute(30))
        found = list(samples(coordinator.tally, coordinator.status(), await coordinator.gateway_requests(), 1e9))
        assert values(found, "barray_bars") == {"": 2 * 3 * 390}
        assert values(found, "barray_process_restarts") == {"": 1}
        assert list(values(found, "barray_phase_seconds"))[-1] == "running"
        assert values(found, "barray_symbols")["full"] == 2

    asyncio.run(day())


def test_the_dashboard_asks_for_what_is_exported_by_tags_that_it_has() -> None:
    known = {one.exported_name: {"session", *one.tags} for one in MEASURES}
    text = (ROOT / "deploy/grafana/barray.json").read_text()
    dashboard = json.loads(text)
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"ray_barray_\w+", query)}
    assert asked == set(known), "each is shown"
    assert set(re.findall(r"ray_barray_\w+", text)) <= set(known)
    for query in queries:
        tags = {tag for name in re.findall(r"ray_barray_\w+", query) for tag in known[name]}
        by = {tag.strip() for group in re.findall(r"by \(([^)]*)\)", query) for tag in group.split(",")}
        picked = set(re.findall(r"[{,](\w+)=", query))
        assert by | picked <= tags, query


def test_grafana_s_importer_finds_all_that_it_looks_for_in_the_dashboard() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/barray.json").read_text())
    panels, variables = dashboard["panels"], {one["name"]: one for one in dashboard["templating"]["list"]}
    assert dashboard["title"]
    assert len(dashboard["uid"]) <= 40
    assert dashboard.get("id") is None, "it is the importing server's"
    assert 36 <= dashboard["schemaVersion"] <= 41, "what Grafana 10 to 12 take as it is"
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "no panel lies on another"
    assert max(x for x, _ in cells) < 24
    assert (variables["source"]["type"], variables["source"]["query"]) == ("datasource", "prometheus")
    asked = [variables["session"], *panels, *(target for panel in panels for target in panel["targets"])]
    assert all(one["datasource"] == {"type": "prometheus", "uid": "${source}"} for one in asked)
    for panel in panels:
        assert panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    names = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__all"}
    assert names <= variables.keys()


def test_without_ray_nothing_is_exported() -> None:
    assert not node_exports()
