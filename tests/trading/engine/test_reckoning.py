"""Sessions reckoned together come to what each comes to alone, to the last bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barray.trading.engine.reckoning import Reckoning
from barray.trading.orders.costs import Market
from tests.examples import at_most
from tests.trading.engine.test_basket import ACCOUNTS, COSTS, REBALANCES, told, walks
from tests.trading.windows import MINUTE, Floor, lay, plan, sessions_of


@pytest.mark.long
@settings(max_examples=at_most(100), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(COSTS), st.sampled_from(ACCOUNTS), st.sampled_from([0.0, 0.1]))
def test_sessions_come_to_the_same_together_by_twos_and_alone(
    seed: int, market: Market, account: dict[str, Any], missing: float
) -> None:
    parameters = {"seed": seed, "often": 0.2}
    account = {**account, "flat_at_close": True} if account.get("carry") is False else account
    made = plan(REBALANCES, "on_window", parameters=parameters, market=market, capital=3000.0, **account)
    loaded = walks(seed, 5, 20, missing)
    together = told(replace(made, reserve=0.02), loaded, MINUTE)
    alone = told(replace(made, reserve=0.02), loaded, MINUTE, pickled=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reckoning, "most_stamps", 40 * len(loaded))
        by_twos = told(replace(made, reserve=0.02), loaded, MINUTE)
    assert alone == together
    assert by_twos == together


def test_a_session_is_enough_when_its_outcome_says_so() -> None:
    session_range = sessions_of(3, 10, back=1)
    loaded = {"A": lay(session_range, "A", [10.0] * 40)}
    text = (
        "class Buys(Strategy):\n    def on_session(self, view): view.order('A', 1)\n    def on_window(self, view): ..."
    )
    made = plan(text, "on_window")
    floor = Floor(made, loaded)
    floor._load()
    dates: list[int] = []
    outcomes = floor.portfolio.sessions(
        session_range.rows.tolist(), lambda outcome: dates.append(len(outcome.begun)) or len(dates) == 2
    )
    assert [len(outcome.days.fills) if outcome.days else 0 for outcome in outcomes] == [1, 1]
    assert [outcome.orders.filled.tolist() for outcome in outcomes] == [[1.0], [1.0]]
    following = floor.portfolio.session(int(session_range.rows[2]))
    assert following.days is not None
    assert following.days.spent.tolist() == [20.0, 30.0]
