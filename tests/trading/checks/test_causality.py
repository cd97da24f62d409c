"""The lookahead and warm-up checks find what was planted, and leave honest strategies alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from barray.market.bars import Bars
from barray.trading.checks.causality import lookahead
from barray.trading.checks.lookahead_report import LookaheadReport
from barray.trading.checks.warmup import warmup
from barray.trading.engine.symbol_run import LoadedRange
from barray.trading.orders.broker import Account
from barray.trading.orders.costs import Commission, Market, Slippage
from barray.trading.orders.fills import Fill
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.context import Context
from barray.trading.strategy.data import SymbolData
from barray.trading.strategy.signals import Signals
from tests.trading.sweep_data import loaded_range, plan_of

COSTLY = Market(Commission(per_share=0.01), Slippage(bps=1.0), volume_share=0.2)


def check(kind: type[Strategy], form: str, loaded: LoadedRange, account: Account, **how: int) -> LookaheadReport:
    return lookahead(loaded, plan_of(kind, form, COSTLY, account), **how)


class Crossing(Strategy):
    """Moving averages, both forms."""

    def indicators(self) -> dict[str, str]:
        return {"fast": "SMA(3)", "slow": "EMA(9)"}

    def signals(self, data: SymbolData) -> Signals:
        above = data.indicators["fast"] > data.indicators["slow"]
        return Signals(above, ~above, size=10.0)

    def on_bar(self, ctx: Context) -> None:
        above = ctx.indicators["fast"][-1] > ctx.indicators["slow"][-1]
        if above and not ctx.position and not ctx.orders:
            ctx.buy(10)
        elif not above and ctx.position and not ctx.orders:
            ctx.close_position()


class HigherIntervals(Strategy):
    """5m and daily bars as far as they have closed; shorts with stops in signals."""

    intervals = ("5m", "1d")

    def indicators(self) -> dict[str, str]:
        return {"rsi": "RSI(4)@5m", "daily": "SMA(2)@1d", "atr": "ATR(5)"}

    def signals(self, data: SymbolData) -> Signals:
        seen = data.visible(data.specs["rsi"].interval)
        rsi = np.where(seen > 0, data.indicators["rsi"][np.maximum(seen - 1, 0)], np.nan)
        days = data.visible(data.specs["daily"].interval)
        daily = np.where(days > 0, data.indicators["daily"][np.maximum(days - 1, 0)], np.nan)
        up, down = (rsi > 60) & (data.close > daily * 0.9), rsi < 40
        return Signals(up, down, down, up, size=data.close / 10, stop_loss=data.close - 2 * data.indicators["atr"])

    def on_bar(self, ctx: Context) -> None:
        if len(ctx.bars("5m")) and len(ctx.bars("1d")) and not ctx.orders:
            target = 5 if ctx.indicators["rsi"][-1] > 55 and ctx.close[-1] > ctx.bars("1d").low[-1] * 0.9 else -5
            ctx.order_target(target)


class Orders(Strategy):
    """Orders from every callback, of all kinds, cancelled too."""

    def on_start(self, ctx: Context) -> None:
        ctx.buy(1)

    def on_session(self, ctx: Context) -> None:
        ctx.buy(3, tif="day")

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        if fill.quantity > 0:
            ctx.sell(fill.quantity, limit=fill.price * 1.002)

    def on_bar(self, ctx: Context) -> None:
        if ctx.minute % 7 == 0:
            ctx.cancel_all()
            ctx.buy(2, stop=ctx.close[-1] * 1.001, limit=ctx.close[-1] * 1.002)
        elif ctx.minute % 11 == 0 and ctx.minutes_to_close > 5:
            ctx.buy(4, stop_loss=ctx.close[-1] * 0.998, take_profit=ctx.close[-1] * 1.003)


class Opening(Strategy):
    """The session's first bars, and its vwap."""

    def indicators(self) -> dict[str, str]:
        return {"vwap": "SESSION_VWAP"}

    def signals(self, data: SymbolData) -> Signals:
        first = data.minute <= 10
        return Signals(~first & (data.close > data.indicators["vwap"]), data.minute >= 50, size=3.0)

    def on_bar(self, ctx: Context) -> None:
        if 10 < ctx.minute < 50 and ctx.close[-1] > ctx.indicators["vwap"][-1] and not ctx.position and not ctx.orders:
            ctx.buy(3)
        elif ctx.minute >= 50:
            ctx.close_position()


