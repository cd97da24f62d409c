"""What a session decides, as instructions; what each comes to is said by the test. Nothing runs, nothing passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from barray.coordinator.config.actors import ACTORS_PER_CPU
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.fleet import symbols_per_actor
from barray.coordinator.lifecycle import Phase
from barray.coordinator.messages import (
    AddBar,
    AddIndicator,
    AddSymbol,
    End,
    EndAll,
    Heartbeat,
    Listen,
    Provide,
    RemoveSymbol,
    Tell,
    Told,
    Validate,
)
from barray.coordinator.session_state import SessionState, Work
from barray.coordinator.summary import AddResult
from barray.market.bars import Bars
from barray.market.commands import (
    Accepted,
    AddAdhocBar,
    AddAdhocIndicator,
    AppendBars,
    Appended,
    Failed,
    Load,
    Loaded,
    Provision,
    Provisioned,
    Rejected,
    TakeSnapshot,
)
from barray.market.errors import (
    ActorFailed,
    BarrayError,
    ConfigError,
    DataError,
    IllegalTransition,
    NoDataError,
    ValidationFailed,
)
from barray.market.interval import Interval
from barray.market.symbol_data import Lineage
from barray.market.validation import Reason, SymbolValidationResult
from tests.market.builders import MINUTE_NS, calendar, flat, utc_ns

DAY = date(2024, 7, 2)
OPEN, CLOSE = utc_ns("2024-07-02T13:30"), utc_ns("2024-07-02T20:00")
MINUTE = Interval(1, "m")
LOADED = Loaded(True, Lineage("bars", MINUTE, None, None, 0))
LOST = ActorFailed("its process was lost", symbol="A")
FLAT = {"timestamp": "2024-07-02T13:30:00Z", "open": 5, "high": 5, "low": 5, "close": 5, "volume": 1}


def state(*symbols: str, **changes: Any) -> SessionState:
    settings = {
        "session": {"start": "2024-07-02", "end": "2024-07-03"},
        "symbols": symbols or ("A", "B"),
        "intervals": ["1m", "5m"],
        "sources": [{"root": "bars", "name": "bars"}],
    }
    config = SessionConfig.model_validate({**settings, **changes})
    return SessionState(config, calendar("XNYS", date(2024, 6, 20), date(2024, 7, 8)))


def passed(symbol: str) -> SymbolValidationResult:
    return SymbolValidationResult(symbol, can_proceed=True, data_source="bars", base_interval=MINUTE)


def failed(symbol: str) -> SymbolValidationResult:
    reason = Reason("no_data_source", "nobody has it")
    return SymbolValidationResult(symbol, reason=str(reason), reasons=(reason,))


class World:
    """Does what it is asked, all well unless told otherwise. `asked`: everything, in order."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.bad: set[str] = set()
        self.answers: dict[tuple[str, type], Any] = {}
        self.lost: dict[str, ActorFailed] = {}
        self.before: Callable[[Any], None] = lambda instruction: None

    def run(self, work: Work[Any]) -> Any:
        came_to: Any = None
        while True:
            try:
                instruction = work.send(came_to)
            except StopIteration as done:
                return done.value
            self.asked.append(instruction)
            self.before(instruction)
            came_to = self._do(instruction)

    def _do(self, instruction: Any) -> Any:
        match instruction:
            case Validate(symbols):
                return {symbol: failed(symbol) if symbol in self.bad else passed(symbol) for symbol in symbols}
            case Tell(commands):
                lost, self.lost = self.lost, {}
                reports = {symbol: self._report(symbol, command) for symbol, command in commands.items()}
                return Told({**reports, **{s: Failed(e) for s, e in lost.items() if s in commands}}, lost)
            case Heartbeat():
                lost, self.lost = self.lost, {}
                return lost
        return None

    def _report(self, symbol: str, command: Any) -> Any:
        usual = {Load: LOADED, Provision: Provisioned(new=True), AppendBars: Appended(1, 0, 0)}
        return self.answers.get((symbol, type(command)), usual.get(type(command), Accepted()))


def begun(made: SessionState, world: World | None = None, day: date | None = None) -> World:
    world = world or World()
    made.enter(Phase.VALIDATING)
    context = made.context(day)
    made.open(context, context.open_ns)
    world.run(made.load_session_data(cpus=2))
    world.asked.clear()
    return world


def told(world: World) -> list[Any]:
    """Every command that any symbol was told."""
    return [c for instruction in world.asked if isinstance(instruction, Tell) for c in instruction.commands.values()]


