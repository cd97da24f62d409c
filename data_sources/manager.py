"""Asks the sources in order of priority, each only for the symbols that those before it could not serve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Final

from barray.data_sources.protocol import DataSource
from barray.data_sources.renamed import RenamedSource
from barray.data_sources.session_sources import SessionSources, dataset_difference
from barray.data_sources.span_reader import SpanReader
from barray.market.calendar import Sessions
from barray.market.clock import monotonic_s
from barray.market.commands import BarReader
from barray.market.errors import BarrayError
from barray.market.interval import DAY, Interval
from barray.market.reason_codes import ReasonCode
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.session_range import RangeValidation, SessionRange
from barray.market.symbols import symbol_problem
from barray.market.validation import (
    Reason,
    SourceAnswers,
    SymbolValidationResult,
    check_daily_history,
    failures,
    validate_symbol,
)

ABSENT: Final[frozenset[ReasonCode]] = frozenset({"no_session_data", "no_history"})
"""Codes of days at fault that have no bars, or too few before them; the bars of others can't be right."""


@dataclass(frozen=True)
class DataManager:
    """The sources of a session, the first having priority.

    `problems`: by source and symbol, why the one need not be asked about the other. `faults`: by source and symbol, the
    days of a range whose bars proved to be no good when they were read, though their files look well. `daily`: the
    source of daily bars of sessions before those with base bars, if there is one, and why it need not be asked about a
    symbol.
    """

    sources: tuple[DataSource, ...]
    problems: Mapping[str, Mapping[str, Reason]] = field(default_factory=dict)
    faults: Mapping[str, Mapping[str, Mapping[date, Reason]]] = field(default_factory=dict)
    daily: DataSource | None = None
    daily_problems: Mapping[str, Reason] = field(default_factory=dict)

    @property
    def as_stored(self) -> DataManager:
        """The same of bars by the names that they are stored under."""
        return replace(self, sources=tuple(map(_stored, self.sources)), daily=self.daily and _stored(self.daily))

    def on(self, day: date) -> DataManager:
        """The same, with symbols that mean who is called so on a day."""
        sources = tuple(_on(source, day) for source in self.sources)
        return replace(self, sources=sources, daily=self.daily and _on(self.daily, day))

    def passing_over(self, problems: Mapping[str, Mapping[str, Reason]]) -> DataManager:
        """The same with more problems."""
        names = [*self.problems, *problems]
        together = {name: {**self.problems.get(name, {}), **problems.get(name, {})} for name in names}
        return replace(self, problems=together)

    @property
    def copied(self) -> bool:
        """Whether a node keeps copies of a symbol's files."""
        return any(getattr(source, "copied", False) for source in (*self.sources, self.daily))

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
            beside = len(context.daily_sessions) > 0
            for symbol, answers in self._ask(source, remaining, requirements, context, beside=beside).items():
                asked[symbol].append(answers)
            remaining = [s for s in remaining if failures(s, requirements, context, asked[s][-1])]
        daily = self._ask_daily([s for s in asked if symbol_problem(s) is None], context.daily_sessions)
        return {
            symbol: validate_symbol(symbol, requirements, context, asked[symbol], daily.get(symbol)) for symbol in asked
        }

    def validate_range(
        self, symbols: Sequence[str], requirements: SymbolRequirements, session_range: SessionRange
    ) -> dict[str, RangeValidation]:
        """Step 0 for all sessions of a range at once: each is served by the first source that passes for it.

        Each session is judged by its own history and date; files are not opened for that, the load will.
        """
        first = session_range.context(int(session_range.rows[0]))
        asked: dict[str, list[SourceAnswers]] = {symbol: [] for symbol in symbols}
        served = {symbol: SessionSources(session_range) for symbol in asked if symbol_problem(symbol) is None}
        daily = self._ask_daily(list(served), session_range.daily_sessions)
        for source in self.sources:
            for symbol, answer in self._ask_for_the_rest(source, served, requirements, session_range).items():
                faults = self.faults.get(source.name, {}).get(symbol, {})
                refused, typical = _by_session(symbol, requirements, session_range, answer, faults, daily.get(symbol))
                asked[symbol].append(typical)
                base = requirements.base_of(answer.intervals)
                missing = answer.coverage.missing if answer.coverage else ()
                served[symbol].offer(source, base, refused, {*missing, *faults})
        found: dict[str, RangeValidation] = {}
        for symbol, answers_of in asked.items():
            chosen, days = served.get(symbol), daily.get(symbol)
            if days and days.coverage:
                lacking = replace(days.coverage, missing=())
                days = replace(days, coverage=lacking) if chosen and chosen.spans else _days_of(days, first)
            result = validate_symbol(symbol, requirements, first, answers_of, days)
            found[symbol] = RangeValidation(result, chosen.skipped, chosen.spans) if chosen else RangeValidation(result)
        return found

    def reader(self, found: RangeValidation) -> BarReader:
        """What reads a symbol's range as Step 0 found it: its source, or each session from its own.

        ValueError where no source serves any.
        """
        if not found.spans:
            raise ValueError(f"{found.result.symbol} has not passed Step 0")
        if len(found.spans) == 1:
            return self.source(found.spans[0].source)
        return SpanReader(tuple((span.last, self.source(span.source)) for span in found.spans))

    def _ask_for_the_rest(
        self,
        source: DataSource,
        served: Mapping[str, SessionSources],
        requirements: SymbolRequirements,
        session_range: SessionRange,
    ) -> dict[str, SourceAnswers]:
        """Answers for symbols that have sessions left, from the first of these on, with its history: a vendor may not
        reach back further.
        """
        by_first: dict[int, list[str]] = {}
        for symbol, chosen in served.items():
            if not chosen.whole:
                by_first.setdefault(chosen.first_row, []).append(symbol)
        answers: dict[str, SourceAnswers] = {}
        end, context = int(session_range.rows[-1]) + 1, session_range.context(int(session_range.rows[0]))
        beside = len(session_range.daily_sessions) > 0
        for row, symbols in sorted(by_first.items()):
            rest = session_range.sessions.take(slice(row, end))
            answers |= self._ask(source, symbols, requirements, context, rest, beside=beside)
        return answers

    def _ask(
        self,
        source: DataSource,
        symbols: Sequence[str],
        requirements: SymbolRequirements,
        context: SessionContext,
        session_range: Sessions | None = None,
        *,
        beside: bool,
    ) -> dict[str, SourceAnswers]:
        """`beside`: whether daily bars of another source are used with these."""
        known = {**(self._mixed(source, symbols) if beside else {}), **self.problems.get(source.name, {})}
        answers = {symbol: SourceAnswers(source.name, known[symbol]) for symbol in symbols if symbol in known}
        others = [symbol for symbol in symbols if symbol not in known]
        return answers | (ask(source, others, requirements, context, session_range) if others else {})

    def _mixed(self, source: DataSource, symbols: Sequence[str]) -> Mapping[str, Reason]:
        """Why the source's bars can't stand beside the daily ones, if so."""
        difference = dataset_difference(source, self.daily) if self.daily else ""
        if not difference:
            return {}
        message, remedy = f"{difference} gives the daily bars", "have both of one feed and adjustment"
        return dict.fromkeys(symbols, Reason("mixed_sources", message, remedy, source.name))

    def _ask_daily(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, SourceAnswers]:
        """What the source of daily history says of these sessions; nothing where none is asked."""
        if self.daily is None or not len(sessions):
            return {}
        known = {
            symbol: SourceAnswers(self.daily.name, self.daily_problems[symbol])
            for symbol in symbols
            if symbol in self.daily_problems
        }
        others = [symbol for symbol in symbols if symbol not in known]
        return known | (ask_daily(self.daily, others, sessions) if others else {})


