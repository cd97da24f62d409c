"""What a strategy did, in a dump: whatever is changed in it is found, also where all digests are made anew."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barray.dump.digest import SessionDigest
from barray.dump.validate import validate_session_dump
from tests.coordinator.traded import TradedSession, settings_of
from tests.examples import at_most
from tests.trading.random_days import TEXTS
from tests.trading.windows import HEAD

pytestmark = pytest.mark.long
Leaf = tuple[str | int, ...]
UNFOUNDED = ("detail",)
"""What a strategy said is taken as it is: of that only the digest tells, and what came of it."""
COMES_OF_IT = ("orders", "fills", "refusals", "stood", "positions", "decisions", "error")
FEW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def tree(universe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A day of random orders, shared money, a symbol that comes and one that goes."""
    text = HEAD + TEXTS["on_window"].replace('"G", "H", "NONE"', '"TSLA", "NOPE"').replace('"G"', '"TSLA"')
    schedule = [{"at": "13:00", "remove_symbol": "MSFT"}]
    config = settings_of(
        universe,
        "AAPL",
        "MSFT",
        schedule=schedule,
        strategy={"parameters": {"seed": 6}, "window": "15m"},
        account={"capital": 20_000, "shared": True},
        costs={"commission": {"per_share": 0.01}},
    )
    session, folder = TradedSession(config, text), tmp_path_factory.mktemp("traded")

    async def day() -> Path:
        await session.begin()
        await session.coordinator.advance_to()
        await session.coordinator.end()
        return (await session.dump(folder))[0]

    found: dict[str, Any] = json.loads(asyncio.run(day()).read_bytes())
    assert {one["action"] for one in found["trading"]["decisions"]} >= {
        "order",
        "cancel_all",
        "rebalance",
        "add_symbol",
    }
    assert found["trading"]["gone"].keys() >= {"MSFT"}
    return found


def leaves(value: Any, at: Leaf = ()) -> Iterator[Leaf]:
    """Where all values are that hold no others."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from leaves(one, (*at, key))
    elif isinstance(value, list) and value:
        for number, one in enumerate(value):
            yield from leaves(one, (*at, number))
    else:
        yield at


def edited(tree: dict[str, Any], at: Leaf, *, anew: bool) -> dict[str, Any]:
    """The dump with another value there, under a digest that is made `anew`, or the old one."""
    changed = copy.deepcopy(tree)
    inside = changed["trading"]
    for key in at[:-1]:
        inside = inside[key]
    inside[at[-1]] = another(inside[at[-1]])
    if anew:
        symbols = changed.pop("symbols")
        total = SessionDigest(changed)
        for name, entry in symbols.items():
            total.add(name, entry)
        changed |= {"digest": total.hexdigest(), "symbols": symbols}
    return changed


def another(value: Any) -> Any:
    """Something else of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if value.endswith("Z"):
            return (
                value.replace(":", ":0", 1)[:14] + "1" + value[15:]
                if value[14] != "1"
                else value[:14] + "2" + value[15:]
            )
        case str():
            return value + "x"
        case None:
            return 1.0
        case list():
            return ["x"]
    return {"x": 1.0}


@settings(max_examples=at_most(40), deadline=None, suppress_health_check=FEW)
@given(st.data())
def test_any_value_that_is_changed_is_found(tree: dict[str, Any], tmp_path: Path, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from(list(leaves(tree["trading"]))))
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(edited(tree, at, anew=False)))
    assert validate_session_dump(path)


@settings(max_examples=at_most(60), deadline=None, suppress_health_check=FEW)
@given(st.data())
def test_fills_orders_cash_and_equity_are_found_by_themselves(
    tree: dict[str, Any], tmp_path: Path, data: st.DataObject
) -> None:
    told = [at for at in leaves(tree["trading"]) if at[0] in COMES_OF_IT and not set(at) & set(UNFOUNDED)]
    at = data.draw(st.sampled_from(told))
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(edited(tree, at, anew=True)))
    found = validate_session_dump(path)
    assert found, at
    assert all(one.place.startswith("trading") for one in found)


def test_the_csv_of_orders_and_fills_has_them_all_and_its_digest_tells_edits(universe: Path, tmp_path: Path) -> None:
    text = HEAD + "class Buys(Strategy):\n    def on_bar(self, ctx):\n        if ctx.minute in (3, 9): ctx.buy(2)\n"
    session = TradedSession(settings_of(universe, "AAPL", "MSFT"), text)

    async def day() -> list[Path]:
        await session.begin()
        await session.coordinator.advance_to()
        await session.coordinator.end()
        return await session.dump(tmp_path, ("csv",))

    bars, traded = asyncio.run(day())
    assert traded.name == "traded-2024-07-02-trading.csv"
    assert validate_session_dump(bars) == validate_session_dump(traded) == []
    lines = traded.read_text().splitlines()
    assert [line.split(",")[2] for line in lines[1:]].count("fill") == 4
    assert len(lines) == 9
    for before, after in ((",fill,1,2.0", ",fill,1,3.0"), ("2024-07-02T13:33:00Z", "2024-07-02T13:34:00Z")):
        traded.write_text("\n".join(lines).replace(before, after, 1) + "\n")
        assert {one.code for one in validate_session_dump(traded)} == {"digest"}


def test_a_dump_without_edits_is_valid(tree: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "same.json"
    path.write_text(json.dumps(tree))
    assert validate_session_dump(path) == []


def test_a_decision_more_or_less_is_found(tree: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "edited.json"
    orders = [n for n, one in enumerate(tree["trading"]["decisions"]) if one["action"] == "order"]
    for number in orders[:5]:
        for count in (0, 2):
            changed = copy.deepcopy(tree)
            decisions = changed["trading"]["decisions"]
            decisions[number : number + 1] = [decisions[number]] * count
            path.write_text(json.dumps(changed))
            assert any(one.place.startswith("trading") for one in validate_session_dump(path))
