"""Terms: what a scan looks at, a value for each symbol at each time, and what can be made of them.

Terms are written once and evaluated later: an operator on terms gives a term. None of them sees a bar before its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from barray.market.errors import ConfigError, shorten
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval

Kind = Literal["number", "truth", "label"]
Scalar = float | int | str | bool
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_LOGIC = {"and": "&", "or": "|"}
SYMBOLS: dict[str, str] = {**_SIGNS, **_ARITHMETIC, **_LOGIC}
"""How each operator of two terms is written."""


class Term:
    """A value for each symbol at each time: a number, a truth (passes, doesn't, or isn't known), or a label.

    Numbers know + - * / and the comparisons, truths & | ~. What isn't known is NaN, and no comparison with it holds,
    nor does its opposite: NaN never passes. `text`: how it is written; terms written alike have the same value.
    """

    kind: Kind = "number"
    operands: tuple[Term, ...] = ()
    __hash__ = None  # type: ignore[assignment]  # == makes a term

    @property
    def text(self) -> str:
        """How it is written, in full."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.text

    def __gt__(self, other: Any) -> Term:
        return _compared("gt", self, other)

    def __ge__(self, other: Any) -> Term:
        return _compared("ge", self, other)

    def __lt__(self, other: Any) -> Term:
        return _compared("lt", self, other)

    def __le__(self, other: Any) -> Term:
        return _compared("le", self, other)

    def __eq__(self, other: object) -> Term:  # type: ignore[override]
        return _compared("eq", self, other)

    def __ne__(self, other: object) -> Term:  # type: ignore[override]
        return _compared("ne", self, other)

    def __add__(self, other: Any) -> Term:
        return _computed("add", self, other)

    def __radd__(self, other: Any) -> Term:
        return _computed("add", other, self)

    def __sub__(self, other: Any) -> Term:
        return _computed("sub", self, other)

    def __rsub__(self, other: Any) -> Term:
        return _computed("sub", other, self)

    def __mul__(self, other: Any) -> Term:
        return _computed("mul", self, other)

    def __rmul__(self, other: Any) -> Term:
        return _computed("mul", other, self)

    def __truediv__(self, other: Any) -> Term:
        return _computed("div", self, other)

    def __rtruediv__(self, other: Any) -> Term:
        return _computed("div", other, self)

    def __neg__(self) -> Term:
        return Unary("neg", _number(self, "-"))

    def __abs__(self) -> Term:
        return Unary("abs", _number(self, "abs"))

    def __and__(self, other: Any) -> Term:
        return Binary("and", _truth(self, "&"), _truth(other, "&"))

    def __rand__(self, other: Any) -> Term:
        return Binary("and", _truth(other, "&"), _truth(self, "&"))

    def __or__(self, other: Any) -> Term:
        return Binary("or", _truth(self, "|"), _truth(other, "|"))

    def __ror__(self, other: Any) -> Term:
        return Binary("or", _truth(other, "|"), _truth(self, "|"))

    def __invert__(self) -> Term:
        return Unary("not", _truth(self, "~"))

    def __bool__(self) -> bool:
        """ConfigError: `and`, `or`, `not` and chained comparisons ask for one truth, and there are many."""
        raise ConfigError(
            f"{shorten(self.text, 80)} is neither true nor false here: it has a value for each symbol at each time",
            remedy="write & for and, | for or, ~ for not, each comparison in parentheses, and x.between(a, b) for "
            "a < x < b",
        )

    def between(self, low: float | Term, high: float | Term) -> Term:
        """Whether it lies between these, both included."""
        return (self >= low) & (self <= high)

    def is_in(self, values: Sequence[Scalar]) -> Term:
        """Whether it is one of `values`; ConfigError for a text where the term is a number, or the other way round."""
        if isinstance(values, str) or not len(values):
            raise ConfigError(f"is_in({values!r}) lists nothing", remedy="give a list of values")
        for value in values:
            _same_kind(self, as_term(value), "is_in")
        return IsIn(self, tuple(values))

    def known(self) -> Term:
        """Whether it has a value at all."""
        return Unary("known", self)

    def rank(self, *, ascending: bool = False, groupby: Term | None = None) -> Term:
        """Place among the symbols left at this stage, 1 the highest value (`ascending`: the lowest); symbols in
        alphabetical order break ties, and NaN has no place. `groupby`: among those with the same label.
        """
        return Across("rank", _number(self, "rank"), ascending=ascending, groupby=_label(groupby))

    def top(self, n: int, *, groupby: Term | None = None) -> Term:
        """Whether it is among the `n` highest values of the symbols left at this stage (of each group)."""
        return Across("top", _number(self, "top"), _count(n, "top"), groupby=_label(groupby))

    def bottom(self, n: int, *, groupby: Term | None = None) -> Term:
        """Whether it is among the `n` lowest values of the symbols left at this stage (of each group)."""
        return Across("bottom", _number(self, "bottom"), _count(n, "bottom"), groupby=_label(groupby))

    def zscore(self, *, groupby: Term | None = None) -> Term:
        """Distance from the mean of the symbols left at this stage, in their standard deviations (ddof 0); NaN where
        these are 0.
        """
        return Across("zscore", _number(self, "zscore"), groupby=_label(groupby))

    def demean(self, *, groupby: Term | None = None) -> Term:
        """Distance from the mean of the symbols left at this stage."""
        return Across("demean", _number(self, "demean"), groupby=_label(groupby))

    def percentile(self, *, groupby: Term | None = None) -> Term:
        """Place from the lowest value up, in per cent of the symbols left at this stage that have one: 100 is the
        highest; equal values share the mean of their places.
        """
        return Across("percentile", _number(self, "percentile"), groupby=_label(groupby))


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Term):
    """The same for all."""

    value: Scalar

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """By its type."""
        return "truth" if isinstance(self.value, bool) else "label" if isinstance(self.value, str) else "number"

    @property
    def text(self) -> str:
        """The value."""
        return repr(self.value)


