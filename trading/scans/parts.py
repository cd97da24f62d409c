"""What terms are made of, and what of it can be told without other symbols, or before the open."""

from __future__ import annotations

from barray.market.errors import ConfigError, shorten
from barray.market.interval import DAY
from barray.trading.scans.terms import (
    Across,
    Binary,
    Column,
    Constant,
    Indicator,
    LastBars,
    SessionValue,
    Term,
    as_term,
)


def parts_of(*terms: Term) -> list[Term]:
    """All terms that these are made of, themselves included, each once, what is made of others after them."""
    found: dict[str, Term] = {}

    def visit(term: Term) -> None:
        if term.text not in found:
            for one in term.operands:
                visit(one)
            found[term.text] = term

    for term in terms:
        visit(term)
    return list(found.values())


def conjuncts(term: Term | None) -> list[Term]:
    """The terms that `&` joins, outermost, as they stand; none for None."""
    if term is None:
        return []
    if isinstance(term, Binary) and term.op == "and":
        return [*conjuncts(term.left), *conjuncts(term.right)]
    return [term]


def require_truth(term: object, where: str) -> Term:
    """The term, where it says of each symbol whether it passes; ConfigError where it doesn't."""
    found = as_term(term)
    if found.kind != "truth":
        raise ConfigError(
            f"{where} is {shorten(found.text, 80)}, no condition", remedy="compare it, as in gap() > 0.02"
        )
    return found


def require_number(term: object, where: str) -> Term:
    """The term, where it is a number; ConfigError where it isn't."""
    found = as_term(term)
    if found.kind != "number" or isinstance(found, LastBars):
        raise ConfigError(f"{where} is {shorten(found.text, 80)}, no number", remedy="give a term such as gap()")
    return found


def is_local(term: Term) -> bool:
    """Whether a symbol's value is its own bars' alone."""
    return not isinstance(term, Across) and all(map(is_local, term.operands))


def is_daily(term: Term) -> bool:
    """Whether it is known before the open, from daily bars alone."""
    if isinstance(term, (SessionValue, LastBars)):
        return False
    interval = term.spec.interval if isinstance(term, Indicator) else term.interval if isinstance(term, Column) else DAY
    return interval is not None and not interval.is_intraday and all(map(is_daily, term.operands))


def frontier(*terms: Term) -> list[Term]:
    """The local terms, as large as can be, that these are made of; constants are left out."""
    found: dict[str, Term] = {}

    def visit(term: Term) -> None:
        if not is_local(term):
            for one in term.operands:
                visit(one)
        elif not isinstance(term, Constant):
            found[term.text] = term

    for term in terms:
        visit(term)
    return list(found.values())