def _stored(source: DataSource) -> DataSource:
    return source.source if isinstance(source, RenamedSource) else source


def _on(source: DataSource, day: date) -> DataSource:
    return source.on(day) if isinstance(source, RenamedSource) else source


def _by_session(
    symbol: str,
    requirements: SymbolRequirements,
    session_range: SessionRange,
    answers: SourceAnswers,
    faults: Mapping[date, Reason],
    daily: SourceAnswers | None,
) -> tuple[dict[date, tuple[Reason, ...]], SourceAnswers]:
    """Sessions that this source can't serve, with the reasons; and its answers as to one that it can, or the first.

    A day that is at fault is wanting, as the session and in the history of others; but one whose bars can't be right
    is no day that may be missing, so that no session is served with it among its history.
    """
    absent = {day for day, fault in faults.items() if fault.code in ABSENT}
    missing = {*answers.coverage.missing, *absent} if answers.coverage else absent
    refused: dict[date, tuple[Reason, ...]] = {}
    typical: SourceAnswers | None = None
    found = False
    for row in session_range.rows.tolist():
        context = session_range.context(row)
        coverage = answers.coverage
        if coverage is not None:
            coverage = replace(coverage, missing=tuple(day for day in context.history_dates if day in missing))
        day = context.session_date
        problem = faults.get(day)
        if problem is None and answers.has_symbol and (coverage is None or coverage.first is None or day in missing):
            problem = Reason("no_session_data", f"has no data for {day}", "add it", answers.source)
        one = replace(answers, coverage=coverage, session_problem=problem)
        wrong = [faults[past] for past in context.history_dates if past in faults and past not in absent]
        reasons = [*failures(symbol, requirements, context, one), *wrong]
        if daily:
            reasons += check_daily_history(_days_of(daily, context), requirements, context)
        if reasons:
            refused[day] = tuple(reasons)
            typical = typical or one
        elif not found:
            found, typical = True, replace(one, coverage=replace(coverage, missing=()) if coverage else None)
    return refused, typical or answers


