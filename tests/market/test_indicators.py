"""Indicators by name: parsing, warm-up, causality, and values against published series."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from barray.market.bars import COLUMNS, Bars
from barray.market.errors import ConfigError
from barray.market.indicators import SESSION_VWAP, IndicatorSpec, compute, parse_indicator
from barray.market.interval import Interval
from barray.market.series import IntervalBars
from barray.market.talib_light import get_functions
from tests.market.builders import calendar, expected_stamps, lay, walk
from tests.shared_data import REPO, SHARED, daily_quotes, published, skip_without_shared

TOLERANCE = 1e-6  # of the value, or absolute where the value is below 1
NAN = float("nan")


def on_one_session(bars: Bars, interval: str = "1m") -> IntervalBars:
    """Bars as the series of a single endless session; only the columns and the session matter to indicators."""
    zeros = np.zeros(len(bars), np.int32)
    return IntervalBars(Interval.parse(interval), bars, bars.start_ns, zeros, zeros, zeros, 0)


def of_closes(*closes: float) -> IntervalBars:
    prices = np.array(closes, np.float64)
    return on_one_session(
        Bars(np.arange(len(prices)), prices, prices + 0, prices + 0, prices + 0, np.ones(len(prices)))
    )


def values(text: str, series: IntervalBars) -> dict[str, np.ndarray]:
    return compute(parse_indicator(text), series).values


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ("RSI(14)@5m", "RSI(14)@5m"),
        ("rsi@5m", "RSI(14)@5m"),
        (" RSI ( 14 ) @ 300s ", "RSI(14)@5m"),
        ("RSI(timeperiod=7)@1h", "RSI(7)@1h"),
        ("MACD(fastperiod=5)@1m", "MACD(5,26,9)@1m"),
        ("BBANDS(20,2.5)@1d", "BBANDS(20,2.5,2,0)@1d"),
        ("SMA(3,price=high)@1m", "SMA(3,price=high)@1m"),
        ("SMA(3,price=close)@1m", "SMA(3)@1m"),
        ("OBV@1m", "OBV@1m"),
        ("session_vwap@1m", "SESSION_VWAP@1m"),
        ({"name": "RSI", "interval": "5m", "params": {"timeperiod": 7}}, "RSI(7)@5m"),
        ({"name": "RSI", "interval": "5m", "timeperiod": 7.0}, "RSI(7)@5m"),
        ({"name": "RSI", "interval": "5m", "params": None}, "RSI(14)@5m"),
        ({"name": "SMA", "interval": "1m", "timeperiod": 3, "price": "low"}, "SMA(3,price=low)@1m"),
        ({"name": "SMA", "interval": "1m", "timeperiod": 3, "inputs": {"price": "low"}}, "SMA(3,price=low)@1m"),
    ],
)
def test_an_indicator_is_read_and_its_key_reads_back(config: object, key: str) -> None:
    spec = parse_indicator(config)  # type: ignore[arg-type]
    assert spec.key == key
    assert parse_indicator(spec.key) == spec
    assert parse_indicator(spec) is spec


@pytest.mark.parametrize(
    ("config", "reason", "remedy"),
    [
        ("RSI(14)", "is not an indicator", "NAME(parameters)@interval"),
        ("RSJ(14)@5m", "'RSJ' is not an indicator", "did you mean RSI"),
        ("QQQQQQQQ@5m", "is not an indicator", "TA-Lib function name"),
        ("RSI(14,3)@5m", "RSI takes 1 parameters, not 2", "timeperiod=14"),
        ("RSI(period=3)@5m", "RSI has no parameter 'period'", "timeperiod=14"),
        ("RSI(1.5)@5m", "RSI: timeperiod is '1.5'", "a whole number"),
        ("RSI(x)@5m", "RSI: timeperiod is 'x'", "a whole number"),
        ("RSI(0)@5m", "RSI(0)@5m", "the defaults are: timeperiod=14"),
        ("RSI(-3)@5m", "RSI(-3)@5m", "the defaults are"),
        ("RSI(99999999999999999999)@5m", "RSI(", "the defaults are"),
        ("BBANDS(20,inf)@5m", "nbdevup is 'inf'", "a number"),
        ("BBANDS(20,nan)@5m", "nbdevup is 'nan'", "a number"),
        ("RSI(14)@0m", "'0m' is not an interval", "whole number above 0"),
        ("SMA(3,price=median)@1m", "cannot take price from 'median'", "a column is one of open"),
        ("SMA(3,volume=close)@1m", "SMA has no parameter 'volume'", "timeperiod=30"),
        ("SESSION_VWAP(3)@1m", "SESSION_VWAP takes 0 parameters", "none"),
        ("MAVP@1m", "MAVP cannot take periods from 'periods'", "a column is one of open"),
        ({"name": "RSI"}, "lacks name or interval", "name: RSI"),
        ({"name": "RSI", "interval": 5}, "5 is not an interval", ""),
        ({"name": "RSI", "interval": "5m", "timeperiod": None}, "timeperiod is 'None'", ""),
        ({"name": "RSI", "interval": "5m", "timeperiod": True}, "timeperiod is 'True'", ""),
        ({"name": "RSI", "interval": "5m", "params": [14]}, "params and inputs are mappings", "timeperiod: 14"),
        ({"name": "SMA", "interval": "5m", "inputs": {"price": ["low"]}}, "cannot take price from ['low']", ""),
        ({"name": "RSI", "interval": "5m", "inputs": "close"}, "params and inputs are mappings", ""),
        (14, "14 is not an indicator", "RSI(14)@5m"),
    ],
)
def test_what_cannot_be_an_indicator_is_refused_with_what_would_be_right(
    config: object, reason: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_indicator(config)  # type: ignore[arg-type]
    assert reason in caught.value.reason or reason in str(caught.value)
    assert remedy in (caught.value.remedy or "")


def test_a_simple_mean_of_closes_by_hand() -> None:
    assert values("SMA(3)@1m", of_closes(1, 2, 6, 4))["real"].tolist()[2:] == [3.0, 4.0]


def test_an_exponential_mean_is_seeded_with_the_simple_mean_by_hand() -> None:
    # alpha 2 / (3 + 1): seed (1 + 2 + 6) / 3 = 3, then 3 + (4 - 3) / 2, then 3.5 + (7.5 - 3.5) / 2
    assert values("EMA(3)@1m", of_closes(1, 2, 6, 4, 7.5))["real"].tolist()[2:] == [3.0, 3.5, 5.5]


def test_wilder_rsi_by_hand() -> None:
    # changes +2 -1: mean gain 1, mean loss 0.5, RSI 66.67; then +3: gain (1 + 3) / 2, loss 0.5 / 2, RSI 88.89
    rsi = values("RSI(2)@1m", of_closes(10, 12, 11, 14))["real"]
    assert rsi[2:] == pytest.approx([100 - 100 / 3, 100 - 100 / 9], rel=1e-12)


def test_too_few_bars_give_no_values() -> None:
    assert np.isnan(values("SMA(5)@1m", of_closes(1, 2, 3, 4))["real"]).all()
    assert values("MACD@1m", of_closes())["macdsignal"].tolist() == []


def test_an_indicator_takes_the_column_it_is_told() -> None:
    series = on_one_session(walk(np.arange(50), seed=3))
    volume, low = series.bars.volume, series.bars.low
    assert np.array_equal(values("SMA(2,price=volume)@1m", series)["real"][1:], (volume[1:] + volume[:-1]) / 2)
    assert np.array_equal(values("MIN(2,price=low)@1m", series)["real"][1:], np.minimum(low[1:], low[:-1]))


def test_session_vwap_begins_anew_in_every_session_and_waits_for_volume() -> None:
    price = np.array([10.0, 20.0, 30.0, 40.0, 60.0])
    volume = np.array([0.0, 1.0, 3.0, 2.0, 2.0])
    bars = Bars(np.arange(5), price, price + 1, price - 1, price + 0, volume)
    series = on_one_session(bars)
    series = IntervalBars(
        series.interval, bars, series.end_ns, np.array([0, 0, 0, 1, 1], np.int32), *[series.actual] * 2, 0
    )
    vwap = values("SESSION_VWAP@1m", series)["vwap"]
    assert np.isnan(vwap[0])
    assert vwap[1:].tolist() == [20.0, 27.5, 40.0, 50.0]


def test_every_indicator_names_its_convention() -> None:
    assert parse_indicator("RSI@1m").convention.startswith("TA-Lib RSI: Wilder")
    assert parse_indicator("BBANDS@1m").convention.endswith("(ddof 0)")
    assert parse_indicator("SESSION_VWAP@1m").convention.startswith("typical price")
    assert parse_indicator("TRIX@1m").convention == "TA-Lib TRIX"


FUNCTIONS = sorted(get_functions())
SESSIONS = calendar("XNYS", date(2024, 6, 3), date(2024, 6, 3)).sessions
SERIES = lay(walk(expected_stamps(SESSIONS, 0), seed=11), "1m", SESSIONS)


def spec_of(function: str) -> IndicatorSpec:
    return parse_indicator("MAVP(periods=volume)@1m" if function == "MAVP" else f"{function}@1m")


def test_every_function_of_talib_is_there() -> None:
    assert len(FUNCTIONS) >= 200


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_talib_function_computes_from_its_lookback_on_and_never_looks_ahead(function: str) -> None:
    spec = spec_of(function)
    assert parse_indicator(spec.key) == spec
    whole = compute(spec, SERIES).values
    assert list(whole) == list(spec.outputs)
    for name, column in whole.items():
        assert column.dtype == np.float64, name
        assert len(column) == len(SERIES), name
        assert np.isnan(column[: spec.lookback]).all(), name
    if function not in NOT_ON_PRICES:
        assert all(np.isfinite(column[spec.lookback]) for column in whole.values()), "warm at the lookback"
    for cut in (1, spec.lookback, spec.lookback + 1, spec.lookback + 2, 150, 389):
        known = compute(spec, SERIES.take(slice(0, cut))).values
        for name, column in known.items():
            assert column.tobytes() == whole[name][: len(column)].tobytes(), f"{name} over {cut} bars"


# arc cosine and sine of a price have no value; their own maths, not our warm-up
NOT_ON_PRICES = {"ACOS", "ASIN", "COSH", "SINH", "EXP"}


@dataclass(frozen=True)
class Compared:
    """One published column, what computes it here, and where the two differ by convention.

    `ours` gives float64 (502,) from the keys' outputs. `agrees_from`: the first bar from which on both agree to 1e-6;
    None where they do so from the first published value. `differs` says in a sentence why they don't before.
    """

    file: str
    column: str
    keys: tuple[str, ...]
    ours: Callable[..., np.ndarray] = lambda first: first
    agrees_from: int | None = None
    differs: str = ""


def one(key: str, output: str = "") -> tuple[str, ...]:
    return (f"{key}@1d#{output}" if output else f"{key}@1d",)


def shifted(column: np.ndarray) -> np.ndarray:
    return np.concatenate(([NAN], column[:-1]))


def ema_of(column: np.ndarray, period: int) -> np.ndarray:
    """EMA of a column that begins with NaNs, seeded with the simple mean of its first `period` values."""
    first = int(np.flatnonzero(~np.isnan(column))[0]) + period - 1
    out = np.full(len(column), NAN)
    out[first] = column[first - period + 1 : first + 1].mean()
    for i in range(first + 1, len(column)):
        out[i] = out[i - 1] + 2 / (period + 1) * (column[i] - out[i - 1])
    return out


STOCH, KC, MACD = "STOCH(14,3,0,3,0)", "KC(20,10,2)", "MACD(12,26,9)"
KELTNER = ("EMA(20)@1d", "ATR(10)@1d")
APO = ("APO(12,26,1)@1d",)  # the difference of the two EMAs, each seeded by itself
WILDER = "Wilder sums seeded with one bar fewer: TA-Lib adds 13 bars and smooths from the 14th on"
OWN_SEEDS = "published inner EMAs all start from the first EMA's seed; TA-Lib seeds each with a mean of its own input"
BOTH_START = "TA-Lib starts both EMAs at the slow one's first bar; published ones are seeded each by itself"

TABLE = [
    Compared("adx", "adx", one("ADX(14)"), agrees_from=195, differs=WILDER),
    Compared("adx", "pdi", one("PLUS_DI(14)"), agrees_from=151, differs=WILDER),
    Compared("adx", "mdi", one("MINUS_DI(14)"), agrees_from=136, differs=WILDER),
    Compared("adx", "dx", one("DX(14)"), agrees_from=184, differs=WILDER),
    Compared(
        "adx", "adxr", one("ADX(14)"), lambda adx: (adx + np.concatenate(([NAN] * 14, adx[:-14]))) / 2, 204,
        "published averages with the ADX of 14 bars ago, TA-Lib's ADXR with that of 13 bars ago",
    ),
    Compared("atr", "tr", one("TRANGE")),
    Compared("atr", "atr", one("ATR(14)")),
    Compared("atr", "atrp", one("NATR(14)")),
    Compared("bb", "upperBand", one("BBANDS(20,2,2)", "upperband")),
    Compared("bb", "sma", one("BBANDS(20,2,2)", "middleband")),
    Compared("bb", "lowerBand", one("BBANDS(20,2,2)", "lowerband")),
    Compared("cci", "cci", one("CCI(20)")),
    Compared("cmf", "cmf", one("CMF(20)")),
    Compared("dema", "dema", one("DEMA(14)"), agrees_from=69, differs=OWN_SEEDS),
    *(
        Compared("donchian", column, one("DONCHIAN(20)", output), shifted,
                 differs="published channel excludes the current bar, TA-Lib's includes it: ours one bar later")
        for column, output in (("upperBand", "upperband"), ("centerline", "middleband"), ("lowerBand", "lowerband"))
    ),
    Compared("ema", "ema", one("EMA(20)")),
    Compared("hma", "hma", one("HMA(14)")),
    *(
        Compared("keltner", column, KELTNER, lambda ema, atr, n=n: ema + n * atr,
                 differs="TA-Lib's KC is centred on an EMA of typical prices, the published one of closes")
        for column, n in (("upperBand", 2), ("centerline", 0), ("lowerBand", -2))
    ),
    Compared("macd", "macd", one(MACD, "macd"), agrees_from=97, differs=BOTH_START),
    Compared("macd", "signal", one(MACD, "macdsignal"), agrees_from=105, differs=BOTH_START),
    Compared("macd", "histogram", one(MACD, "macdhist"), agrees_from=103, differs=BOTH_START),
    Compared("macd", "macd", APO, differs=BOTH_START),
    Compared("macd", "signal", APO, lambda apo: ema_of(apo, 9), differs=BOTH_START),
    Compared("macd", "histogram", APO, lambda apo: apo - ema_of(apo, 9), differs=BOTH_START),
    Compared("macd", "fastEma", one("EMA(12)")),
    Compared("macd", "slowEma", one("EMA(26)")),
    Compared("mfi", "mfi", one("MFI(14)")),
    Compared("obv", "obv", one("OBV"), lambda obv: obv - obv[0],
             differs="TA-Lib starts at the first bar's volume, the published one at 0"),
    Compared("roc", "roc", one("ROC(14)")),
    Compared("roc", "momentum", one("MOM(14)")),
    Compared("rsi", "rsi", one("RSI(14)")),
    Compared("sma", "sma", one("SMA(20)")),
    Compared("stdev", "stdDev", one("STDDEV(14)")),
    Compared("stdev", "mean", one("SMA(14)")),
    Compared("stoch", "oscillator", one(STOCH, "slowk")),
    Compared("stoch", "k", one(STOCH, "slowk")),
    Compared("stoch", "signal", one(STOCH, "slowd")),
    Compared("stoch", "d", one(STOCH, "slowd")),
    Compared("stoch", "percentJ", one("KDJ(14,3,0,3,0)", "j")),
    Compared("stoch", "j", one("KDJ(14,3,0,3,0)", "j")),
    Compared("stoch-rsi", "stochRsi", one("STOCHRSI(14,14,3)", "fastk")),
    Compared("stoch-rsi", "signal", one("STOCHRSI(14,14,3)", "fastd")),
    Compared("supertrend", "superTrend", one("SUPERTREND(10,3)", "supertrend")),
    Compared("supertrend", "upperBand", (*one("SUPERTREND(10,3)", "supertrend"), *one("SUPERTREND(10,3)", "trend")),
             lambda line, trend: np.where(trend < 0, line, NAN)),
    Compared("supertrend", "lowerBand", (*one("SUPERTREND(10,3)", "supertrend"), *one("SUPERTREND(10,3)", "trend")),
             lambda line, trend: np.where(trend > 0, line, NAN)),
    Compared("tema", "tema", one("TEMA(20)"), agrees_from=138, differs=OWN_SEEDS),
    Compared("tr", "tr", one("TRANGE")),
    Compared("vwap", "vwap", one("SESSION_VWAP")),
    Compared("vwap", "vwap", one("VWAP")),
    Compared("vwma", "vwma", one("VWMA(14)")),
    Compared("willr", "williamsR", one("WILLR(14)")),
    Compared("wma", "wma", one("WMA(14)")),
]  # fmt: skip


def quotes() -> IntervalBars:
    dates, columns = daily_quotes()
    starts = np.array(dates, "datetime64[ns]").astype(np.int64)
    return on_one_session(Bars(starts, *(columns[name] for name in COLUMNS)), "1d")


def ours_of(row: Compared) -> np.ndarray:
    series = quotes()
    inputs = []
    for key in row.keys:
        text, _, output = key.partition("#")
        name, _, interval = text.partition("@")
        found = values(f"{name}@{interval or '1d'}", series)
        inputs.append(found[output] if output else next(iter(found.values())))
    return row.ours(*inputs)


def error(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))


@skip_without_shared
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.file}.{row.column}={row.keys[0]}")
def test_values_agree_with_the_published_series_where_the_convention_is_the_same(row: Compared) -> None:
    ours, theirs = ours_of(row), published(row.file)[row.column]
    have = ~np.isnan(ours) & ~np.isnan(theirs)
    assert have.sum() > 100
    start = row.agrees_from or 0
    assert error(ours, theirs)[have][np.flatnonzero(have) >= start].max() <= TOLERANCE
    if row.agrees_from is not None:  # the difference is one of seeds: there at first, and fading
        assert row.differs
        assert error(ours, theirs)[have].max() > TOLERANCE
        assert error(ours, theirs)[start - 1] > TOLERANCE
    if row.agrees_from is None and "STOCH" not in row.keys[0]:
        last = np.flatnonzero(~np.isnan(theirs))[-1]
        assert have[last], "both have values to the end of the published series"


@skip_without_shared
def test_every_published_series_is_compared() -> None:
    files = {path.name.removesuffix(".standard.json") for path in (SHARED / "data" / "indicators").glob("*.json")}
    assert len(files) == 26
    assert {row.file for row in TABLE} == files


@skip_without_shared
@pytest.mark.parametrize(
    ("file", "column", "key"),
    [
        ("donchian", "upperBand", "DONCHIAN(20)@1d"),
        ("keltner", "centerline", "KC(20,10,2)@1d"),
        ("obv", "obv", "OBV@1d"),
        ("adx", "adxr", "ADXR(14)@1d"),
    ],
)
def test_where_the_convention_differs_the_plain_function_does_not_agree(file: str, column: str, key: str) -> None:
    """Else the docs would name a difference that isn't there."""
    ours, theirs = next(iter(values(key, quotes()).values())), published(file)[column]
    have = ~np.isnan(ours) & ~np.isnan(theirs)
    assert error(ours, theirs)[have].max() > TOLERANCE