def test_a_day_is_validated_planned_provided_for_and_loaded_phase_by_phase() -> None:
    made, world, phases = state("A", "B", "A"), World(), []
    world.before = lambda instruction: phases.append((type(instruction), made.phase))
    begun(made, world)
    assert phases == [(Validate, Phase.VALIDATING), (Provide, Phase.PROVISIONING), (Tell, Phase.LOADING)]
    assert made.phase is Phase.RUNNING
    assert made.running().symbols == ["A", "B"]
    assert made.progress == (2, 2)
    assert made.running().clock.now_ns() == OPEN


def test_each_symbol_is_told_to_load_what_the_config_requires_from_where_step_0_found_it() -> None:
    made, world = state(), World()
    world.before = lambda instruction: None
    made.enter(Phase.VALIDATING)
    made.open(made.context(None), OPEN)
    world.run(made.load_session_data(cpus=2))
    validate, provide, tell = world.asked
    assert validate == Validate(("A", "B"))
    assert provide == Provide(("A", "B"), 1)
    load = tell.commands["A"]
    assert (load.reader.name, load.base_interval, load.at_ns) == ("bars", MINUTE, OPEN)
    assert (load.added_by, load.live) == ("config", False)
    assert load.intervals == (MINUTE, Interval(5, "m"))


def test_what_step_0_refuses_is_dropped_with_its_reasons_and_told_nothing() -> None:
    made, world = state(), World()
    world.bad = {"B"}
    begun(made, world)
    assert made.running().symbols == ["A"]
    assert [reason.code for reason in made.summary().dropped["B"]] == ["no_data_source"]
    assert made.summary().events == ()


@pytest.mark.parametrize("per_symbol", [True, False])
def test_no_symbol_left_ends_the_session_and_any_dropped_where_the_config_says_so(per_symbol: bool) -> None:
    for bad in ({"A", "B"}, {"B"}):
        made, world = state(validation={"per_symbol": per_symbol}), World()
        world.bad = bad
        if per_symbol and bad == {"B"}:
            begun(made, world)
            continue
        with pytest.raises(ValidationFailed, match="nobody has it"):
            begun(made, world)
        assert made.phase is Phase.VALIDATING
        world.run(made.tear_down(final=False))
        assert made.phase is Phase.CLEAN


def test_a_symbol_that_fails_to_load_is_dropped_and_its_process_ended() -> None:
    made, world = state(), World()
    world.answers["B", Load] = Failed(DataError("broken", symbol="B", code="bad_values"))
    asked: list[Any] = []
    world.before = asked.append
    begun(made, world)
    assert asked[-1] == End(("B",))
    assert made.running().symbols == ["A"]
    [event] = made.summary().events
    assert (event.action, event.symbol, event.by, event.accepted) == ("drop", "B", "coordinator", True)


def test_a_symbol_lost_while_loading_is_dropped_once() -> None:
    made, world = state(), World()
    world.before = lambda instruction: world.lost.update({"A": LOST} if isinstance(instruction, Tell) else {})
    begun(made, world)
    assert [event.symbol for event in made.summary().events] == ["A"]
    assert made.running().symbols == ["B"]


def test_all_that_fail_to_load_end_the_session() -> None:
    made, world = state("A"), World()
    world.answers["A", Load] = Failed(DataError("broken", symbol="A"))
    with pytest.raises(ValidationFailed, match="broken"):
        begun(made, world)


def test_auto_gives_each_symbol_a_process_as_long_as_the_cores_bear_it() -> None:
    assert symbols_per_actor("auto", ACTORS_PER_CPU * 2, 2) == 1
    assert symbols_per_actor("auto", ACTORS_PER_CPU * 2 + 1, 2) == 7
    assert symbols_per_actor("auto", 2000, 2) == 125
    assert symbols_per_actor(3, 2000, 2) == 3


def test_time_goes_on_without_a_word_to_any_symbol_and_whose_process_is_lost_meanwhile_is_dropped() -> None:
    made = state()
    world = begun(made)
    world.lost = {"B": LOST}
    assert world.run(made.advance(OPEN + MINUTE_NS, {})) == {}
    assert world.asked == [Heartbeat(OPEN + MINUTE_NS, 5.0), End(("B",))]
    assert made.running().clock.now_ns() == OPEN + MINUTE_NS
    assert made.running().symbols == ["A"]
    assert [(e.action, e.symbol, e.at_ns) for e in made.summary().events] == [("drop", "B", OPEN)]
    world.lost = {"A": LOST}
    with pytest.raises(ValidationFailed, match="process was lost"):
        world.run(made.advance(OPEN + 2 * MINUTE_NS, {}))