def _days_of(daily: SourceAnswers, context: SessionContext) -> SourceAnswers:
    """What was answered of all days, as to those of one session alone."""
    if daily.coverage is None:
        return daily
    missing = set(daily.coverage.missing)
    own = tuple(day for day in context.daily_dates if day in missing)
    return replace(daily, coverage=replace(daily.coverage, missing=own))


def ask(
    source: DataSource,
    symbols: Sequence[str],
    requirements: SymbolRequirements,
    context: SessionContext,
    session_range: Sessions | None = None,
) -> dict[str, SourceAnswers]:
    """The four questions to one source about many symbols; whatever it raises becomes the answers' problem.

    `session_range`: ask which of these sessions it has, instead of the context's history and its session date. An
    error that names one of the symbols costs the answers about that one, any other those about all.
    """
    return _answered(source, symbols, partial(_ask, source, requirements, context, session_range))


def ask_daily(source: DataSource, symbols: Sequence[str], sessions: Sessions) -> dict[str, SourceAnswers]:
    """Which of these sessions a source has daily bars of; errors as in `ask`."""
    return _answered(source, symbols, partial(_ask_days, source, sessions))


def _answered(
    source: DataSource, symbols: Sequence[str], fill: Callable[[dict[str, SourceAnswers]], None]
) -> dict[str, SourceAnswers]:
    started_s = monotonic_s()
    answers: dict[str, SourceAnswers] = {}
    pending = list(symbols)
    while pending:
        asked = {symbol: SourceAnswers(source.name) for symbol in pending}
        try:
            fill(asked)
        except BarrayError as error:
            problem = Reason.of(error, source.name)
            failed = [error.symbol] if error.symbol in asked else pending
            asked = {symbol: SourceAnswers(source.name, problem) for symbol in failed}
        except Exception as error:  # a source is other people's code: its bug costs its answers, not the session
            problem = Reason("source_error", f"raised {type(error).__name__}: {error}", "mend the source", source.name)
            asked = {symbol: SourceAnswers(source.name, problem) for symbol in pending}
        answers |= asked
        pending = [symbol for symbol in pending if symbol not in answers]
    share_s = (monotonic_s() - started_s) / max(len(symbols), 1)
    return {symbol: replace(found, elapsed_s=share_s) for symbol, found in answers.items()}


def _ask_days(source: DataSource, sessions: Sessions, answers: dict[str, SourceAnswers]) -> None:
    found = [symbol for symbol, is_there in source.has_symbols(list(answers), sessions).items() if is_there]
    intervals = source.available_intervals(found, sessions) if found else {}
    held = [symbol for symbol in found if DAY in intervals[symbol]]
    coverage = source.historical_coverage(held, DAY, sessions) if held else {}
    for symbol in found:
        answers[symbol] = replace(
            answers[symbol], has_symbol=True, intervals=intervals[symbol], coverage=coverage.get(symbol)
        )


def _ask(
    source: DataSource,
    requirements: SymbolRequirements,
    context: SessionContext,
    session_range: Sessions | None,
    answers: dict[str, SourceAnswers],
) -> None:
    loaded = context.loaded if session_range is None else session_range
    session = context.sessions.take(slice(context.row, context.row + 1))
    history = context.sessions.take(slice(context.history_row, context.row)) if session_range is None else session_range
    present = source.has_symbols(list(answers), loaded)
    found = [symbol for symbol in answers if present[symbol]]
    intervals = source.available_intervals(found, loaded) if found else {}
    by_base: dict[Interval, list[str]] = {}
    for symbol in found:
        answers[symbol] = replace(answers[symbol], has_symbol=True, intervals=intervals[symbol])
        # without a fitting base the other questions are still worth asking, of the finest bars there are
        base = requirements.base_of(intervals[symbol]) or min(intervals[symbol], default=None)
        if base is not None:
            by_base.setdefault(base, []).append(symbol)
    for base, group in by_base.items():
        coverage = source.historical_coverage(group, base, history)
        asks_session = session_range is None and not context.live
        problems = source.session_problems(group, base, session) if asks_session else dict.fromkeys(group)
        for symbol in group:
            answers[symbol] = replace(answers[symbol], coverage=coverage[symbol], session_problem=problems[symbol])
