"""Step 0: may this symbol be loaded as the config requires? Five checks over what the sources answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from barray.market.errors import BarrayError, shorten
from barray.market.html import figure, html_table
from barray.market.indicators import IndicatorSpec
from barray.market.interval import DAY, Interval, best_base, unserved
from barray.market.reason_codes import ReasonCode
from barray.market.requirements import SessionContext, SymbolRequirements
from barray.market.symbols import symbol_problem


@dataclass(frozen=True)
class Reason:
    """Why a check failed: a code for programs, a sentence for people, and what would mend it."""

    code: ReasonCode
    message: str
    remedy: str = ""
    source: str | None = None

    @classmethod
    def of(cls, error: Exception, source: str = "") -> Reason:
        """What `error` says; of an error that is not ours its kind and text. `source`: default, the error's own."""
        if isinstance(error, BarrayError):
            return cls(error.code, error.reason, error.remedy or "", source or error.source)
        return cls("error", f"{type(error).__name__}: {error}", source=source or None)

    def __str__(self) -> str:
        where = f"[{self.source}] " if self.source else ""
        return f"{where}{self.message}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Coverage:
    """History a source has: dates of its first and last session with data, and those of the asked days it lacks."""

    first: date | None
    last: date | None
    missing: tuple[date, ...] = ()


@dataclass(frozen=True)
class SourceAnswers:
    """All that one source said of one symbol, asked in the order of the fields; None where asking made no sense.

    `problem`: the source could not be asked (unreachable, deadline). `session_problem`: why the session date can't be
    served; None if it can. `elapsed_s`: how long the answers took, shared with the symbols asked in the same call.
    """

    source: str
    problem: Reason | None = None
    has_symbol: bool = False
    intervals: tuple[Interval, ...] = ()
    coverage: Coverage | None = None
    session_problem: Reason | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class SymbolValidationResult:
    """Outcome of Step 0 for one symbol.

    `reasons`: everything found wrong, of every source asked, where the symbol can't proceed; else what made sources of
    higher priority be passed over. `warnings`: what is no failure; known where bars were read, and so in no dump.
    `has_historical_data`: of the base bars. `sources_asked` in priority order, `asked_s` how long each took to answer,
    empty where that is not known. `historical_date_range`: first and last of the trailing sessions that the source has,
    None where it has none of them or none are needed; `daily_date_range` the same of the sessions that only
    `daily_source` has bars of, which is None where there are no such. `asked_s` and `elapsed_s`, of all together, are
    measured: they stay out of dumps.
    """

    symbol: str
    can_proceed: bool = False
    reason: str = ""
    data_source_available: bool = False
    data_source: str | None = None
    intervals_supported: tuple[str, ...] = ()
    base_interval: Interval | None = None
    has_historical_data: bool = False
    historical_date_range: tuple[date, date] | None = None
    has_session_data: bool = False
    meets_config_requirements: bool = False
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    sources_asked: tuple[str, ...] = ()
    asked_s: tuple[float, ...] = ()
    elapsed_s: float = 0.0
    daily_source: str | None = None
    daily_date_range: tuple[date, date] | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON types, without the measured time: the same session gives the same bytes."""
        dates, of_days = self.historical_date_range, self.daily_date_range
        daily = {
            "daily_source": self.daily_source,
            "daily_date_range": [day.isoformat() for day in of_days] if of_days else None,
        }
        return {
            "can_proceed": self.can_proceed,
            "reason": self.reason,
            "data_source": self.data_source,
            "intervals_supported": list(self.intervals_supported),
            "base_interval": str(self.base_interval) if self.base_interval else None,
            "has_historical_data": self.has_historical_data,
            "historical_date_range": [day.isoformat() for day in dates] if dates else None,
            "has_session_data": self.has_session_data,
            "meets_config_requirements": self.meets_config_requirements,
            "sources_asked": list(self.sources_asked),
            "reasons": [
                {"code": r.code, "message": r.message, "remedy": r.remedy, "source": r.source} for r in self.reasons
            ],
            **(daily if self.daily_source else {}),
        }

    def _repr_html_(self) -> str:
        found = self.to_dict()
        found["reasons"] = "; ".join(map(str, self.reasons))
        rows = [(name, ", ".join(value) if isinstance(value, list) else figure(value)) for name, value in found.items()]
        outcome = "can proceed" if self.can_proceed else "can't proceed"
        return html_table(("check", "found"), rows, f"{self.symbol}: {outcome}")


@dataclass(frozen=True)
class IntervalCompatibility:
    """Whether available intervals serve the required ones. True in a condition if they do."""

    base: Interval | None
    unserved: tuple[Interval, ...]

    def __bool__(self) -> bool:
        return self.base is not None


def check_data_source_for_symbol(symbol: str, answers: SourceAnswers) -> list[Reason]:
    """Check 1: the source can be asked and has the symbol."""
    if answers.problem:
        return [answers.problem]
    if not answers.has_symbol:
        return [
            Reason(
                "no_data_source",
                f"has no data for {shorten(symbol)}",
                "check the symbol, or add its data",
                answers.source,
            )
        ]
    return []


def validate_interval_compatibility(
    required: Iterable[Interval], available: Iterable[Interval]
) -> IntervalCompatibility:
    """Can the available intervals serve all required ones from one base? Never coarse to fine, never a non-divisor."""
    wanted, offered = tuple(required), tuple(available)
    base = best_base(wanted, offered)
    return IntervalCompatibility(base, () if base else unserved(wanted, offered) or tuple(sorted(set(wanted))))


def check_available_intervals(answers: SourceAnswers, requirements: SymbolRequirements) -> list[Reason]:
    """Check 2: the source's intervals serve those required, natively or by derivation."""
    if requirements.base_of(answers.intervals):
        return []
    compatibility = validate_interval_compatibility(requirements.all_intervals, answers.intervals)
    if compatibility:  # of daily bars, which another source gives
        compatibility = IntervalCompatibility(None, requirements.all_intervals)
    offered = ", ".join(map(str, answers.intervals)) or "none"
    wanted = ", ".join(map(str, compatibility.unserved))
    return [
        Reason("interval_unavailable", f"{wanted} cannot be built from {offered}", "provide finer bars", answers.source)
    ]