@skip_without_shared
def test_the_published_dema_and_tema_start_all_their_emas_from_one_seed() -> None:
    closes = daily_quotes()[1]["close"]

    def from_one_seed(column: np.ndarray, first: int, seed: float, period: int) -> np.ndarray:
        out = np.full(len(column), NAN)
        out[first] = seed
        for i in range(first + 1, len(column)):
            out[i] = out[i - 1] + 2 / (period + 1) * (column[i] - out[i - 1])
        return out

    for name, period in (("dema", 14), ("tema", 20)):
        seed, first = closes[:period].mean(), period - 1
        once = from_one_seed(closes, first, seed, period)
        twice = from_one_seed(once, first, seed, period)
        thrice = from_one_seed(twice, first, seed, period)
        rebuilt = 2 * once - twice if name == "dema" else 3 * once - 3 * twice + thrice
        assert np.nanmax(error(rebuilt, published(name)[name])) <= TOLERANCE


@skip_without_shared
def test_the_published_wilder_sums_begin_with_all_of_the_first_period() -> None:
    """With the sum of 14 bars as seed the published +DI comes out; TA-Lib's seed of 13 bars gives its own."""
    columns = daily_quotes()[1]
    high, low, close = columns["high"], columns["low"], columns["close"]
    up, down = np.diff(high), -np.diff(low)
    plus_dm = np.where((up > down) & (up > 0), up, 0.0)
    true_range = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])

    def plus_di(seed_bars: int) -> np.ndarray:
        dm, tr = plus_dm[:seed_bars].sum(), true_range[:seed_bars].sum()
        out = np.full(len(close), NAN)
        for i in range(seed_bars, len(plus_dm) + 1):
            if i >= 14:
                out[i] = 100 * dm / tr
            if i < len(plus_dm):
                dm, tr = dm - dm / 14 + plus_dm[i], tr - tr / 14 + true_range[i]
        return out

    assert np.nanmax(error(plus_di(14), published("adx")["pdi"])) <= TOLERANCE
    assert np.nanmax(error(plus_di(13), values("PLUS_DI(14)@1d", quotes())["real"])) <= TOLERANCE


@skip_without_shared
def test_the_keltner_channel_of_talib_is_centred_on_typical_prices() -> None:
    columns = daily_quotes()[1]
    typical = (columns["high"] + columns["low"] + columns["close"]) / 3
    centre = values("KC(20,10,2)@1d", quotes())["middleband"]
    assert np.nanmax(error(centre, ema_of(typical, 20))) <= TOLERANCE


def test_the_docs_name_indicators_that_can_be_written_so() -> None:
    text = (REPO / "docs" / "indicators.md").read_text()
    keys = re.findall(r"`([A-Z0-9_]+(?:\([^`()]*\))?)(?:@\w+)?`", text)
    assert len(keys) > 30
    for key in keys:
        parse_indicator(f"{key}@1d")


@pytest.mark.long
def test_talib_is_loaded_without_pandas_or_polars() -> None:
    code = (
        "import sys; import barray.market.talib_light as t; t.Function('SMA'); "
        "print([name for name in ('pandas', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_session_vwap_has_no_warm_up() -> None:
    assert parse_indicator("SESSION_VWAP@1m").lookback == 0
    assert parse_indicator("SESSION_VWAP@1m").name == SESSION_VWAP
    assert values("SESSION_VWAP@1m", of_closes())["vwap"].tolist() == []