@dataclass(frozen=True, eq=False, repr=False)
class Column(Term):
    """A column of the newest closed bar; `interval` None is the base interval."""

    name: str
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """Like `close@5m`."""
        return self.name if self.interval is None else f"{self.name}@{self.interval}"


@dataclass(frozen=True, eq=False, repr=False)
class Indicator(Term):
    """The newest value of an indicator; `output` None is its first."""

    spec: IndicatorSpec
    output: str | None = None

    @property
    def text(self) -> str:
        """Like `RSI(14)@5m`."""
        return self.spec.key if self.output is None else f"{self.spec.key}.{self.output}"


@dataclass(frozen=True, eq=False, repr=False)
class SessionValue(Term):
    """What the session's bars come to so far, NaN before the symbol's first one; `n`: see the function of that name."""

    name: str
    n: int | None = None

    @property
    def text(self) -> str:
        """As it is called."""
        return f"{self.name}({'' if self.n is None else self.n})"


@dataclass(frozen=True, eq=False, repr=False)
class DayValue(Term):
    """What the daily bars before the session come to: known before the open, the same all session."""

    name: str
    n: int

    @property
    def text(self) -> str:
        """As it is called."""
        return f"{self.name}({self.n})"


@dataclass(frozen=True, eq=False, repr=False)
class TableColumn(Term):
    """What a table says of each symbol, as known at the time."""

    table: str
    column: str
    kind: Kind = "label"

    @property
    def text(self) -> str:
        """Like `table('sectors', 'sector')`."""
        return f"table({self.table!r}, {self.column!r})"


@dataclass(frozen=True, eq=False, repr=False)
class LastBars(Term):
    """The last `n` bars of a column that the calendar expects: for `Scan.scan` to look at, no number to compare."""

    name: str
    n: int
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """As it is called."""
        at = "" if self.interval is None else f", {self.interval}"
        return f"bars({self.name}, {self.n}{at})"


@dataclass(frozen=True, eq=False, repr=False)
class Unary(Term):
    """`neg`, `abs`, `not` or `known` of a term."""

    op: Literal["neg", "abs", "not", "known"]
    of: Term

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """Truth of `not` and `known`."""
        return "truth" if self.op in ("not", "known") else "number"

    @property
    def operands(self) -> tuple[Term, ...]:  # type: ignore[override]
        """What it is made of."""
        return (self.of,)

    @cached_property
    def text(self) -> str:
        """With its sign."""
        inner = _inner(self.of)
        shown = {"neg": f"-{inner}", "not": f"~{inner}", "abs": f"abs({self.of.text})", "known": f"{inner}.known()"}
        return shown[self.op]


@dataclass(frozen=True, eq=False, repr=False)
class Binary(Term):
    """Two terms and an operator: a key of SYMBOLS."""

    op: str
    left: Term
    right: Term

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """Truth of comparisons, & and |."""
        return "number" if self.op in _ARITHMETIC else "truth"

    @property
    def operands(self) -> tuple[Term, ...]:  # type: ignore[override]
        """What it is made of."""
        return self.left, self.right

    @cached_property
    def text(self) -> str:
        """With what is made of two in parentheses."""
        return f"{_inner(self.left)} {SYMBOLS[self.op]} {_inner(self.right)}"