class Coarse(Strategy):
    """Decides on 5m bars, fills on 1m; looks at returns of what it has seen."""

    interval = "5m"

    def signals(self, data: SymbolData) -> Signals:
        logs = np.log(data.close)
        change = np.concatenate(([0.0], np.diff(logs)))
        return Signals(change > 0, change < 0, size=7.0)

    def on_bar(self, ctx: Context) -> None:
        if len(ctx.close) > 1 and ctx.close[-1] > ctx.close[-2]:
            ctx.order_target(6)
        else:
            ctx.close_position()


ACCOUNTS = [Account(), Account(capital=900.0, flat_at_close=True), Account(flat_at_close=True, carry=False)]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("account", ACCOUNTS, ids=["kept", "flat", "anew"])
@pytest.mark.parametrize("kind", [Crossing, HigherIntervals, Orders, Opening, Coarse])
def test_honest_strategies_raise_no_alarm(kind: type[Strategy], account: Account, seed: int) -> None:
    made = loaded_range(seed, n=5, minutes=60)
    for form in kind.forms():
        report = check(kind, form, made, account, cuts=16, seed=seed)
        assert report.ok, report.sentences
        assert report.decisions > 3
        assert report.cuts >= 8
        assert "no decision depends on the future" in report.sentences[0]


def _padded(values: np.ndarray) -> np.ndarray:
    return np.append(values[1:], np.nan)


class NextClose(Strategy):
    def signals(self, data: SymbolData) -> Signals:
        ahead = _padded(data.close) > data.close
        return Signals(ahead, ~ahead)


class WholeRange(Strategy):
    def signals(self, data: SymbolData) -> Signals:
        scaled = (data.close - data.close.min()) / (data.close.max() - data.close.min())
        return Signals(scaled > 0.5, scaled < 0.5)


class WholeMean(Strategy):
    def signals(self, data: SymbolData) -> Signals:
        score = (data.close - data.close.mean()) / data.close.std()
        return Signals(score < -1, score > 1)


class UnclosedBar(Strategy):
    intervals = ("5m",)

    def signals(self, data: SymbolData) -> Signals:
        five = next(series for interval, series in data.series.items() if str(interval) == "5m")
        row = np.searchsorted(five.bars.start_ns, data.bars.bars.start_ns, side="right") - 1
        rising = five.bars.close[row] > five.bars.open[row]
        return Signals(rising, ~rising)


class UnclosedIndicator(Strategy):
    def indicators(self) -> dict[str, str]:
        return {"slow": "SMA(3)@15m"}

    def signals(self, data: SymbolData) -> Signals:
        coarse = data.series[data.specs["slow"].interval]
        row = np.searchsorted(coarse.bars.start_ns, data.bars.bars.start_ns, side="right") - 1
        above = data.close > data.indicators["slow"][row]
        return Signals(above, ~above)


class NextIndicator(Strategy):
    def indicators(self) -> dict[str, str]:
        return {"rsi": "RSI(5)"}

    def signals(self, data: SymbolData) -> Signals:
        ahead = _padded(data.indicators["rsi"])
        return Signals(ahead > 50, ahead < 50)


class FutureSize(Strategy):
    def signals(self, data: SymbolData) -> Signals:
        every = np.arange(len(data.close))
        return Signals(every % 10 == 0, every % 10 == 5, size=np.append(data.volume[3:], [1.0, 1.0, 1.0]))


class FutureStop(Strategy):
    def signals(self, data: SymbolData) -> Signals:
        every = np.arange(len(data.close))
        lowest = np.minimum.accumulate(data.low[::-1])[::-1]
        return Signals(every % 10 == 0, every % 10 == 5, stop_loss=lowest - 0.01)


class Peeping(Strategy):
    def on_bar(self, ctx: Context) -> None:
        closes = ctx._data.close
        if ctx.bar < len(closes) and closes[ctx.bar] > ctx.close[-1] and not ctx.orders:
            ctx.order_target(0 if ctx.position else 5)


class Rare(Strategy):
    """Looks one bar ahead, but decides seldom."""

    def signals(self, data: SymbolData) -> Signals:
        jump = _padded(data.close) / data.close - 1
        return Signals(jump > 0.004, jump < -0.004)