def test_bars_that_come_are_told_to_full_symbols_alone_and_bring_the_time_along() -> None:
    made = state()
    world = begun(made)
    bars = Bars.of([flat(OPEN)])
    reports = world.run(made.advance(OPEN + MINUTE_NS, {"A": bars, "NEVER": bars}))
    assert reports == {"A": Appended(1, 0, 0)}
    [command] = told(world)
    assert isinstance(command, AppendBars)
    assert (command.since_ns, command.at_ns) == (OPEN, OPEN + MINUTE_NS)


def test_who_cannot_take_its_bars_is_dropped() -> None:
    made = state()
    world = begun(made)
    world.answers["B", AppendBars] = Failed(LOST)
    world.run(made.advance(OPEN + MINUTE_NS, dict.fromkeys("AB", Bars.of([flat(OPEN)]))))
    assert made.running().symbols == ["A"]
    assert list(made.summary().dropped) == ["B"]


def test_at_its_end_a_session_knows_what_was_lost() -> None:
    made = state()
    world = begun(made)
    world.lost = {"B": LOST}
    world.run(made.end())
    assert world.asked == [Heartbeat(OPEN, 0.0), End(("B",))]
    assert (made.phase, list(made.summary().dropped)) == (Phase.ENDED, ["B"])


def test_a_session_whose_symbols_were_all_removed_can_be_ended() -> None:
    made = state("A")
    world = begun(made)
    world.run(made.change(RemoveSymbol("A")))
    with pytest.raises(ValidationFailed):
        world.run(made.advance(OPEN + MINUTE_NS, {}))
    world.run(made.end())
    assert made.phase is Phase.ENDED


def test_what_is_told_carries_the_time_that_the_session_stands_at() -> None:
    made = state()
    world = begun(made)
    now_ns = OPEN + 7 * MINUTE_NS
    world.run(made.advance(now_ns, {}))
    for request in (AddSymbol("C"), AddBar("D", "1m", FLAT), AddIndicator("A", "SMA(2)@1m")):
        world.run(made.change(request))
    with pytest.raises(RuntimeError, match="Accepted"):  # is no snapshot
        world.run(made.snapshots(None))
    assert {type(command) for command in told(world)} == {
        Load, Provision, AddAdhocBar, AddAdhocIndicator, TakeSnapshot,
    }  # fmt: skip
    assert {command.at_ns for command in told(world)} == {now_ns}


def test_an_added_symbol_is_listened_to_judged_given_a_process_and_loaded_in_this_order() -> None:
    made = state()
    world = begun(made)
    world.run(made.advance(OPEN + MINUTE_NS, {}))
    world.asked.clear()
    pending: list[list[str]] = []
    world.before = lambda instruction: pending.append(made.status(None)["pending"])
    result = world.run(made.change(AddSymbol("C", "scanner")))
    listen, validate, provide, tell, again = world.asked
    assert [listen, validate, provide, again] == [
        Listen("C"),
        Validate(("C",)),
        Provide(("C",)),
        Listen("C", loaded=True),
    ]
    assert (tell.commands["C"].added_by, tell.commands["C"].at_ns) == ("scanner", OPEN + MINUTE_NS)
    assert result == AddResult(accepted=True, validation=passed("C"))
    assert made.running().full == {"A", "B", "C"}
    assert pending == [["C"]] * 5
    assert made.status(None)["pending"] == []
    [event] = made.summary().events
    assert (event.action, event.symbol, event.by, event.accepted) == ("add_symbol", "C", "scanner", True)


def test_symbols_that_are_added_together_are_judged_given_processes_and_loaded_side_by_side() -> None:
    made = state()
    world = begun(made)
    world.asked.clear()
    world.bad = {"D"}
    world.answers = {("E", Load): Failed(DataError("broken"))}
    asked = [AddSymbol(symbol, "scanner") for symbol in ("E", "C", "A", "D", "F")]
    results = world.run(made.add_symbols(asked))
    assert [result.accepted for result in results] == [False, True, True, False, True]
    assert [type(one) for one in world.asked].count(Tell) == 1
    assert Validate(("E", "C", "D", "F")) in world.asked
    assert Provide(("E", "C", "F")) in world.asked
    assert made.running().full == {"A", "B", "C", "F"}
    told_of = [(event.symbol, event.accepted) for event in made.summary().events if event.action == "add_symbol"]
    assert told_of == [("E", False), ("C", True), ("D", False), ("F", True)]
    assert made.status(None)["pending"] == []


