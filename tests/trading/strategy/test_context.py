"""What a strategy sees while it runs, and when it is called."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from barray.market.errors import ConfigError
from barray.market.interval import Interval
from barray.trading.orders.broker import Account
from barray.trading.orders.fills import Fill
from barray.trading.orders.order import Order
from barray.trading.strategy.context import Context
from tests.market.builders import MINUTE_NS
from tests.trading.runs import HALF_DAY_WEEK, Recorder, data_for, minutes, run, sessions_of

SESSIONS = sessions_of()
BASE = minutes(SESSIONS)
N = len(BASE)


def go(strategy: Recorder, traded: list[int] | None = None, account: Account | None = None, base: Any = BASE) -> Any:
    outcome = run(strategy, data_for(strategy, base, SESSIONS, traded), account=account)
    assert outcome.error is None, outcome.error
    return outcome


def test_series_end_at_the_newest_closed_bar() -> None:
    seen = []

    def look(ctx: Context) -> None:
        closes, n = ctx.close, ctx.bar
        if n % 100:
            return
        assert len(closes) == len(ctx.bars("1m")) == n
        assert closes[-1] == closes[n - 1] == BASE.bars.close[n - 1]
        assert closes[-n] == closes[0] == BASE.bars.close[0]
        assert closes[-20:].tolist() == BASE.bars.close[n - 20 : n].tolist()
        assert closes[n - 5 :].tolist() == closes[-5:].tolist()
        assert len(closes[:]) == len(closes[: n + 50]) == len(np.asarray(closes)) == n
        assert type(closes[-1]) is float
        for beyond in (n, n + 1, -n - 1):
            with pytest.raises(IndexError):
                closes[beyond]
        for array in (closes[-20:], np.asarray(closes), ctx.indicators["sma"][-5:]):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0
        assert ctx.indicators["sma"][-1] == pytest.approx(BASE.bars.close[n - 3 : n].mean())
        assert [ctx.open[-1], ctx.high[-1], ctx.low[-1], ctx.volume[-1]] == [
            getattr(BASE.bars, name)[n - 1] for name in ("open", "high", "low", "volume")
        ]
        seen.append(n)

    go(Recorder(look, indicators={"sma": "SMA(3)"}))
    assert seen == list(range(100, N + 1, 100))


def test_time_is_when_the_newest_bar_closed() -> None:
    seen = []

    def look(ctx: Context) -> None:
        seen.append((ctx.now_ns, ctx.now.strftime("%H:%M"), ctx.session_date, ctx.minute, ctx.minutes_to_close))

    go(Recorder(look))
    assert [one[0] for one in seen] == BASE.end_ns.tolist()
    assert seen[0][1:] == ("09:31", date(2024, 6, 3), 1, 389)
    assert seen[389][1:] == ("16:00", date(2024, 6, 3), 390, 0)
    assert seen[390][1:] == ("09:31", date(2024, 6, 4), 1, 389)


def test_on_start_and_on_session_come_at_the_open_and_know_of_nothing_later() -> None:
    seen: list[Any] = []

    def note(what: str) -> Any:
        return lambda ctx: seen.append((what, ctx.now.strftime("%a %H:%M"), ctx.session_date.day, ctx.minute, ctx.bar))

    bar = note("bar")
    hooks = {"on_start": note("start"), "on_session": note("session")}
    go(Recorder(lambda ctx: bar(ctx) if ctx.minute in (1, 390) else None, **hooks), traded=[0, 2])
    assert seen == [
        ("start", "Mon 09:30", 3, 0, 0),
        ("session", "Mon 09:30", 3, 0, 0),
        ("bar", "Mon 09:31", 3, 1, 1),
        ("bar", "Mon 16:00", 3, 390, 390),
        ("session", "Wed 09:30", 5, 0, 780),  # Tuesday is not traded, but seen
        ("bar", "Wed 09:31", 5, 1, 781),
        ("bar", "Wed 16:00", 5, 390, 1170),
    ]


def test_equity_and_cash_before_any_bar_has_closed() -> None:
    seen = []
    go(Recorder(on_start=lambda ctx: seen.append((ctx.cash, ctx.equity, ctx.position, ctx.orders))), traded=[0])
    assert seen == [(100_000, 100_000, 0, [])]


def test_coarser_bars_are_seen_once_closed() -> None:
    def look(ctx: Context) -> None:
        start = BASE.bars.start_ns[ctx.bar - 1]
        session = (ctx.bar - 1) // 390
        passed = (start + MINUTE_NS - SESSIONS.open_ns[session]) // MINUTE_NS
        assert len(ctx.bars("7m")) == session * 56 + (56 if passed == 390 else passed // 7)  # the last one is cut
        assert len(ctx.bars("1d")) == session + (passed == 390)
        assert len(ctx.indicators["day"]) == len(ctx.bars("1d"))
        if ctx.minute == 21:
            assert ctx.bars("7m").close[-1] == ctx.close[-1]
            assert ctx.bars("7m").open[-1] == ctx.open[-7]
            assert ctx.bars("7m").high[-1] == ctx.high[-7:].max()

    go(Recorder(look, intervals=("7m", "1d"), indicators={"day": "SMA(2)@1d"}))


def test_a_coarser_main_interval_is_called_at_its_bars_ends_and_fills_on_base_bars() -> None:
    calls = []

    def decide(ctx: Context) -> None:
        calls.append(ctx.now_ns)
        ctx.buy(1) if not ctx.position else ctx.close_position()

    strategy = Recorder(decide, interval="30m")
    outcome = go(strategy, traded=[1])
    opens = range(int(SESSIONS.open_ns[1]), int(SESSIONS.close_ns[1]), 30 * MINUTE_NS)
    assert calls == [stamp + 30 * MINUTE_NS for stamp in opens]
    assert outcome.fills.bar_ns.tolist() == calls[:-1]  # each at the minute that starts where the decision was taken
    assert outcome.fills.price.tolist() == [BASE.bars.open[390 + 30 * k] for k in range(1, 13)]


@pytest.mark.long
def test_weekly_main_bars_are_acted_on_where_they_close() -> None:
    sessions = sessions_of(date(2024, 6, 3), date(2024, 6, 14))
    base = minutes(sessions)
    calls = []
    strategy = Recorder(lambda ctx: (calls.append(ctx.now.strftime("%d %H:%M")), ctx.buy(1)), interval="1w")
    outcome = run(strategy, data_for(strategy, base, sessions))
    assert outcome.error is None
    assert calls == ["07 16:00", "14 16:00"]
    assert outcome.fills.bar_ns.tolist() == [int(sessions.open_ns[5])]


def test_on_fill_comes_before_the_bar_it_filled_in_is_seen() -> None:
    told: list[Any] = []

    def filled(ctx: Context, fill: Fill) -> None:
        told.append(("fill", fill.row, ctx.bar, ctx.position))

    def decide(ctx: Context) -> None:
        if ctx.bar == 5:
            ctx.buy(10)
        if ctx.bar in (5, 6):
            told.append(("bar", ctx.bar - 1, ctx.bar, ctx.position))

    go(Recorder(decide, on_fill=filled))
    assert told == [("bar", 4, 5, 0), ("fill", 5, 5, 10), ("bar", 5, 6, 10)]


def test_an_order_in_on_fill_fills_from_the_next_bar_on() -> None:
    outcome = go(
        Recorder(
            lambda ctx: ctx.buy(10) if ctx.bar == 5 else None,
            on_fill=lambda ctx, fill: ctx.sell(10) if fill.quantity > 0 else None,
        )
    )
    assert outcome.fills.row.tolist() == [5, 6]


def test_an_order_at_the_open_fills_at_the_open() -> None:
    outcome = go(Recorder(on_session=lambda ctx: ctx.order_target(ctx.position + 1)), traded=[1, 3])
    assert outcome.fills.row.tolist() == [390, 3 * 390]


def test_orders_carry_over_sessions_and_day_orders_do_not() -> None:
    placed: list[Order] = []

    def decide(ctx: Context) -> None:
        if ctx.bar == 389:
            placed.append(ctx.buy(1, limit=0.01, tif="day"))
            placed.append(ctx.buy(1, limit=0.01))
        elif ctx.bar == 390:
            assert [order.status for order in placed] == ["expired", "working"]
            placed.append(ctx.buy(1, limit=0.01, tif="day"))  # for tomorrow
        elif ctx.bar == 779:
            assert [order.status for order in placed] == ["expired", "working", "working"]
        elif ctx.bar == 780:
            assert [order.status for order in placed] == ["expired", "working", "expired"]

    go(Recorder(decide))
    assert len(placed) == 3


def test_market_orders_of_a_last_bar_fill_at_the_next_traded_sessions_open() -> None:
    outcome = go(Recorder(lambda ctx: ctx.buy(1) if ctx.minutes_to_close == 0 else None), traded=[0, 3])
    assert outcome.fills.row.tolist() == [3 * 390]  # and nothing follows session 3's


def test_flat_at_close_ends_every_session_without_position_and_orders() -> None:
    def decide(ctx: Context) -> None:
        if ctx.minutes_to_close == 0:
            assert ctx.position == 0
            assert ctx.orders == []
            ctx.buy(5)  # cancelled: the session has closed
        elif ctx.minute in (10, 389):
            ctx.buy(5, stop_loss=0.01)

    outcome = go(Recorder(decide), account=Account(flat_at_close=True))
    assert outcome.fills.quantity.tolist() == [5, 5, -10] * 5
    assert outcome.fills.row.tolist() == [row for k in range(5) for row in (390 * k + 10, 390 * k + 389, 390 * k + 389)]
    assert outcome.fills.price[outcome.fills.at_close].tolist() == BASE.bars.close[389::390].tolist()


@pytest.mark.parametrize("interval", ["1m", "5m"])
def test_half_days_and_missing_minutes(interval: str) -> None:
    sessions = sessions_of(*HALF_DAY_WEEK)
    base = minutes(sessions, drop=lambda stamps: (stamps // MINUTE_NS) % 11 < 7)  # whole five minutes are missing
    calls = []

    def decide(ctx: Context) -> None:
        calls.append(ctx.now_ns)
        if ctx.minute > 5:
            ctx.order_target(0 if ctx.position else 1)

    strategy = Recorder(decide, interval=interval)
    data = data_for(strategy, base, sessions)
    outcome = run(strategy, data, account=Account(flat_at_close=True))
    assert outcome.error is None
    assert calls == data.bars.end_ns.tolist()
    assert [str(day) for day in sessions.dates] == ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    last_rows = [data.base_rows(row)[1] - 1 for row in range(4)]
    assert set(outcome.fills.row[outcome.fills.at_close].tolist()) <= set(last_rows)
    assert float(outcome.fills.quantity.sum()) == 0
    starts = base.bars.start_ns
    for row in outcome.fills.row[~outcome.fills.at_close]:  # each at the first base bar from a main bar's end on
        assert any(starts[row - 1] < call <= starts[row] for call in calls)


def test_a_session_without_bars_is_passed_over() -> None:
    base = minutes(SESSIONS, drop=lambda stamps: (stamps >= SESSIONS.open_ns[2]) & (stamps < SESSIONS.close_ns[2]))
    days = []
    strategy = Recorder(on_session=lambda ctx: days.append(ctx.session_date.day))
    assert run(strategy, data_for(strategy, base, SESSIONS)).error is None
    assert days == [3, 4, 6, 7]


def test_an_error_stops_the_symbol_and_is_told_with_its_line() -> None:
    placed = []

    def decide(ctx: Context) -> None:
        if ctx.bar == 5:
            ctx.buy(10)
            placed.append(ctx.buy(10, limit=0.01))
        if ctx.bar == 8:
            raise ZeroDivisionError("the user's own mistake")

    strategy = Recorder(decide)
    outcome = run(strategy, data_for(strategy, BASE, SESSIONS))
    assert outcome.error is not None
    assert "the user's own mistake" in outcome.error
    assert "test_context.py" in outcome.error
    assert outcome.error_ns == int(BASE.end_ns[7])
    assert outcome.fills.quantity.tolist() == [10]
    assert [order.status for order in placed] == ["cancelled"]


@pytest.mark.parametrize("hook", ["on_start", "on_session", "on_fill"])
def test_errors_in_any_method_are_told(hook: str) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(hook)

    strategy = Recorder(lambda ctx: ctx.buy(1), **{hook: fail})
    outcome = run(strategy, data_for(strategy, BASE, SESSIONS))
    assert outcome.error is not None
    assert f"RuntimeError: {hook}" in outcome.error


def test_an_interval_that_was_not_declared_is_named() -> None:
    strategy = Recorder(lambda ctx: ctx.bars("5m"))
    outcome = run(strategy, data_for(strategy, BASE, SESSIONS))
    assert outcome.error is not None
    assert ConfigError.__name__ in outcome.error
    assert "name it in intervals" in outcome.error


@pytest.mark.parametrize(("call", "instead"), [("buy(-5)", "sell(5) sells"), ("sell(-5)", "buy(5) buys")])
def test_buying_and_selling_take_a_positive_quantity(call: str, instead: str) -> None:
    outcome = run(strategy := Recorder(lambda ctx: eval(f"ctx.{call}")), data_for(strategy, BASE, SESSIONS))
    assert f"ConfigError: {call}" in str(outcome.error)
    assert instead in str(outcome.error)
    assert len(outcome.fills) == 0


def test_less_than_a_lot_is_refused_and_counted() -> None:
    outcome = go(Recorder(lambda ctx: ctx.buy(0.4) if ctx.bar in (5, 8) else None))
    assert len(outcome.fills) == 0
    assert [refusal.bar_ns for refusal in outcome.refusals] == BASE.bars.start_ns[[5, 8]].tolist()
    assert {refusal.reason for refusal in outcome.refusals} == {"0.4 is less than a lot of 1"}


def test_a_stop_loss_above_the_price_buys_nothing_and_is_counted() -> None:
    outcome = go(
        Recorder(lambda ctx: None if ctx.position or ctx.orders else ctx.buy(1, stop_loss=ctx.close[-1] * 2)), [1]
    )
    assert len(outcome.fills) == 0
    assert len(outcome.refusals) == 389  # every bar's but the last one's


def test_targets_replace_what_works() -> None:
    orders: list[Any] = []

    def decide(ctx: Context) -> None:
        if ctx.bar == 2:
            orders.append(ctx.buy(5, limit=0.01))
            orders.append(ctx.order_target(10))
        if ctx.bar == 4:
            orders.append(ctx.order_target(10))
            orders.append(ctx.order_target(-3))
        if ctx.bar == 6:
            orders.append(ctx.close_position())

    outcome = go(Recorder(decide))
    assert orders[0].status == "cancelled"
    assert orders[2] is None
    assert outcome.fills.quantity.tolist() == [10, -13, 3]


def test_cancelled_orders_do_not_fill() -> None:
    def decide(ctx: Context) -> None:
        if ctx.bar == 2:
            ctx.cancel(ctx.buy(5))
        if ctx.bar == 3:
            ctx.sell(5)
            ctx.cancel_all()
            assert ctx.orders == []

    assert len(go(Recorder(decide)).fills) == 0


def test_base_bars_of_a_day_are_traded_from_open_to_open() -> None:
    sessions = sessions_of()
    strategy = Recorder(lambda ctx: ctx.buy(1, tif="day"), interval="1d")
    minute_data = data_for(strategy, BASE, sessions)
    daily = minute_data.series[Interval.parse("1d")]
    outcome = run(strategy, data_for(strategy, daily, sessions))
    assert outcome.error is None
    assert outcome.fills.row.tolist() == [1, 2, 3, 4]  # day orders placed at a close are the next day's