BUGS = [
    (NextClose, "signals", "1m bars"),
    (WholeRange, "signals", "1m bars"),
    (WholeMean, "signals", "1m bars"),
    (UnclosedBar, "signals", "5m bars"),
    (UnclosedIndicator, "signals", "slow (SMA(3)@15m)"),
    (NextIndicator, "signals", "rsi (RSI(5)@1m)"),
    (FutureSize, "signals", "1m bars"),
    (FutureStop, "signals", "1m bars"),
    (Peeping, "on_bar", "1m bars"),
    (Rare, "signals", "1m bars"),
]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("kind", "form", "culprit"), BUGS, ids=[kind.__name__ for kind, _, _ in BUGS])
def test_planted_lookahead_is_found_with_the_input_it_comes_through(
    kind: type[Strategy], form: str, culprit: str, seed: int
) -> None:
    report = check(kind, form, loaded_range(seed, n=6), Account(flat_at_close=seed == 2), seed=seed)
    assert not report.ok
    assert {name for found in report.differences for name in found.culprits} == {culprit}
    first = report.differences[0]
    assert first.symbol == "AAA"
    assert first.decided_ns <= first.cut_ns
    assert first.decided != first.instead
    assert "looks ahead" in report.sentences[0]
    assert culprit in report.sentences[1]
    assert "hint" in report.sentences[-1]


class LastBar(Strategy):
    """Knows a session's last bar by the next one's session: prices don't matter, but whether bars follow does."""

    def signals(self, data: SymbolData) -> Signals:
        last = np.append(data.session[1:] != data.session[:-1], True)
        return Signals(data.minute == 5, last)


def test_a_decision_by_whether_bars_follow_is_found_by_the_cut() -> None:
    report = check(LastBar, "signals", loaded_range(3), Account())
    assert {found.future for found in report.differences} == {"cut off"}
    assert "whether another bar" in report.sentences[-1]


class Whims(Strategy):
    def signals(self, data: SymbolData) -> Signals:
        buy = np.random.default_rng().random(len(data.close)) > 0.5
        return Signals(buy, ~buy)


class Raising(Strategy):
    def on_bar(self, ctx: Context) -> None:
        raise RuntimeError("no idea")


class Idle(Strategy):
    def signals(self, data: SymbolData) -> Signals:
        no = np.zeros(len(data.close), np.bool_)
        return Signals(no, no)


@pytest.mark.parametrize(
    ("kind", "form", "words"),
    [
        (Whims, "signals", "differently on the same data"),
        (Raising, "on_bar", "no idea"),
        (Idle, "signals", "nothing was checked"),
    ],
)
def test_what_cannot_be_judged_says_so(kind: type[Strategy], form: str, words: str) -> None:
    report = check(kind, form, loaded_range(), Account())
    assert report.verdict == "can't tell"
    assert not report.ok
    assert words in report.sentences[0]


class OnceOnly(Strategy):
    """Honest 1,949 times of 1,950: one decision knows the next bar's close."""

    def signals(self, data: SymbolData) -> Signals:
        buy = np.ones(len(data.close), np.bool_)
        at = int(np.flatnonzero(data.live)[0]) + 777
        if len(data.close) > at + 1:
            buy[at] = data.close[at + 1] > data.close[at]
        return Signals(buy, ~buy)


@pytest.mark.long
def test_one_decision_that_cheats_among_1950_is_found() -> None:
    made = loaded_range(4, n=7, minutes=390, missing=0.0)
    report = check(OnceOnly, "signals", made, Account())
    assert report.decisions == report.tried == 1950
    assert len(report.differences) == 1
    assert report.differences[0].decided_ns == made.base.end_ns[2 * 390 + 777]


def test_few_cuts_say_how_likely_they_miss_something() -> None:
    report = check(Crossing, "signals", loaded_range(4, n=12, minutes=100, missing=0.0), Account(), cuts=40)
    assert (report.decisions, report.ok) == (1000, True)
    share = report.tried / 1000
    assert 0.02 <= share <= 0.04
    assert f"missed with a chance of {1 - share:.1%}" in report.sentences[1]


class Slow(Strategy):
    """An average over much more than a session's bars."""

    def indicators(self) -> dict[str, str]:
        return {"slow": "EMA(100)", "quick": "SMA(5)", "vwap": "SESSION_VWAP"}

    def signals(self, data: SymbolData) -> Signals:
        above = data.close > data.indicators["slow"]
        return Signals(above, ~above)

    def on_bar(self, ctx: Context) -> None:
        if not ctx.orders:
            ctx.order_target(5 if ctx.close[-1] > ctx.indicators["slow"][-1] else 0)


def _short(history: int) -> LoadedRange:
    """Sessions 20 to 23, each with `history` sessions of history, of which 20 are loaded."""
    return loaded_range(5, n=24, back=20, history=history)


