"""A live day as events and instructions: cut, silent, late, twice, lost; no clock passes while these tests run."""

from __future__ import annotations

import pytest

from barray.coordinator.config.model import LiveSection
from barray.coordinator.live_day import (
    LOOK_S,
    REST_S,
    AdvanceTo,
    Fill,
    Instruction,
    LiveDay,
    Looked,
    NoteStream,
    Subscribe,
    Wait,
    WaitUntil,
)
from barray.data_sources.fetching.stream import Heard
from barray.market.bars import Bars
from barray.market.commands import Appended, Rejected
from barray.market.validation import Reason
from tests.market.builders import MINUTE_NS, flat, utc_ns

OPEN = utc_ns("2024-07-03T13:30")
LENGTH = 10
CLOSE = OPEN + LENGTH * MINUTE_NS
SETTINGS = LiveSection(grace_s=3, stale_s=90, close_s=40)


def minute(count: float) -> int:
    """So many minutes after the open."""
    return OPEN + int(count * MINUTE_NS)


def bar(count: int, price: float = 100.0) -> Bars:
    """Of the minute that begins then."""
    return Bars.of([flat(minute(count), price)])


def stamps(bars: Bars) -> list[int]:
    """Which minutes."""
    return [(at - OPEN) // MINUTE_NS for at in bars.start_ns.tolist()]


class Play:
    """A day of A and B; the stream is connected once, and real seconds go as session time does."""

    def __init__(self, begun: int = 0, ends: range | None = None, full: str = "AB", settings: LiveSection = SETTINGS):
        self.day = LiveDay(settings, OPEN, CLOSE, minute(begun))
        self.full = frozenset(full)
        self.run_to(ends or range(begun + 1, LENGTH + 1))

    def run_to(self, ends: range) -> None:
        self.day.run_through([minute(end) for end in ends], to_close=ends[-1] == LENGTH if ends else True)

    def look(
        self,
        at: float,
        bars: dict[str, Bars] | None = None,
        *,
        connections: int = 1,
        silent_s: float = 1,
        **more: object,
    ) -> list[Instruction]:
        heard = Heard(bars or {}, connections > 0, connections, silent_s, **more)
        return self.day.look(Looked(heard, minute(at), at * 60, self.full))

    def whole(self, count: int, **more: object) -> list[Instruction]:
        """The minute that begins then is over, and its bars are here."""
        return self.look(count + 1, {symbol: bar(count) for symbol in self.full}, **more)

    def gone(self, at: float) -> list[Instruction]:
        """Nobody listens any more."""
        return self.day.look(Looked(None, minute(at), at * 60, self.full))

    def flowing(self, count: int) -> None:
        """Minutes up to then have gone well, the first of them filled from history."""
        fill = one(self.whole(0), Fill)
        self.whole(1)
        assert fill.wanted.end_ns == minute(1)
        self.filled()
        again = one(self.whole(2), Fill)
        assert again.wanted.end_ns == minute(3), "the stream had not been there for a minute"
        self.filled()
        for number in range(3, count):
            assert kinds(self.whole(number)) == [AdvanceTo]

    def filled(self, bars: dict[str, Bars] | None = None, **failures: Reason) -> None:
        """History has answered."""
        self.day.fill_in(bars or {}, failures)


def kinds(instructions: list[Instruction]) -> list[type]:
    return [type(instruction) for instruction in instructions]


def one(instructions: list[Instruction], kind: type) -> object:
    [found] = [instruction for instruction in instructions if isinstance(instruction, kind)]
    return found


def test_before_a_minute_is_over_nothing_is_due() -> None:
    play = Play()
    assert play.look(-3) == [WaitUntil(minute(1))]
    assert play.look(0.99, {"A": bar(0), "B": bar(0)}) == [WaitUntil(minute(1))], "not even if its bars are here"


def test_a_minute_that_is_over_waits_for_every_symbols_bar_and_no_longer() -> None:
    play = Play()
    assert play.look(1) == [Wait(LOOK_S)]
    assert play.look(1.01, {"A": bar(0)}) == [Wait(LOOK_S)]
    advance = one(play.look(1.02, {"B": bar(0)}), AdvanceTo)
    assert advance.to_ns == minute(1)
    assert {symbol: stamps(bars) for symbol, bars in advance.bars.items()} == {"A": [0], "B": [0]}


def test_a_bar_that_does_not_come_is_waited_for_as_long_as_grace_is() -> None:
    play = Play()
    assert play.look(1, {"A": bar(0)}) == [Wait(LOOK_S)]
    assert play.look(1 + 2.9 / 60) == [Wait(LOOK_S)]
    assert one(play.look(1 + 3 / 60), AdvanceTo).to_ns == minute(1)
    play.filled()
    assert play.look(2, {"A": bar(1)}) == [Wait(LOOK_S)], "each minute has a grace of its own"


def test_a_session_that_is_behind_waits_for_nothing() -> None:
    play = Play()
    instructions = play.look(2)
    assert kinds(instructions) == [AdvanceTo, Fill]
    assert instructions[0].to_ns == minute(1)


def test_a_moment_between_two_minutes_needs_the_minute_before_it() -> None:
    play = Play()
    play.day.run_through([minute(2.5), minute(3)], to_close=False)
    assert play.look(2.5, {"A": bar(0), "B": bar(1)}) == [Wait(LOOK_S)]
    assert one(play.look(2.51, {"A": bar(1)}), AdvanceTo).to_ns == minute(2.5)
    assert play.look(2.6) == [WaitUntil(minute(3))]


def test_symbols_that_are_not_full_are_neither_waited_for_nor_given_bars() -> None:
    play = Play(full="A")
    advance = one(play.look(1, {"A": bar(0), "GONE": bar(0)}), AdvanceTo)
    assert list(advance.bars) == ["A"]


def test_late_bars_doubles_and_corrections_are_handed_on_in_the_order_they_came() -> None:
    play = Play()
    play.whole(0)
    late = {"A": Bars.concat([bar(1), bar(0, 101.0), bar(1, 102.0)]), "B": bar(1)}
    given = one(play.look(2, late), AdvanceTo).bars["A"]
    assert stamps(given) == [1, 0, 1]
    assert given.close.tolist() == [100.0, 101.0, 102.0]


def test_what_symbols_made_of_their_bars_is_counted_and_refusals_are_told(caplog: pytest.LogCaptureFixture) -> None:
    play = Play()
    play.day.count({"A": Appended(1, 2, 3), "B": Rejected("off the grid")})
    play.look(0.5, {"A": bar(0)}, refused=("C: no time",))
    assert caplog.messages == [
        "B: bars of the stream were refused: off the grid",
        "a bar of the stream was refused: C: no time",
    ]
    counts = play.day.status()
    assert (counts["late"], counts["replaced"], counts["refused"], counts["bars"]) == (2, 3, 2, 1)


def test_what_closed_while_the_stream_connected_is_fetched_until_it_has_been_there_for_a_minute() -> None:
    play = Play(begun=2)
    play.look(2.5)
    fill = one(play.whole(2), Fill)
    assert (fill.wanted.start_ns, fill.wanted.end_ns) == (minute(1), minute(3))
    assert fill.symbols == ("A", "B")
    assert kinds(play.whole(3)) == [AdvanceTo], "one fill at a time"
    play.filled({"A": bar(2)})
    again = one(play.whole(4), Fill)
    assert (again.wanted.start_ns, again.wanted.end_ns) == (minute(1), minute(5)), "it had been there for half a minute"
    play.filled()
    assert kinds(play.whole(5)) == [AdvanceTo]
    assert play.day.status()["gaps"] == 0, "to connect is no gap"


def test_bars_from_history_come_before_those_of_the_stream_which_win() -> None:
    play = Play()
    play.whole(0)
    play.look(1.5, {"A": bar(1, 105.0)})
    play.filled({"A": Bars.concat([bar(0, 99.0), bar(1, 98.0)])})
    given = one(play.look(2, {"A": bar(1, 106.0), "B": bar(1)}), AdvanceTo).bars["A"]
    assert given.close.tolist() == [99.0, 98.0, 105.0, 106.0]
    assert play.day.status()["filled"] == 2


def test_after_a_cut_everything_since_the_bars_were_whole_is_fetched_while_the_session_goes_on() -> None:
    play = Play()
    play.flowing(5)
    cut = play.day.look(Looked(Heard({}, False, 1, 1), minute(6.1), 366 + 10, play.full))
    assert kinds(cut) == [Wait]
    cut = play.day.look(Looked(Heard({}, False, 1, 1), minute(6.2), 366 + 20, play.full))
    assert kinds(cut) == [AdvanceTo, Fill]
    assert cut[1].wanted.start_ns == minute(5 - 1), "one bar more, as it may have been corrected"
    play.filled()
    after = play.look(7, {"A": bar(6), "B": bar(6)}, connections=2)
    assert one(after, Fill).wanted.start_ns == minute(5 - 1), "while it is cut nothing is whole"
    play.filled()
    again = one(play.whole(7, connections=2), Fill)
    assert again.wanted.end_ns == minute(8)
    play.filled()
    assert play.day.status()["gaps"] == 1
    assert kinds(play.whole(8, connections=2)) == [AdvanceTo]


def test_a_second_cut_during_a_fill_is_not_taken_for_whole() -> None:
    play = Play()
    play.flowing(4)
    assert one(play.whole(4, connections=2), Fill).connections == 2
    play.whole(5, connections=3)
    play.filled()
    assert one(play.whole(6, connections=3), Fill).wanted.start_ns == minute(4 - 1)


def test_a_gap_that_could_not_be_filled_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    play = Play()
    play.whole(0)
    down = Reason("unreachable", "is down")
    play.filled(A=down, B=down)
    assert caplog.messages == ["2 symbols: a gap was not filled: A: is down"]
    assert one(play.whole(1), Fill).wanted.end_ns == minute(2)
    play.filled(B=down)
    assert one(play.whole(2), Fill).wanted.start_ns == minute(-1)


def test_a_stream_that_falls_silent_is_noted_once_and_history_asked_instead_until_bars_come() -> None:
    play = Play(full="A")
    play.flowing(4)
    silent = play.look(5.1, silent_s=91.2)
    assert silent == [Wait(LOOK_S)]
    silent = play.look(5.2, silent_s=97.2, problem="(its server says)")
    assert kinds(silent) == [AdvanceTo, NoteStream, Fill]
    assert silent[1] == NoteStream("no bars for 97 s (its server says)", flows=False)
    assert silent[2].connections == 0, "what it fetches does not make the stream whole"
    assert play.day.status()["stale"]
    play.filled({"A": bar(4)})
    assert kinds(play.look(7, silent_s=200)) == [AdvanceTo, Fill], "noted already"
    play.filled()
    back = play.look(7, {"A": Bars.concat([bar(5), bar(6)])}, silent_s=0.1)
    assert back[1] == NoteStream("bars come again", flows=True)
    assert kinds(back) == [AdvanceTo, NoteStream, Fill]
    assert one(back, Fill).wanted.start_ns == minute(3 - 1)
    play.filled()
    assert kinds(play.whole(7, silent_s=0.1)) == [AdvanceTo]


def test_what_a_silence_swallowed_is_fetched_though_history_did_not_answer_meanwhile() -> None:
    play = Play(full="A")
    play.flowing(4)
    play.look(6, silent_s=100)
    play.filled(A=Reason("unreachable", "is down"))
    fill = one(play.whole(6, silent_s=1), Fill)
    assert fill.wanted.start_ns == minute(3 - 1), "from the last bar on that came; nobody knew it was the last"


def test_exactly_as_long_as_may_be_is_not_silent() -> None:
    play = Play(full="A")
    play.flowing(4)
    assert kinds(play.whole(4, silent_s=90.0)) == [AdvanceTo]
    assert not play.day.status()["stale"]


def test_a_gateway_that_is_gone_is_listened_to_anew_and_the_gap_fetched() -> None:
    play = Play()
    play.flowing(4)
    assert play.gone(4.5) == [Subscribe(("A", "B")), WaitUntil(minute(5))]
    assert not play.day.status()["connected"]
    play.look(4.6, connections=0)
    fill = one(play.whole(4), Fill)  # connected again, for the first time as its own stream counts
    assert fill.wanted.start_ns == minute(4 - 1)
    play.filled()
    assert one(play.whole(5), Fill), "it has not been there for a minute"
    play.filled()
    assert kinds(play.whole(6)) == [AdvanceTo]


def test_what_a_new_gateway_cannot_know_is_fetched_though_its_first_connection_has_the_number_of_the_last() -> None:
    play = Play()
    play.flowing(4)
    play.gone(4.5)
    assert kinds(play.whole(4)) == [AdvanceTo, Fill]


def test_a_symbol_that_joins_has_its_bars_since_fetched() -> None:
    play = Play()
    play.flowing(4)
    play.full = frozenset("ABC")
    play.day.join(minute(4))
    fill = one(play.whole(4), Fill)
    assert fill.symbols == ("A", "B", "C")
    assert (fill.wanted.start_ns, fill.wanted.end_ns) == (minute(3), minute(5))


def test_a_fill_under_way_when_a_symbol_joins_does_not_count_for_it() -> None:
    play = Play()
    play.flowing(4)
    cut = Heard({}, connected=False, connections=1)
    assert one(play.day.look(Looked(cut, minute(6), 360, play.full)), Fill).symbols == ("A", "B")
    play.full = frozenset("ABC")
    play.day.join(minute(5))
    play.filled()
    again = one(play.day.look(Looked(cut, minute(7), 420, play.full)), Fill)
    assert (again.symbols, again.wanted.start_ns) == (("A", "B", "C"), minute(4 - 1))


def test_a_run_that_ends_before_the_close_stops_there() -> None:
    play = Play(ends=range(1, 3))
    play.whole(0)
    play.whole(1)
    assert play.look(2.5) == []
    play.run_to(range(3, 5))
    assert play.look(2.6) == [WaitUntil(minute(3))]


def test_after_the_close_corrections_are_heard_then_the_whole_day_is_compared_with_history() -> None:
    play = Play(ends=range(LENGTH, LENGTH + 1))
    play.whole(LENGTH - 1)
    play.filled()
    assert play.look(10.1, {"A": bar(9, 101.0)}) == [Wait(REST_S)]
    assert play.look(10.1 + 39.7 / 60) == [Wait(pytest.approx(0.3))]
    fill, wait = play.look(10.1 + 40 / 60)
    assert (fill.wanted.start_ns, fill.wanted.end_ns) == (OPEN, CLOSE)
    assert wait == Wait(LOOK_S)
    assert play.look(10.9) == [Wait(LOOK_S)], "history has not answered"
    play.filled({"B": bar(3)})
    [last] = play.look(11)
    assert last.to_ns == CLOSE
    assert play.look(11) == []
    assert {symbol: stamps(bars) for symbol, bars in last.bars.items()} == {"A": [9], "B": [3]}
    play.run_to(range(0))
    assert play.look(12) == [], "once is enough"


def test_a_fill_under_way_at_the_close_is_waited_for_before_the_last() -> None:
    play = Play(ends=range(LENGTH, LENGTH + 1), settings=LiveSection(close_s=0))
    assert Fill in kinds(play.whole(LENGTH - 1))
    assert play.look(10.2) == [Wait(LOOK_S)]
    play.filled()
    assert kinds(play.look(10.3)) == [Fill, Wait]


def test_connected_a_minute_before_the_open_nothing_need_be_fetched() -> None:
    play = Play()
    assert play.look(-1.5) == [WaitUntil(minute(1))]
    assert kinds(play.whole(0)) == [AdvanceTo]
    assert kinds(play.whole(1)) == [AdvanceTo]
    assert [fill.connections for fill in [one(play.whole(2, connections=2), Fill)]] == [2], "but after a cut"


class Watching(Play):
    """A day of A, full, while scans look at U and V, and run when three minutes are over, and six."""

    def __init__(self) -> None:
        super().__init__(full="A")
        scans = frozenset({minute(3), minute(6)})
        self.day = LiveDay(SETTINGS, OPEN, CLOSE, OPEN, scans)
        self.run_to(range(1, LENGTH + 1))

    def look(self, at: float, bars: dict[str, Bars] | None = None, *, connections: int = 1, **more: object):  # type: ignore[no-untyped-def, override]
        heard = Heard(bars or {}, connections > 0, connections, 1.0, **more)
        return self.day.look(Looked(heard, minute(at), at * 60, self.full, frozenset("UV")))


def test_what_scans_look_at_is_handed_on_and_waited_for_when_one_is_due() -> None:
    play = Watching()
    play.look(-1.5)
    assert one(play.look(1, {"A": bar(0), "U": bar(0), "NOBODY": bar(0)}), AdvanceTo).bars.keys() == {"A", "U"}
    assert kinds(play.look(2, {"A": bar(1)})) == [AdvanceTo]
    assert play.look(3, {"A": bar(2), "U": bar(2)}) == [Wait(LOOK_S)], "a scan is due, and V has not come"
    late = one(play.look(3.01, {"V": bar(2)}), AdvanceTo)
    assert late.bars.keys() == {"A", "U", "V"}
    play.look(4, {"A": bar(3)})
    play.look(5, {"A": bar(4)})
    assert play.look(6, {"A": bar(5)}) == [Wait(LOOK_S)]
    assert kinds(play.look(6.06, {})) == [AdvanceTo], "who did not trade sends nothing"


def test_what_scans_look_at_is_fetched_apart_and_not_when_a_symbol_joins() -> None:
    play = Watching()
    play.look(-1.5)
    play.look(1, {"A": bar(0)})
    fills = [one for one in play.look(2, {"A": bar(1)}, connections=2) if isinstance(one, Fill)]
    assert [(fill.symbols, fill.universe) for fill in fills] == [(("A",), False), (("U", "V"), True)]
    play.day.fill_in({"U": bar(0)}, {}, universe=True)
    assert kinds(play.look(3, {"A": bar(2), "U": bar(2), "V": bar(2)}, connections=2)) == [AdvanceTo, Fill]
    play.day.fill_in({}, {})
    play.day.fill_in({}, {}, universe=True)
    play.look(4, {"A": bar(3)}, connections=2)
    play.day.fill_in({}, {})
    play.day.fill_in({}, {}, universe=True)
    assert kinds(play.look(5, {"A": bar(4)}, connections=2)) == [AdvanceTo]
    play.full |= {"U"}
    play.day.join(minute(5))
    fill = one(play.look(6, {"A": bar(5), "U": bar(5), "V": bar(5)}, connections=2), Fill)
    assert (fill.symbols, fill.universe) == (("A", "U"), False)
