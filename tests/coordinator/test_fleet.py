"""The fleet without Ray: where processes start, what a lost one is told again, and who is dropped over it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from barray.coordinator.config.actors import ActorsSection
from barray.coordinator.crew import share_with
from barray.coordinator.fleet import IN_FLIGHT, Fleet
from barray.market.bars import Bars
from barray.market.commands import (
    Accepted,
    AddAdhocBar,
    AddAdhocIndicator,
    AppendBars,
    Failed,
    Load,
    Loaded,
    Provision,
    Rejected,
    SnapshotTaken,
    TakeSnapshot,
)
from barray.market.errors import ConfigError
from barray.market.indicators import parse_indicator
from barray.market.symbol_data import SymbolSessionData
from barray.trading.engine.commands import LayRange, RunRange, RunSessions
from barray.trading.sweeps.commands import EvaluateSets
from tests.coordinator.processes import Processes
from tests.market.builders import MINUTE_NS, assert_same_snapshot, context_for, load_command, require, session_walk

WANTED = require("1m", "5m", specs=("SMA(3)@5m",), trailing_days=1)
CONTEXT = context_for(WANTED)
OPEN = CONTEXT.open_ns


def load(seed: int = 0) -> Load:
    return load_command(WANTED, CONTEXT, session_walk(CONTEXT, seed), at_ns=OPEN)


def indicator(text: str = "SMA(2)@1m", at_ns: int = OPEN) -> AddAdhocIndicator:
    return AddAdhocIndicator(parse_indicator(text), "scanner", at_ns)


class Told:
    """An actor that does nothing."""

    def execute(self, batch: Any) -> list[Any]:
        return [None for _ in batch]

    def forget(self, symbols: Any) -> None:
        pass


def fleet(processes: Processes, **settings: Any) -> Fleet:
    return Fleet(ActorsSection(**settings), processes)


def do(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def loaded(processes: Processes, *symbols: str, per_actor: int = 1, **settings: Any) -> Fleet:
    made = fleet(processes, **settings)
    do(made.add(symbols, per_actor=per_actor))
    reports = do(made.execute({symbol: load(seed) for seed, symbol in enumerate(symbols)}))
    assert all(isinstance(report, Loaded) for report in reports.values())
    return made


def snapshot(made: Fleet, symbol: str, at_ns: int = OPEN) -> SymbolSessionData:
    report = do(made.execute({symbol: TakeSnapshot(at_ns)}))[symbol]
    assert isinstance(report, SnapshotTaken)
    return report.data


def minutes(count: int) -> int:
    return OPEN + count * MINUTE_NS


def beat(made: Fleet, count: int = 1) -> list[str]:
    """All processes are asked whether they live, so many minutes after the open: symbols lost for good."""
    do(made.heartbeat(minutes(count), 0.0))
    return list(made.pop_lost())


def test_symbols_share_processes_as_told_and_new_ones_get_their_own() -> None:
    processes = Processes()
    made = loaded(processes, "A", "B", "C", per_actor=2)
    assert made.groups == [["A", "B"], ["C"]]
    do(made.add(["C", "D"]))
    assert made.groups == [["A", "B"], ["C"], ["D"]]
    assert made.symbols == ["A", "B", "C", "D"]
    assert made.processes == len(processes.alive) == 3


def test_processes_go_where_there_are_fewest_a_cpu() -> None:
    processes = Processes({"large": 4.0, "small": 2.0})
    made = fleet(processes)
    do(made.add("ABCDEF"))
    assert sorted(process.node for process in processes.started) == ["large"] * 4 + ["small"] * 2
    made.remove(["A", "B", "C", "D", "E", "F"])
    do(made.add("G"))
    assert processes.started[-1].node == "large", "what has ended takes no room"


def test_symbols_go_back_to_the_nodes_that_they_were_on_whoever_is_asked_for() -> None:
    def placed(symbols: str, **nodes: float) -> dict[str, str]:
        processes = Processes(nodes, Told)
        made = Fleet(ActorsSection(lifecycle="reuse"), processes, at_home=True)
        do(made.add(symbols))
        return {symbol: made._slots[symbol].node for symbol in symbols}

    before = placed("ABCDEFGH", one=1.0, two=1.0)
    assert sorted(before.values()) == ["one"] * 4 + ["two"] * 4
    assert placed("HGFEDCBA", two=1.0, one=1.0) == before
    fewer = placed("ABDEGH", one=1.0, two=1.0)
    assert sum(fewer[symbol] != before[symbol] for symbol in fewer) <= 1
    assert set(placed("ABCDEFGH", one=1.0, two=1.0, new=1.0).values()) == {"one", "two", "new"}


@pytest.mark.long
def test_no_more_calls_are_under_way_at_once_than_is_said() -> None:
    processes = Processes()
    made = fleet(processes)
    do(made.add([f"S{number}" for number in range(IN_FLIGHT + 1)]))
    assert processes.side_by_side == [IN_FLIGHT, 1]
    do(made.execute({symbol: load() for symbol in made.symbols}))
    beat(made)
    assert processes.side_by_side[2:] == [IN_FLIGHT, 1] * 2


@pytest.mark.long
@pytest.mark.parametrize("fate", ["dies", "hangs", "loses"])
def test_a_process_that_is_lost_comes_back_as_it_was(fate: str) -> None:
    calm, troubled = Processes(), Processes()
    for processes in (calm, troubled):
        made = loaded(processes, "A", "B", per_actor=2)
        assert isinstance(do(made.execute({"A": indicator(at_ns=minutes(7))}))["A"], Accepted)
        if processes is troubled:
            processes.started[0].fate = fate
        assert beat(made, 31) == []
        for symbol in ("A", "B"):
            assert snapshot(made, symbol, minutes(31)).now_ns == minutes(31)
    assert [process.alive for process in troubled.started] == [False, True]
    again, first = troubled.started[1].actor, calm.started[0].actor
    for symbol in ("A", "B"):
        assert_same_snapshot(again._sessions[symbol].snapshot(), first._sessions[symbol].snapshot())


def test_only_a_process_that_was_not_heard_for_long_is_asked_whether_it_lives() -> None:
    processes = Processes()
    made = loaded(processes, "A", "B", "C", per_actor=2)

    async def after_a_while() -> None:
        await asyncio.sleep(0.01)
        await made.execute({"A": TakeSnapshot(OPEN)})
        processes.side_by_side.clear()
        await made.heartbeat(minutes(1), 0.01)
        await made.heartbeat(minutes(1), 60.0)

    do(after_a_while())
    assert processes.side_by_side == [1], "C's process: that of A and B has just answered"


def test_the_command_under_way_is_carried_out_once_where_only_its_answer_was_lost() -> None:
    processes = Processes()
    made = loaded(processes, "A")
    processes.started[0].fate = "loses"
    assert isinstance(do(made.execute({"A": indicator()}))["A"], Accepted)
    told = [type(command) for _, command in processes.started[1].told]
    assert told == [Load, AddAdhocIndicator]
    assert snapshot(made, "A").adhoc_indicators == ("SMA(2)@1m",)


def test_the_log_keeps_what_changes_a_symbol_and_nothing_else() -> None:
    processes = Processes()
    made = loaded(processes, "A")
    first, second = indicator(at_ns=minutes(3)), indicator("SMA(3)@1m", minutes(5))
    assert isinstance(do(made.execute({"A": first}))["A"], Accepted)
    assert isinstance(do(made.execute({"A": indicator(at_ns=minutes(4))}))["A"], Rejected), "it has it already"
    snapshot(made, "A", minutes(4))
    beat(made, 5)
    processes.started[0].fate = "dies"
    assert isinstance(do(made.execute({"A": second}))["A"], Accepted)
    told = [command for _, command in processes.started[1].told]
    assert told[1:] == [first, second]
    assert isinstance(told[0], Load)


def test_commands_say_themselves_what_a_log_keeps() -> None:
    assert all(kind.recorded for kind in (Provision, Load, AppendBars, AddAdhocBar, AddAdhocIndicator))
    assert not any(kind.recorded for kind in (TakeSnapshot, RunRange, LayRange, RunSessions, EvaluateSets))


def test_a_process_lost_too_often_costs_its_symbol_and_no_other() -> None:
    processes = Processes()
    made = loaded(processes, "A", "B", max_restarts=2)
    processes.started[0].fate = "dies"
    processes.fates = ["dies", "hangs"]
    do(made.heartbeat(minutes(1), 0.0))
    lost = made.pop_lost()
    assert list(lost) == ["A"]
    assert "lost 3 times, at last by TimeoutError" in str(lost["A"])
    assert "a call that never comes back, or raise actors.call_timeout_s" in str(lost["A"])
    assert made.pop_lost() == {}, "it is told once"
    made.remove(["A"])
    assert made.symbols == ["B"]
    assert [process.alive for process in processes.started] == [False, True, False, False]


def test_losses_are_forgiven_an_hour_of_session_time_later() -> None:
    processes = Processes()
    made = loaded(processes, "A", max_restarts=2)
    for count in (10, 20, 90, 100, 150):
        processes.alive[0].fate = "dies"
        assert beat(made, count) == [], "no more than two in any hour"
    processes.alive[0].fate = "dies"
    assert beat(made, 159) == ["A"], "the third in an hour"


@pytest.mark.long
def test_a_process_that_gets_through_work_without_a_time_has_made_good_one_loss() -> None:
    processes = Processes()
    made = loaded(processes, "A", max_restarts=1)
    for _ in range(4):
        processes.alive[0].fate = "dies"
        assert snapshot(made, "A").symbol == "A"
    processes.alive[0].fate, processes.fates = "dies", ["dies"]
    assert beat(made) == ["A"], "its work ends it"


class Meeting(Processes):
    """Processes that come back once so many of them are awaited at once; earlier, nothing does."""

    many = 3

    async def execute(self, batches: Any, timeout_s: float, silence_s: float | None = None) -> list[Any]:
        if len(batches) == 1 and self.many:
            self.waiting = getattr(self, "waiting", 0) + 1
            for _ in range(1000):
                if self.waiting >= self.many:
                    break
                await asyncio.sleep(0)
            else:
                return [TimeoutError("the others never came")]
        return await super().execute(batches, timeout_s, silence_s)


def test_lost_processes_come_back_side_by_side() -> None:
    processes = Meeting()
    made = loaded(processes, "A", "B", "C", max_restarts=1)
    for process in processes.alive:
        process.fate = "hangs"
    assert beat(made) == []
    assert len(processes.alive) == 3


class Listening(Processes):
    """Notes how long calls may take, and how long a process may not stir."""

    patience: list[tuple[float, float | None]]

    async def execute(self, batches: Any, timeout_s: float, silence_s: float | None = None) -> list[Any]:
        self.patience = [*getattr(self, "patience", []), (timeout_s, silence_s)]
        return await super().execute(batches, timeout_s, silence_s)


def test_how_long_a_process_may_not_stir_does_not_depend_on_how_long_its_work_takes() -> None:
    for sessions, expected in ((1, (10.0, None)), (250, (2500.0, 10.0))):
        processes = Listening()
        made = Fleet(ActorsSection(call_timeout_s=10), processes, sessions=sessions)
        do(made.add(["A"]))
        do(made.execute({"A": load()}))
        assert processes.patience[-1] == expected
        processes.alive[0].fate = "dies"
        snapshot(made, "A")
        assert processes.patience[-1][1] == (expected[1] and expected[1] + 2.0), "it starts again meanwhile"


def test_a_symbol_that_was_dropped_and_is_added_again_begins_anew() -> None:
    processes = Processes()
    made = loaded(processes, "A", max_restarts=1)
    processes.started[0].fate, processes.fates = "dies", ["dies"]
    beat(made)
    made.remove(["A"])
    do(made.add(["A"]))
    assert isinstance(do(made.execute({"A": load()}))["A"], Loaded)
    processes.started[-1].fate = "dies"
    assert beat(made) == [], "what was lost before does not count against it"


class Poisoned:
    """Reads what ends the process."""

    name = "poisoned"

    def read_bars(self, *_: object) -> Bars:
        raise SystemExit("as native code would crash")


class Fragile(Processes):
    """A process that ends with the symbol that crashes it."""

    async def execute(self, batches: Any, timeout_s: float, silence_s: float | None = None) -> list[Any]:
        for process, batch in batches:
            if any(getattr(command, "reader", None).__class__ is Poisoned for _, command in batch):
                process.fate = "dies"
        return await super().execute(batches, timeout_s, silence_s)


def test_the_symbol_that_ends_a_shared_process_is_found_and_fails_alone() -> None:
    processes = Fragile()
    made = fleet(processes, max_restarts=1)
    do(made.add(["A", "BAD", "C"], per_actor=3))
    good = load()
    bad = Load(CONTEXT, Poisoned(), good.base_interval, good.intervals, good.indicators, "config", OPEN)
    reports = do(made.execute({"A": good, "BAD": bad, "C": good}))
    assert {symbol: type(report) for symbol, report in reports.items()} == {"A": Loaded, "BAD": Failed, "C": Loaded}
    assert list(made.pop_lost()) == ["BAD"]
    made.remove(["BAD"])
    assert made.groups == [["A"], ["C"]]
    assert len(processes.alive) == 2
    assert snapshot(made, "A").symbol == "A"


def test_a_shared_process_that_may_not_be_restarted_costs_all_its_symbols_told_something_or_not() -> None:
    processes = Processes()
    made = loaded(processes, "A", "B", "C", per_actor=2, max_restarts=0)
    processes.started[0].fate = "dies"
    assert isinstance(do(made.execute({"A": indicator()}))["A"], Failed)
    assert list(made.pop_lost()) == ["A", "B"]
    assert len(processes.alive) == 1


def test_a_symbol_that_leaves_a_shared_process_leaves_its_neighbour_there() -> None:
    processes = Processes()
    made = loaded(processes, "A", "B", per_actor=2)
    made.remove(["A", "NEVER"])
    assert made.symbols == ["B"]
    assert list(processes.started[0].actor._sessions) == ["B"]
    assert processes.started[0].alive
    made.remove(["B"])
    assert processes.alive == []


def test_released_processes_stay_empty_and_are_used_again_others_end() -> None:
    processes = Processes()
    made = loaded(processes, "A", "B", "C", max_restarts=1)
    kept = [processes.started[0], processes.started[1]]
    kept[0].fate = "dies"  # its one restart is used up on the first day
    beat(made)
    kept[0] = processes.started[-1]
    made.release(keep=["A", "B"])
    assert made.symbols == []
    assert processes.alive == [kept[1], kept[0]]
    assert all(process.actor._sessions == {} for process in kept)
    assert made.processes == 2
    do(made.add(["X", "Y", "Z"]))
    assert len(processes.alive) == 3
    assert set(kept) <= set(processes.alive)
    do(made.execute({symbol: load() for symbol in "XYZ"}))
    kept[0].fate = "dies"
    assert beat(made) == [], "another day, another restart"


def test_at_the_end_every_process_ends_the_idle_ones_too() -> None:
    processes = Processes()
    made = loaded(processes, "A", "B")
    made.release(keep=["A"])
    do(made.add(["C", "D"]))
    made.release(keep=["C"])
    made.kill_all()
    assert processes.alive == []
    assert made.processes == 0


def test_what_is_on_a_node_that_leaves_is_handed_over_before_it_goes() -> None:
    processes = Processes({"stays": 2.0, "goes": 2.0})
    made = loaded(processes, "A", "B", "C", max_restarts=0)
    first = indicator(at_ns=minutes(3))
    do(made.execute(dict.fromkeys("ABC", first)))
    processes.leaving = {"goes"}
    do(made.tend())
    assert [(process.node, process.alive) for process in processes.started] == [
        ("goes", False),
        ("stays", True),
        ("goes", False),
        ("stays", True),
        ("stays", True),
    ]
    assert [snapshot(made, symbol, minutes(4)).adhoc_indicators for symbol in "ABC"] == [("SMA(2)@1m",)] * 3
    assert made.pop_lost() == {}


def test_a_process_that_can_not_be_handed_over_stays_where_it_is() -> None:
    processes = Processes({"goes": 2.0, "stays": 2.0})
    made = loaded(processes, "A", "B")
    processes.leaving, processes.fates = {"goes"}, ["dies"]
    do(made.tend())
    assert [process.alive for process in processes.started] == [True, True, False]
    do(made.tend())
    assert [process.alive for process in processes.started] == [False, True, False, True]


def test_a_loss_with_a_node_that_was_to_go_does_not_count() -> None:
    processes = Processes({"goes": 2.0, "stays": 2.0})
    made = loaded(processes, "A", max_restarts=0)
    processes.leaving, processes.started[0].fate = {"goes"}, "dies"
    assert beat(made) == []
    assert processes.started[-1].node == "stays"
    processes.started[-1].fate = "dies"
    assert beat(made, 2) == ["A"], "and any other does"


def test_a_node_that_joins_is_given_its_share() -> None:
    processes = Processes({"first": 1.0})
    made = loaded(processes, *"ABCDEF")
    processes.cpus = {"first": 1.0, "second": 2.0}
    do(made.tend())
    assert sorted(process.node for process in processes.alive) == ["first"] * 2 + ["second"] * 4
    do(made.tend())
    assert len(processes.started) == 10, "nothing moves without a cause"
    assert {snapshot(made, symbol).symbol for symbol in "ABCDEF"} == set("ABCDEF")


def test_symbols_that_share_a_process_are_shared_out_anew_as_a_node_joins() -> None:
    processes = Processes({"first": 1.0}, Told)
    made = fleet(processes)
    do(made.add("ABCDEFGHI", per_actor=9))
    processes.cpus = {"first": 1.0, "second": 2.0}
    joined = do(made.tend(joins=False))
    assert (joined, len(processes.started)) == ({"second"}, 1), "no process moves"
    do(share_with(made, joined, 1))
    assert [process.node for process in processes.alive] == ["first", "second", "second"]
    assert sorted(sum(name in "ABCDEFGHI" for name in group) for group in made.groups) == [3, 3, 3]
    assert do(made.tend(joins=False)) == set()
    do(share_with(made, {"second"}, 8))
    assert max(map(len, made.groups)) == 2, "a process has a symbol at least"
    made.kill_all()
    assert processes.alive == []


def test_what_waits_for_other_symbols_on_a_node_that_leaves_is_not_waited_for() -> None:
    processes = Processes({"goes": 1.0, "stays": 1.0}, Told)
    made = fleet(processes)
    do(made.add("AB"))
    made.remove("AB", keep=True)
    processes.leaving = {"goes"}
    do(made.add("CD"))
    assert [process.node for process in processes.alive] == ["stays", "stays"]
    assert made.processes == 2


def test_what_has_no_room_is_asked_for_or_refused_before_anything_starts() -> None:
    processes = Processes({"here": 2.0})
    made = fleet(processes, num_cpus=0.5, memory_mb=0)
    with pytest.raises(ConfigError, match="no room for 5"):
        do(made.add("ABCDE"))
    assert processes.started == []
    processes.grows = True
    do(made.add("ABCDE"))
    assert sorted(process.node for process in processes.started) == ["here"] * 2 + ["new 1"] * 3
    processes.grows = False
    processes.started[0].fate = "dies"
    assert beat(made) == [], "what it claimed is free again"
