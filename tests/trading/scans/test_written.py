"""Scans as YAML has them."""

from __future__ import annotations

import pytest
import yaml

from barray.market.errors import ConfigError
from barray.trading.scans.keeping import Keep, Promote
from barray.trading.scans.plan import make_plan
from barray.trading.scans.times import at, every
from barray.trading.scans.universe import everything, listed, symbols, symbols_in
from barray.trading.scans.written import parse_term, scan_of

GAPPERS = """
universe: listed
daily: adv(20) > 5e6 and close(1) > 5
at: {every: 5m, since: 09:35}
where:
  - gap > 0.02
  - relative_volume(10) > 3
  - RSI(14)@5m > 55
rank: relative_volume(10)
keep: {top: 50, leave_below: 80}
promote: {full: 20, evict: rank, light: 100}
carry: [RSI(14)@5m]
"""


def test_a_mapping_is_a_scan() -> None:
    plan = make_plan(scan_of("gappers", yaml.safe_load(GAPPERS)))
    assert plan.name == "gappers"
    assert plan.universe == listed()
    assert plan.times == every("5m", since="09:35")
    assert [term.text for term in plan.daily.local] == ["adv(20) > 5000000.0", "close(1) > 5"]
    assert [term.text for term in plan.where.local] == [
        "gap() > 0.02", "relative_volume(10) > 3", "RSI(14)@5m > 55",
    ]  # fmt: skip
    assert (plan.keep, plan.promote) == (Keep(50, 80), Promote(20, "rank", 100))
    assert [spec.key for spec in plan.carry] == ["RSI(14)@5m"]


@pytest.mark.parametrize(("text", "read"), [
    ("gap > 0.02", "gap() > 0.02"),
    ("5 < close(1) <= 50", "(close(1) > 5) & (close(1) <= 50)"),
    ("gap > 0.02 and not close(1) > 5 or volume > 3", "((gap() > 0.02) & ~(close(1) > 5)) | (volume > 3)"),
    ("(gap > 0.02) & ~(close > close@15m)", "(gap() > 0.02) & ~(close > close@15m)"),
    ("MACD(12,26,9)@5m.macdhist > 0", "MACD(12,26,9)@5m.macdhist > 0"),
    ("rsi(14)@1h - 50 > -2 * gap", "(RSI(14)@1h - 50) > (-2 * gap())"),
    ("relative_volume(10).top(50)", "relative_volume(10).top(50)"),
    ("table(sectors, sector) == 'Energy'", "table('sectors', 'sector') == 'Energy'"),
    ("table(sectors, sector).is_in([Energy, Utilities])", "table('sectors', 'sector').is_in(['Energy', 'Utilities'])"),
    ("gap.zscore(groupby=table(sectors, sector)) > 2", "gap().zscore(groupby=table('sectors', 'sector')) > 2"),
    ("gap.rank(ascending=True) < 10", "gap().rank(ascending=True) < 10"),
    ("new_high(20)", "session_high() > highest(20)"),
])  # fmt: skip
def test_terms_are_read_as_they_are_meant(text: str, read: str) -> None:
    assert parse_term(text).text == read


@pytest.mark.parametrize(("told", "why", "remedy"), [
    ({"wheer": "gap > 1"}, "scan x has no 'wheer'", "did you mean where?"),
    ({"where": "gpa > 0.02"}, "names 'gpa'", "did you mean gap?"),
    ({"where": "gap > "}, "can't be read", "gap > 0.02"),
    ({"where": "gap"}, "no condition", "compare it"),
    ({"where": "RSO(14)@5m > 3"}, "'RSO' is not an indicator", "did you mean"),
    ({"where": "relative_volume > 3"}, "relative_volume takes a number", "relative_volume(10)"),
    ({"where": "relative_volumes(3) > 3"}, "calls 'relative_volumes'", "did you mean relative_volume?"),
    ({"where": "gap.tops(3)"}, "calls 'tops'", "did you mean top?"),
    ({"where": "gap(1, 2) > 3"}, "gap can't be called so", "gap"),
    ({"where": "__import__('os').system('ls') > 1"}, "calls 'system'", "there are"),
    ({"where": "[x for x in y] > 1"}, "no part of a term", "write terms"),
    ({"where": "gap in [1]"}, "compares in no known way", "is_in"),
    ({"where": True}, "no term", "gap > 0.02"),
    ({"at": "noon"}, "no time of day", "09:35"),
    ({"at": {"every": "5m", "sinze": "10:00"}}, "no 'sinze'", "did you mean since?"),
    ({"keep": {"tpo": 3}}, "no 'tpo'", "did you mean top?"),
    ({"promote": {"full": 3, "evict": "worst"}}, "evict is 'worst'", "rank or never"),
    ({"universe": {"files": "a"}}, "no 'files'", "did you mean file?"),
    ({"universe": "all"}, "'all'", "everything"),
    ({"universe": [7203]}, "7203 is no text", "quotes"),
])  # fmt: skip
def test_a_mistake_is_told_with_its_key_and_the_nearest_word(told, why: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(scan_of("x", {"where": "gap > 0.02", "rank": "gap", **told}))
    assert why in str(caught.value)
    assert remedy in str(caught.value.remedy)


def test_short_forms() -> None:
    def read(**told: object):
        return make_plan(scan_of("x", {"where": "gap > 0.02", "rank": "gap", **told}))

    assert read(at=yaml.safe_load("10:00")).times == at("10:00")
    assert read(at=["10:00", "15:30"]).times == at("10:00", "15:30")
    assert read(at="close").times == at("close")
    assert read(at="every 15m").times == every("15m")
    assert (read(keep=50).keep, read(promote=20).promote) == (Keep(50, 50), Promote(20))
    assert read(universe="everything").universe == everything()
    assert read(universe=["B", "A"]).universe == symbols("A", "B")
    assert read(universe={"file": "a.txt"}).universe == symbols_in("a.txt")
    assert read(universe={"members": "sp500.csv"}).universe == listed("sp500.csv")
    assert read(carry="RSI(14)@5m").carry[0].key == "RSI(14)@5m"
