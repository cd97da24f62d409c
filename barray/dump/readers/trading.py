"""What a strategy did, read from a dump: the objects that it was written from, but for the strategy's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from barray.dump.trading import AccountJson, GoneJson, MarketJson, OpeningJson, RevisedJson, TradingJson
from barray.market.bars import COLUMNS, Bar, Bars, parse_ns
from barray.market.interval import Interval
from barray.market.requirements import SessionContext
from barray.market.series import IntervalBars, lay_on_sessions
from barray.trading.engine.commands import Plan
from barray.trading.engine.notes import Decision, Filled, Pages, Refused, Revised, Stood
from barray.trading.engine.opening import Holding, Opening
from barray.trading.engine.session_trading import Membership, SessionTrading, TradingPlan
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.orders.limits import Group, Limits
from barray.trading.results.logs import LogLine, Logs
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.source import StrategySource


def read_trading(entry: TradingJson, context: SessionContext) -> SessionTrading:
    """The objects; ValueError or one of our errors where a stamp, name or number can't be meant."""
    intervals = [Interval.parse(text) for text in entry["intervals"]]
    account, limits = _account(entry["account"])
    plan = Plan(
        StrategySource(entry["strategy"], ""),
        entry["parameters"],
        entry["form"],
        _market(entry["market"]),
        account,
        entry["account"]["shared"],
        entry["account"]["reserve"],
        limits=limits,
    )
    window = Interval.parse(entry["window"])
    given = TradingPlan(
        plan, Needs(intervals[0], tuple(sorted(intervals)), {}), entry["strategy"], entry["code"], window
    )
    return SessionTrading(
        given,
        window,
        Interval.parse(entry["base"]),
        parse_ns(entry["began"]),
        parse_ns(entry["until"]),
        _opening(entry["opening"]),
        tuple(entry["members"]),
        tuple(Membership(parse_ns(one["at"]), tuple(one["joined"]), tuple(one["left"])) for one in entry["changes"]),
        _pages(entry),
        {symbol: _gone(symbol, one, context) for symbol, one in entry["gone"].items()},
        entry["errors"],
        entry["error"],
        Logs(
            tuple(
                LogLine(None if one["at"] is None else parse_ns(one["at"]), one["symbol"], one["text"])
                for one in entry["logs"]
            ),
            entry["logs_left_out"],
        ),
        "revised" in entry,
    )


def _market(entry: MarketJson) -> Market:
    commission, slippage = Commission(**entry["commission"]), Slippage(**entry["slippage"])
    return Market(commission, slippage, entry["lot_size"], entry["tick_size"], entry["volume_share"])


def _account(entry: AccountJson) -> tuple[Account, Limits | None]:
    account = Account(entry["capital"], entry["margin"], entry["short"], entry["flat_at_close"], entry["carry"])
    if "limits" not in entry:
        return account, None
    told = entry["limits"]
    groups = {name: Group(frozenset(one["symbols"]), one["most"]) for name, one in told["groups"].items()}
    return account, Limits(told["gross"], told["net"], told["symbol"], groups)


def _opening(entry: OpeningJson) -> Opening:
    holdings = {
        symbol: Holding(
            one["position"], one["cash"], _pair(one["booked"]), one["placed"], tuple(one["orders"]), one["failed"]
        )
        for symbol, one in entry["holdings"].items()
    }
    return Opening(entry["cash"], entry["may_owe"], entry["closes"], holdings, entry["purchases"])


def _pair(values: list[float]) -> tuple[float, float]:
    cash, position = values
    return cash, position


def _pages(entry: TradingJson) -> Pages:
    decisions = tuple(
        Decision(parse_ns(one["at"]), one["own"], one["call"], one["nth"], one["action"], one["symbol"], one["detail"])
        for one in entry["decisions"]
    )
    fills = tuple(Filled(**_unstamped(one)) for one in entry["fills"])
    refusals = tuple(Refused(**_unstamped(one)) for one in entry["refusals"])
    stood = entry["stood"]
    columns = zip(stood["at"], stood["cash"], stood["equity"], strict=True)
    stood_at = tuple(Stood(parse_ns(at), float(cash), float(equity)) for at, cash, equity in columns)
    return Pages(decisions, fills, refusals, stood_at, tuple(map(_revised, entry.get("revised", ()))))


def _revised(entry: RevisedJson) -> Revised:
    start_ns, before = parse_ns(entry["bar"]), entry["before"]
    old = None if before is None else Bar(start_ns, *map(float, before))
    return Revised(parse_ns(entry["at"]), entry["symbol"], Bar(start_ns, *map(float, entry["after"])), old)


def _unstamped(values: Mapping[str, Any]) -> dict[str, Any]:
    names = {"at": "at_ns", "bar": "bar_ns"}
    return {names.get(name, name): parse_ns(value) if name in names else value for name, value in values.items()}


def _gone(symbol: str, entry: GoneJson, context: SessionContext) -> IntervalBars:
    starts = np.array([parse_ns(text) for text in entry["timestamp"]], np.int64)
    bars = Bars(starts, *(np.array(entry[name], np.float64) for name in COLUMNS))  # type: ignore[literal-required]
    interval = Interval.parse(entry["interval"])
    return lay_on_sessions(bars, interval, context.sessions, context.row, symbol=symbol, source="dump")