def check_daily_history(
    answers: SourceAnswers, requirements: SymbolRequirements, context: SessionContext
) -> list[Reason]:
    """Check 3 of the sessions that have daily bars alone: they are there, but for as many as may be missing."""
    days = context.daily_dates
    if not days:
        return []
    if answers.problem:
        return [answers.problem]
    missing = _missing(answers, days) if answers.has_symbol and DAY in answers.intervals else days
    if len(missing) <= requirements.max_missing_days:
        return []
    listed = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
    message = f"lacks the daily bars of {len(missing)} of the {len(days)} sessions before the base bars ({listed})"
    remedy = "add them, do without history.daily, or allow history.max_missing_days"
    return [Reason("no_daily_history", message, remedy, answers.source)]


def check_historical_data_availability(
    answers: SourceAnswers,
    requirements: SymbolRequirements,
    days: Sequence[date],
    longest: Callable[[], IndicatorSpec | None] = lambda: None,
) -> list[Reason]:
    """Check 3: the trailing `days` are there, but for as many as the config lets be missing.

    `longest`: gives the indicator that so many days are needed for, if one is the cause.
    """
    if not days:
        return []
    held, missing = _held(answers, days), _missing(answers, days)
    if len(missing) <= requirements.max_missing_days:
        return []
    if not held:
        span = (
            f"{len(days)} sessions from {days[0]} to {days[-1]} are" if len(days) > 1 else f"the session {days[0]} is"
        )
        message = f"has no history; {span} needed"
    else:
        listed = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        message = f"lacks {len(missing)} of the {len(days)} trailing sessions ({listed})"
    cause = longest()
    fewer = f"do without {cause.key}, which needs them" if cause else "ask for fewer history.trailing_days"
    remedy = f"add the data, {fewer}, or allow history.max_missing_days"
    return [Reason("no_history", message, remedy, answers.source)]