def test_a_symbol_that_is_full_is_not_added_again() -> None:
    made = state()
    world = begun(made)
    assert world.run(made.change(AddSymbol("A"))) == AddResult(True, "already loaded", passed("A"))
    assert world.asked == []
    assert made.summary().events == ()


def test_an_addition_that_step_0_refuses_gets_no_process() -> None:
    made = state()
    world = begun(made)
    world.bad = {"C"}
    assert not world.run(made.change(AddSymbol("C"))).accepted
    assert world.asked == [Listen("C"), Validate(("C",))]
    assert "C" in made.summary().dropped
    assert made.status(None)["pending"] == []
    world.bad = set()
    assert world.run(made.change(AddSymbol("C"))).accepted
    assert "C" not in made.summary().dropped, "it is in the session now"


def test_an_addition_that_fails_to_load_is_dropped_but_an_adhoc_symbol_stays_what_it_was() -> None:
    made = state()
    world = begun(made)
    world.run(made.change(AddIndicator("D", "SMA(2)@1m")))
    world.answers = {(symbol, Load): Failed(DataError("broken")) for symbol in ("C", "D")}
    for symbol in ("C", "D"):
        assert "broken" in world.run(made.change(AddSymbol(symbol))).reason
    assert made.running().adhoc == {"D"}
    assert list(made.summary().dropped) == ["C"]
    assert End(("C",)) in world.asked
    assert End(("D",)) not in world.asked
    world.bad = {"D"}
    assert not world.run(made.change(AddSymbol("D"))).accepted
    assert made.running().adhoc == {"D"}
    assert "D" not in made.summary().dropped


def test_an_adhoc_symbol_that_is_added_is_upgraded() -> None:
    made = state()
    world = begun(made)
    world.run(made.change(AddIndicator("D", "SMA(2)@1m")))
    assert world.run(made.change(AddSymbol("D"))).accepted
    assert (made.running().full, made.running().adhoc) == ({"A", "B", "D"}, set())


def test_an_upgrade_whose_process_is_lost_costs_the_symbol_at_once() -> None:
    made = state()
    world = begun(made)
    world.run(made.change(AddIndicator("D", "SMA(2)@1m")))
    world.lost = {"D": LOST}
    assert "process was lost" in world.run(made.change(AddSymbol("D"))).reason
    assert made.running().symbols == ["A", "B"]
    assert [event.action for event in made.summary().events] == ["add_indicator", "drop", "add_symbol"]


def test_a_neighbour_lost_with_a_process_is_dropped_though_it_was_told_nothing() -> None:
    made = state()
    world = begun(made)
    world.lost = {"A": LOST, "B": LOST}
    world.run(made.change(AddIndicator("A", "SMA(2)@1m")))
    assert [event.symbol for event in made.summary().events] == ["A", "B", "A"]
    assert made.running().symbols == []


def test_only_strategies_and_scanners_add_symbols() -> None:
    made = state()
    world = begun(made)
    with pytest.raises(ConfigError, match="added_by is 'me'"):
        world.run(made.change(AddSymbol("C", "me")))


NAN = float("nan")