@pytest.mark.parametrize("form", ["signals", "on_bar"])
def test_too_little_history_is_found_with_the_indicator_it_concerns(form: str) -> None:
    report = warmup(_short(2), plan_of(Slow, form))
    assert not report.ok
    assert report.sessions == 2
    assert [effect.sessions for effect in report.more] == [4, 8]
    assert [effect.sessions for effect in report.less] == [1]
    assert report.more[-1].changed > 0
    assert report.less[0].changed > report.more[-1].changed
    assert {one.name for one in report.indicators if not one.ok} == {"slow"}
    assert any("slow (EMA(100)@1m) is off by" in line for line in report.sentences)
    assert "raise trailing_days" in report.sentences[-1]


@pytest.mark.parametrize("form", ["signals", "on_bar"])
def test_enough_history_is_left_alone(form: str) -> None:
    report = warmup(_short(10), plan_of(Slow, form))
    assert report.ok, report.sentences
    assert [effect.sessions for effect in report.more] == [20]
    assert report.decisions > 10
    assert any("all" in line and "decisions are the same" in line for line in report.sentences)


def test_an_indicator_without_a_value_at_the_open_is_named() -> None:
    report = warmup(_short(1), plan_of(Slow, "signals"))
    assert [one.name for one in report.indicators if np.isinf(one.difference)] == ["slow"]
    assert any("no value yet" in line for line in report.sentences)


def test_history_that_cannot_be_lengthened_is_no_proof() -> None:
    report = warmup(_short(20), plan_of(Slow, "signals"))
    assert not report.ok
    assert "load more" in report.sentences[0]
    assert "no idea" in warmup(_short(2), plan_of(Raising, "on_bar")).sentences[0]


class Averages(Strategy):
    """Three bars against nine: equal where prices stand still, and honest all the same."""

    def indicators(self) -> dict[str, str]:
        return {"fast": "SMA(3)", "slow": "SMA(9)"}

    def signals(self, data: SymbolData) -> Signals:
        above = data.indicators["fast"] > data.indicators["slow"]
        return Signals(above, ~above)

    def on_bar(self, ctx: Context) -> None:
        above = ctx.indicators["fast"][-1] > ctx.indicators["slow"][-1]
        if above != bool(ctx.position) and not ctx.orders:
            ctx.order_target(5 if above else 0)


class OwnAverages(Strategy):
    """The same, from sums of its own over all that it sees."""

    def signals(self, data: SymbolData) -> Signals:
        sums = np.concatenate(([0.0], np.cumsum(data.close)))
        fast, slow = ((sums[9:] - sums[9 - n : -n]) / n for n in (3, 9))
        above = np.concatenate((np.zeros(8, np.bool_), fast > slow))
        return Signals(above, ~above)


def _standing_still() -> LoadedRange:
    """Prices that stand for half of each session, at 0.1 of a cent more every bar before."""
    made = loaded_range(7, n=12, back=8, history=2, missing=0.0)
    bars = made.base.bars
    price = np.where(made.base.bars.start_ns % 3_600_000_000_000 < 1_800_000_000_000, 100.1, bars.close)
    still = Bars(bars.start_ns, price, price, price, price, bars.volume)
    return replace(made, base=replace(made.base, bars=still))


@pytest.mark.parametrize(("kind", "form"), [(Averages, "signals"), (Averages, "on_bar"), (OwnAverages, "signals")])
def test_equal_averages_are_called_a_tie_and_no_lack_of_history(kind: type[Strategy], form: str) -> None:
    report = warmup(_standing_still(), plan_of(kind, form))
    assert sum(effect.ties for effect in report.more) > 0
    assert [effect.changed for effect in report.more] == [0, 0]
    assert report.ok, report.sentences
    assert any("a tie" in line for line in report.sentences)
    assert "raise trailing_days" not in report.sentences[-1]


class OwnExponential(Strategy):
    """Remembers for ever where its bars began, without an indicator that says so."""

    def signals(self, data: SymbolData) -> Signals:
        average = [float(data.close[0])]
        for close in data.close[1:].tolist():
            average.append(average[-1] + (close - average[-1]) / 100)
        above = data.close > np.array(average)
        return Signals(above, ~above)


@pytest.mark.parametrize("kind", [Slow, OwnExponential])
def test_history_that_lacks_is_found_among_ties_too(kind: type[Strategy]) -> None:
    report = warmup(_standing_still(), plan_of(kind, "signals"))
    assert report.verdict == "too little history"
    assert report.more[-1].changed > 0


def test_a_strategy_that_decides_nothing_has_not_been_compared() -> None:
    report = warmup(_short(10), plan_of(Idle, "signals"))
    assert report.verdict == "can't tell"
    assert "nothing was compared" in report.sentences[0]