@dataclass(frozen=True, eq=False, repr=False)
class IsIn(Term):
    """Whether a term is one of some values."""

    of: Term
    values: tuple[Scalar, ...]
    kind: Kind = "truth"

    @property
    def operands(self) -> tuple[Term, ...]:  # type: ignore[override]
        """What it is made of."""
        return (self.of,)

    @cached_property
    def text(self) -> str:
        """As it is called."""
        return f"{_inner(self.of)}.is_in({list(self.values)!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Across(Term):
    """A term among all symbols left at its stage: place, highest, distance from the mean …"""

    op: Literal["rank", "top", "bottom", "zscore", "demean", "percentile"]
    of: Term
    n: int = 0
    ascending: bool = False
    groupby: Term | None = None

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """Truth of `top` and `bottom`."""
        return "truth" if self.op in ("top", "bottom") else "number"

    @property
    def operands(self) -> tuple[Term, ...]:  # type: ignore[override]
        """What it is made of."""
        return (self.of,) if self.groupby is None else (self.of, self.groupby)

    @cached_property
    def text(self) -> str:
        """As it is called."""
        told = [str(self.n)] if self.n else []
        told += ["ascending=True"] if self.ascending else []
        told += [f"groupby={self.groupby.text}"] if self.groupby is not None else []
        return f"{_inner(self.of)}.{self.op}({', '.join(told)})"


def as_term(value: object) -> Term:
    """A term as it is, a number, text or truth as one; ConfigError for anything else."""
    if isinstance(value, Term):
        return value
    if isinstance(value, (bool, int, float, str)):
        return Constant(value)
    if hasattr(value, "item") and isinstance(plain := value.item(), (bool, int, float)):  # NumPy's
        return Constant(plain)
    raise ConfigError(
        f"a term can't be made of {shorten(repr(value), 60)}", remedy="give a term such as gap(), a number or a text"
    )


def _inner(term: Term) -> str:
    return f"({term.text})" if isinstance(term, Binary) else term.text


def _truth(value: object, sign: str) -> Term:
    term = as_term(value)
    if term.kind != "truth":
        raise ConfigError(
            f"{sign} takes conditions, and {shorten(term.text, 80)} is none",
            remedy=f"put each comparison in parentheses: (gap() > 0.02) {sign} (close(1) > 5)",
        )
    return term


def _number(value: object, sign: str) -> Term:
    term = as_term(value)
    if term.kind != "number" or isinstance(term, LastBars):
        raise ConfigError(
            f"{sign} takes numbers, and {shorten(term.text, 80)} is none",
            remedy="compare labels with ==, != and is_in, and join conditions with & | ~",
        )
    return term


def _label(groupby: Term | None) -> Term | None:
    if groupby is not None and (not isinstance(groupby, Term) or groupby.kind == "truth"):
        raise ConfigError(
            f"groupby is {shorten(repr(groupby), 60)}", remedy='give a term of labels, as table("sectors", "sector")'
        )
    return groupby


def _count(n: object, where: str) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ConfigError(f"{where} takes a whole number above 0, not {n!r}", remedy=f"write {where}(50)")
    return n


def _same_kind(left: Term, right: Term, sign: str) -> None:
    if left.kind != right.kind:
        raise ConfigError(
            f"{sign} compares {shorten(left.text, 60)}, a {left.kind}, with {shorten(right.text, 60)}, a {right.kind}",
            remedy="compare numbers with numbers and labels with labels",
        )


def _compared(op: str, left: object, right: object) -> Term:
    one, other = as_term(left), as_term(right)
    _same_kind(one, other, SYMBOLS[op])
    if one.kind == "truth" or (one.kind == "label" and op not in ("eq", "ne")):
        raise ConfigError(
            f"{SYMBOLS[op]} does not compare {one.kind}s, as {shorten(one.text, 80)} is",
            remedy="put each comparison in parentheses; a < x < b is x.between(a, b); labels know == and !=",
        )
    if isinstance(one, LastBars) or isinstance(other, LastBars):
        raise ConfigError(f"{SYMBOLS[op]} does not compare many bars", remedy="look at them in scan(self, panel)")
    return Binary(op, one, other)


def _computed(op: str, left: object, right: object) -> Term:
    return Binary(op, _number(left, SYMBOLS[op]), _number(right, SYMBOLS[op]))