def _missing(answers: SourceAnswers, days: Sequence[date]) -> Sequence[date]:
    coverage = answers.coverage
    return days if coverage is None or coverage.first is None else coverage.missing


def _held(answers: SourceAnswers, days: Sequence[date]) -> list[date]:
    """Those of `days` that the source has: what else it holds, of other days, is no matter of this session's."""
    missing = frozenset(_missing(answers, days))
    return [day for day in days if day not in missing]


def check_session_data(answers: SourceAnswers) -> list[Reason]:
    """Check 4: the source has data for the session's own date."""
    return [answers.session_problem] if answers.session_problem else []


def validate_symbol(
    symbol: str,
    requirements: SymbolRequirements,
    context: SessionContext,
    asked: Sequence[SourceAnswers],
    daily: SourceAnswers | None = None,
) -> SymbolValidationResult:
    """All five checks over the answers of the sources asked so far, by priority; the first that passes all is used.

    `daily`: what the source of daily history answered, which has to pass for its own sessions whichever is used.
    """
    if problem := symbol_problem(symbol):
        reason = Reason("bad_symbol", problem, "correct the symbol in the config")
        return SymbolValidationResult(symbol, reason=str(reason), reasons=(reason,))
    found: list[Reason] = []
    best: SourceAnswers | None = None
    short = check_daily_history(daily, requirements, context) if daily else []
    for answers in asked:
        reasons = failures(symbol, requirements, context, answers)
        if not reasons:
            told = (*found, *short)
            return _result(symbol, requirements, context, answers, told, asked, daily, passed=not short)
        found += reasons
        if best is None and answers.has_symbol:
            best = answers
    if not asked:
        found = [Reason("no_data_source", "no source is configured", "add one under sources")]
    told = (*found, *short)
    return _result(symbol, requirements, context, best or SourceAnswers(""), told, asked, daily, passed=False)


def failures(
    symbol: str, requirements: SymbolRequirements, context: SessionContext, answers: SourceAnswers
) -> list[Reason]:
    """Every reason why this source can't serve the symbol; empty (check 5) where it meets all config requirements."""
    return check_data_source_for_symbol(symbol, answers) or [
        *check_available_intervals(answers, requirements),
        *check_historical_data_availability(
            answers,
            requirements,
            context.history_dates,
            lambda: requirements.longest_warmup(context.sessions, context.row),
        ),
        *check_session_data(answers),
    ]


def _result(
    symbol: str,
    requirements: SymbolRequirements,
    context: SessionContext,
    answers: SourceAnswers,
    reasons: tuple[Reason, ...],
    asked: Sequence[SourceAnswers],
    daily: SourceAnswers | None,
    *,
    passed: bool,
) -> SymbolValidationResult:
    held = _held(answers, context.history_dates)
    missing = check_historical_data_availability(answers, requirements, context.history_dates)
    of_days = _held(daily, context.daily_dates) if daily else []
    return SymbolValidationResult(
        symbol,
        can_proceed=passed,
        reason="" if passed else "; ".join(map(str, reasons)),
        data_source_available=answers.has_symbol,
        data_source=answers.source if answers.has_symbol else None,
        intervals_supported=tuple(map(str, answers.intervals)),
        base_interval=requirements.base_of(answers.intervals),
        has_historical_data=answers.has_symbol and not missing,
        historical_date_range=(held[0], held[-1]) if held else None,
        has_session_data=answers.has_symbol and answers.session_problem is None,
        meets_config_requirements=passed,
        reasons=reasons,
        sources_asked=tuple(one.source for one in asked),
        asked_s=tuple(one.elapsed_s for one in asked),
        elapsed_s=sum(one.elapsed_s for one in asked),
        daily_source=daily.source if daily and context.daily_dates else None,
        daily_date_range=(of_days[0], of_days[-1]) if of_days else None,
    )
