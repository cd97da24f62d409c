"""Asks the sources in order of priority, each only for the symbols that those before it could not serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from data_sources.protocol import DataSource
from market.clock import monotonic_s
from market.errors import BarrayError
from market.interval import Interval, best_base
from market.requirements import SessionContext, SymbolRequirements
from market.symbol_name import symbol_problem
from market.validation import Reason, SourceAnswers, SymbolValidationResult, failures, validate_symbol


@dataclass(frozen=True)
class DataManager:
    """The sources of a session, the first having priority."""

    sources: tuple[DataSource, ...]

    def source(self, name: str) -> DataSource:
        """The source of that name; KeyError if there is none."""
        return {source.name: source for source in self.sources}[name]

    def validate(
        self, symbols: Sequence[str], requirements: SymbolRequirements, context: SessionContext
    ) -> dict[str, SymbolValidationResult]:
        """Step 0 for these symbols, in the order given. No source's failure, nor any symbol's, raises."""
        asked: dict[str, list[SourceAnswers]] = {symbol: [] for symbol in symbols}
        remaining = [symbol for symbol in asked if symbol_problem(symbol) is None]
        for source in self.sources:
            if not remaining:
                break
            for symbol, answers in ask(source, remaining, requirements, context).items():
                asked[symbol].append(answers)
            remaining = [s for s in remaining if failures(s, requirements, context, asked[s][-1])]
        return {symbol: validate_symbol(symbol, requirements, context, asked[symbol]) for symbol in asked}


def ask(
    source: DataSource, symbols: Sequence[str], requirements: SymbolRequirements, context: SessionContext
) -> dict[str, SourceAnswers]:
    """The four questions to one source about many symbols; whatever it raises becomes the answers' problem.

    An error that names one of the symbols costs the answers about that one, any other those about all.
    """
    started_s = monotonic_s()
    answers: dict[str, SourceAnswers] = {}
    pending = list(symbols)
    while pending:
        asked = {symbol: SourceAnswers(source.name) for symbol in pending}
        try:
            _ask(source, asked, requirements, context)
        except BarrayError as error:
            problem = Reason(str(error.code), error.reason, error.mend or "", source.name)
            failed = [error.symbol] if error.symbol in asked else pending
            asked = {symbol: SourceAnswers(source.name, problem) for symbol in failed}
        except Exception as error:  # a source is other people's code: its bug costs its answers, not the session
            problem = Reason("source_error", f"raised {type(error).__name__}: {error}", "mend the source", source.name)
            asked = {symbol: SourceAnswers(source.name, problem) for symbol in pending}
        answers |= asked
        pending = [symbol for symbol in pending if symbol not in answers]
    share_s = (monotonic_s() - started_s) / max(len(symbols), 1)
    return {symbol: replace(found, elapsed_s=share_s) for symbol, found in answers.items()}


def _ask(
    source: DataSource, answers: dict[str, SourceAnswers], requirements: SymbolRequirements, context: SessionContext
) -> None:
    loaded, session = context.loaded, context.sessions.take(slice(context.row, context.row + 1))
    present = source.has_symbols(list(answers), loaded)
    found = [symbol for symbol in answers if present[symbol]]
    intervals = source.available_intervals(found, loaded) if found else {}
    by_base: dict[Interval, list[str]] = {}
    for symbol in found:
        answers[symbol] = replace(answers[symbol], has_symbol=True, intervals=intervals[symbol])
        # without a fitting base the other questions are still worth asking, of the finest bars there are
        base = best_base(requirements.all_intervals, intervals[symbol]) or min(intervals[symbol], default=None)
        if base is not None:
            by_base.setdefault(base, []).append(symbol)
    for base, group in by_base.items():
        coverage = source.historical_coverage(group, base, context.history_dates)
        problems = source.session_problems(group, base, session)
        for symbol in group:
            answers[symbol] = replace(answers[symbol], coverage=coverage[symbol], session_problem=problems[symbol])