@pytest.mark.parametrize("symbol", [None, 7203, NAN, True, b"7203", ["AAPL"]])
def test_a_symbol_that_is_no_text_can_not_even_be_asked_for(symbol: Any) -> None:
    made = state()
    begun(made)
    for ask in (
        lambda: AddSymbol(symbol),
        lambda: AddBar(symbol, "1m", FLAT),
        lambda: AddIndicator(symbol, "RSI(14)@5m"),
        lambda: RemoveSymbol(symbol),
        lambda: made.snapshots([symbol]).send(None),
    ):
        with pytest.raises(ConfigError, match="a symbol is text, not") as raised:
            ask()
        assert raised.value.code == "bad_symbol"
    assert made.summary().events == ()


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: AddSymbol("C", None), "who asks is NoneType"),
        (lambda: AddBar("C", "1m", FLAT, None), "who asks is NoneType"),
        (lambda: AddBar("C", None, FLAT), "an interval is NoneType"),
        (lambda: AddBar("C", 5, FLAT), "an interval is int"),
        (lambda: AddBar("C", "1m", None), "a bar is NoneType"),
        (lambda: AddBar("C", "1m", [1, 2, 3]), "a bar is list"),
        (lambda: AddIndicator("C", None), "an indicator is NoneType"),
        (lambda: AddIndicator("C", "RSI(14)@5m", 7), "who asks is int"),
        (lambda: RemoveSymbol("C", None), "who asks is NoneType"),
    ],
)
def test_a_request_of_other_types_can_not_be_made(ask: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ask()


def test_time_that_has_passed_is_not_asked_for_again() -> None:
    made = state()
    begun(made)
    made.require_ahead(OPEN)
    with pytest.raises(IllegalTransition, match="stands at 2024-07-02T13:30:00Z and cannot go back to"):
        made.require_ahead(OPEN - 1)
    for moment in (1.5, True, "10:30"):
        with pytest.raises(ConfigError, match="is no time"):
            made.require_ahead(moment)  # type: ignore[arg-type]


def test_what_an_addition_does_not_do_is_said_with_it() -> None:
    made = state()
    world = begun(made)
    world.run(made.advance(OPEN + MINUTE_NS, {}))
    world.answers = {("D", AddAdhocBar): Accepted("RSI(14)@5m stays empty")}
    assert world.run(made.change(AddBar("D", "1m", FLAT))) == AddResult(True, "RSI(14)@5m stays empty")
    assert made.summary().events[-1].reason == "RSI(14)@5m stays empty"


def test_an_unknown_symbol_is_provisioned_for_its_first_adhoc_bar_and_not_again() -> None:
    made = state()
    world = begun(made)
    world.run(made.advance(OPEN + MINUTE_NS, {}))
    world.asked.clear()
    assert world.run(made.change(AddBar("D", "1m", FLAT))).accepted
    assert world.asked[0] == Provide(("D",))
    provision, addition = told(world)
    assert (provision.reason, provision.at_ns) == ("bar_addition", OPEN + MINUTE_NS)
    assert isinstance(addition, AddAdhocBar)
    assert (addition.bar.start_ns, addition.source) == (OPEN, "scanner")
    assert made.running().adhoc == {"D"}
    world.asked.clear()
    world.run(made.change(AddIndicator("D", "SMA(2)@1m", "strategy")))
    [addition] = told(world)
    assert isinstance(addition, AddAdhocIndicator)
    details = [event.detail for event in made.summary().events]
    assert details[0]["bar"] == {"start_ns": OPEN, "open": 5, "high": 5, "low": 5, "close": 5, "volume": 1}
    assert details[1] == {"indicator": "SMA(2)@1m"}


def test_light_checks_come_before_anything_is_started() -> None:
    made = state()
    world = begun(made)
    for request in (AddBar("D", "1m", FLAT), AddBar("D", "90x", FLAT), AddIndicator("D", "NOSUCH@1m")):
        assert not world.run(made.change(request)).accepted
    assert world.asked == []
    assert [event.accepted for event in made.summary().events] == [False] * 3


def test_what_a_new_symbol_refuses_leaves_none_behind_a_known_one_stays() -> None:
    made = state()
    world = begun(made)
    world.answers = {(symbol, AddAdhocIndicator): Rejected("has it") for symbol in ("A", "D")}
    for symbol in ("A", "D"):
        assert world.run(made.change(AddIndicator(symbol, "SMA(2)@1m"))) == AddResult(False, "has it")
    assert [instruction for instruction in world.asked if isinstance(instruction, End)] == [End(("D",))]
    assert made.running().symbols == ["A", "B"]


def test_a_process_lost_on_provisioning_is_told_nothing_more() -> None:
    made = state()
    world = begun(made)
    world.lost = {"D": LOST}
    assert "process was lost" in world.run(made.change(AddIndicator("D", "SMA(2)@1m"))).reason
    assert [type(command) for command in told(world)] == [Provision]
    assert made.running().symbols == ["A", "B"]


def test_a_removed_symbol_is_ended_and_an_unknown_one_said_to_be() -> None:
    made = state()
    world = begun(made)
    assert world.run(made.change(RemoveSymbol("A"))).accepted
    assert not world.run(made.change(RemoveSymbol("A"))).accepted
    assert made.running().symbols == ["B"]
    assert world.asked[0] == End(("A",))


def test_every_symbol_of_the_config_is_accounted_for_at_any_time() -> None:
    made = state("A", "B", "C")
    world = begun(made)
    world.before = lambda instruction: made.summary()
    world.run(made.change(RemoveSymbol("A")))
    world.run(made.change(AddIndicator("A", "SMA(2)@1m")))
    world.run(made.change(AddSymbol("A")))
    world.bad = {"B"}
    world.run(made.change(RemoveSymbol("B")))
    world.run(made.change(AddSymbol("B")))
    assert (made.running().full, list(made.summary().dropped)) == ({"A", "C"}, ["B"])


def test_a_symbol_that_vanished_ends_the_session_with_its_name() -> None:
    made = state("A", "B")
    begun(made)
    made.running().full.discard("A")
    with pytest.raises(BarrayError, match="1 of 2 asked for were neither run nor left out with a reason: A") as raised:
        made.summary()
    assert raised.value.code == "unaccounted"


def test_scheduled_requests_are_due_when_their_time_has_come_one_after_another() -> None:
    actions = [{"at": "09:31", "add_symbol": "C"}, {"at": "09:31", "remove_symbol": "A", "by": "scanner"}]
    made = state(schedule=[*actions, {"at": "09:40", "add_symbol": "D"}])
    world = begun(made)
    assert made.due() is None
    assert made.window_ends(OPEN + 30 * MINUTE_NS, None) == [OPEN + n * MINUTE_NS for n in (1, 10, 30)]
    world.run(made.advance(OPEN + MINUTE_NS, {}))
    assert [one.request for one in iter(made.due, None)] == [AddSymbol("C"), RemoveSymbol("A", "scanner")]


def test_snapshots_are_of_symbols_in_the_session_alone() -> None:
    made = state()
    world = begun(made)
    with pytest.raises(NoDataError, match="C: is not in the session; there are: A, B") as caught:
        world.run(made.snapshots(["A", "C"]))
    assert caught.value.symbol == "C"
    world.answers["A", TakeSnapshot] = Failed(LOST)
    with pytest.raises(ActorFailed):
        world.run(made.snapshots(["A"]))


def test_snapshots_of_whatever_is_there_leave_out_what_is_lost_over_it() -> None:
    made = state()
    world = begun(made)
    world.lost = {"A": LOST, "B": LOST}
    assert world.run(made.snapshots(["A", "B", "C"], gone_ok=True)) == []
    assert [instruction.commands for instruction in world.asked if isinstance(instruction, Tell)] == [
        dict.fromkeys("AB", TakeSnapshot(OPEN))
    ]
    assert sorted(made.summary().dropped) == ["A", "B"]


@pytest.mark.parametrize(
    ("lifecycle", "final", "kept"), [("kill", False, None), ("reuse", True, None), ("reuse", False, {"A"})]
)
def test_a_teardown_leaves_nothing_but_the_processes_that_are_to_be_used_again(
    lifecycle: str, final: bool, kept: set[str] | None
) -> None:
    made = state(actors={"lifecycle": lifecycle})
    world = begun(made)
    world.run(made.change(AddSymbol("C")))
    world.run(made.change(RemoveSymbol("B")))
    world.asked.clear()
    world.run(made.tear_down(final=final))
    assert world.asked == [EndAll(None if kept is None else frozenset(kept))]
    assert (made.phase, made.day, made.next_date, made.progress) == (Phase.CLEAN, None, date(2024, 7, 3), (0, 0))
    with pytest.raises(IllegalTransition, match="no session has begun"):
        made.summary()


def test_the_next_day_begins_with_nothing_of_the_last() -> None:
    made = state()
    world = begun(made)
    world.run(made.change(AddSymbol("C")))
    world.run(made.tear_down(final=False))
    begun(made, world)
    assert made.running().symbols == ["A", "B"]
    assert made.running().context.session_date == date(2024, 7, 3)
    assert made.summary().events == ()


def test_after_the_calendars_last_session_a_date_has_to_be_given() -> None:
    made = state()
    world = begun(made, day=date(2024, 7, 12))
    world.run(made.tear_down(final=False))
    assert made.next_date is None
    with pytest.raises(ConfigError, match="no next session"):
        made.context(None)


def test_nothing_is_asked_of_a_session_that_does_not_run() -> None:
    made = state()
    for work in (lambda: made.change(AddSymbol("C")), lambda: made.window_ends(CLOSE, None), made.due):
        with pytest.raises(IllegalTransition, match="no session is running"):
            work()
    begun(made)
    made.enter(Phase.ENDED)
    with pytest.raises(IllegalTransition, match="it is ended"):
        made.change(AddSymbol("C"))


def test_a_live_day_has_its_bars_still_to_come() -> None:
    made = state(session={"mode": "live", "start": "2024-07-02"}, sources=[{"type": "alpaca"}])
    assert made.context(None).live
    assert not state().context(None).live
