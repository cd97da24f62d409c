"""The process that holds the bars of one symbol, or of a few, for a backtest, and runs strategies beside them."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from barray.actors.answers_once import AnswersOnce
from barray.actors.loading import NewFaults, load_range
from barray.actors.published import publish
from barray.actors.validation import Results, validate_chunk
from barray.data_sources.manager import DataManager
from barray.data_sources.parquet.source import ParquetSource
from barray.market.commands import Failed
from barray.market.errors import ActorFailed, BarrayError
from barray.trading.engine.commands import LayRange, LoadRange, RangeLaid, RangeRun, RunRange, Unreadable
from barray.trading.engine.listener import hear_info
from barray.trading.engine.symbol_run import LoadedRange, loaded_bars, run_range
from barray.trading.results.ledger import LoadedBars
from barray.trading.strategy.computed import Computed
from barray.trading.strategy.data import SymbolData
from barray.trading.sweeps.commands import EvaluateSets, SetsEvaluated
from barray.trading.sweeps.evaluate import evaluate_sets, with_functions


class BacktestActor(AnswersOnce):
    """Runs strategies over ranges of bars. A plain class; `barray.actors.options` makes a Ray actor of it."""

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, tuple[LoadedRange, Computed]] = {}
        self._sources: list[ParquetSource] = []
        hear_info()

    def execute(self, batch: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
        """Carry out commands in order, one report each. A symbol that fails, fails alone: its report is `Failed`."""
        return _with_columns(tuple(self._execute(symbol, command) for symbol, command in batch))

    def validate(self, *work: Any) -> Results:
        """Step 0 for symbols that may come to be here: see validate_chunk. What it lists stays listed."""
        found = validate_chunk(*work)
        manager: DataManager = work[1]
        self._sources = [source.unopened() for source in manager.sources if isinstance(source, ParquetSource)]
        return found

    def pulse(self) -> None:
        """Answer, whatever else is going on here."""

    def forget(self, symbols: Sequence[str]) -> None:
        """Drop these symbols with all that is held of them."""
        for symbol in symbols:
            self._held.pop(symbol, None)

    def _execute(self, symbol: str, command: Any) -> Any:
        try:
            match command:
                case RunRange():
                    return RangeRun(run_range(self._load(command), command.plan, command.grid_ns))
                case EvaluateSets():
                    return self._evaluate(symbol, command)
                case LayRange():
                    return _lay_out(command, self._load(command))
            raise TypeError(f"{type(command).__name__} is no command of a backtest")
        except NewFaults as found:
            return Unreadable(found.error(symbol), found.faults)
        except BarrayError as error:
            return Failed(error)
        except Exception:  # a symbol's bug must not cost the other symbols of this process
            return Failed(ActorFailed(traceback.format_exc(limit=-3), symbol=symbol, code="bug"))

    def _evaluate(self, symbol: str, command: EvaluateSets) -> SetsEvaluated:
        if symbol not in self._held:
            self._held[symbol] = self._load(command), Computed()
        loaded, computed = self._held[symbol]
        return SetsEvaluated(evaluate_sets(loaded, command.plan, command.sets, computed), loaded.warnings)

    def _load(self, command: RunRange | LayRange | EvaluateSets) -> LoadedRange:
        return load_range(self._listed(command.load), anew=not command.plan.account.carry)

    def _listed(self, load: LoadRange) -> LoadRange:
        """The same, read from the source that has listed its files here, where it is one."""
        if not isinstance(load.reader, ParquetSource):
            return load
        if load.reader not in self._sources:
            self._sources.append(load.reader)
        return replace(load, reader=self._sources[self._sources.index(load.reader)])


def _lay_out(command: LayRange, loaded: LoadedRange) -> tuple[LoadedBars, SymbolData, str]:
    needs = command.needs
    if needs is None:
        return loaded_bars(loaded), loaded.prepare(command.plan.strategy()), ""
    needs = with_functions(needs, command.plan.source.load())
    return loaded_bars(loaded), loaded.prepare_for(needs), loaded.digest


def _with_columns(reports: tuple[Any, ...]) -> tuple[Any, ...]:
    """The reports, columns among them published all together, and only told of."""
    data = {report[1].symbol: report[1] for report in reports if isinstance(report, tuple)}
    if not data:
        return reports
    columns = publish(data)
    return tuple(
        RangeLaid(report[0], columns, report[2]) if isinstance(report, tuple) else report for report in reports
    )
