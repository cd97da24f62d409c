"""A scan made ready to be evaluated: its stages, what is local to a symbol in them, and what looks across symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from barray.market.errors import ConfigError
from barray.market.indicators import SESSION_VWAP, IndicatorSpec, parse_indicator
from barray.trading.scans.keeping import Keep, Promote, Rules
from barray.trading.scans.language import col
from barray.trading.scans.parts import (
    conjuncts,
    frontier,
    is_daily,
    is_local,
    parts_of,
    require_number,
    require_truth,
)
from barray.trading.scans.scan import ATTRIBUTES, Scan
from barray.trading.scans.terms import (
    Across,
    Binary,
    Column,
    Constant,
    DayValue,
    Indicator,
    IsIn,
    LastBars,
    SessionValue,
    TableColumn,
    Term,
)
from barray.trading.scans.times import Times
from barray.trading.scans.universe import Universe

PRICE = Column("close")
"""At which a symbol is found."""
_COSTS = {"gap": 2.0, "relative_volume": 12.0}
_ALIKE = 0.8


@dataclass(frozen=True, eq=False)
class Stage:
    """Conditions that are joined by `&`: those on a symbol alone, the cheapest first, and those across symbols, which
    see the symbols that all of the others let through.
    """

    name: str
    local: tuple[Term, ...] = ()
    across: tuple[Term, ...] = ()

    @classmethod
    def of(cls, name: str, condition: Term | None, scan: str) -> Stage:
        """Of a condition; ConfigError, which names the scan, where it is none."""
        if condition is None:
            return cls(name)
        terms = conjuncts(require_truth(condition, f"{scan}.{name}"))
        own = [term for term in terms if is_local(term)]
        return cls(name, tuple(sorted(own, key=_cost)), tuple(term for term in terms if not is_local(term)))

    def asked_across(self, *more: Term) -> list[Term]:
        """The local terms, as large as can be, that what looks across symbols is made of; and of `more` terms."""
        return frontier(*self.across, *more)


@dataclass(frozen=True, eq=False)
class Plan:
    """A scan with its parameters, ready to be evaluated. `uses`: terms by the names that `scan(panel)` finds them by.
    `shown`: numbers that a hit is reported with.
    """

    name: str
    scan: Scan
    universe: Universe
    times: Times
    daily: Stage
    where: Stage
    rank: Term | None
    keep: Keep | None
    promote: Promote | None
    carry: tuple[IndicatorSpec, ...]
    uses: Mapping[str, Term] = field(default_factory=dict)

    @cached_property
    def shown(self) -> tuple[Term, ...]:
        """The newest close, what is compared in the stages, and the rank: local numbers, each once."""
        found: dict[str, Term] = {PRICE.text: PRICE}
        stages = (*self.daily.local, *self.where.local, *self.daily.across, *self.where.across)
        for part in parts_of(*stages):
            sides = part.operands if isinstance(part, (Binary, IsIn)) and part.kind == "truth" else ()
            sides = part.operands[:1] if isinstance(part, Across) else sides
            found |= {side.text: side for side in sides if _is_shown(side)}
        if self.rank is not None and _is_shown(self.rank):
            found[self.rank.text] = self.rank
        return tuple(found.values())

    def rules(self, digest: str = "") -> Rules:
        """By what its findings are followed; `digest`: of its code."""
        said = self.universe.text, self.times.text, digest
        return Rules(self.name, self.keep, self.promote, self.carry, *said)

    @property
    def sent(self) -> list[Term]:
        """The local terms whose values must be known where symbols meet, after `where`."""
        ranked = () if self.rank is None else (self.rank,)
        return frontier(*self.where.across, *ranked, *self.shown, *self.uses.values())

    @property
    def terms(self) -> list[Term]:
        """All terms that it is made of."""
        ranked = () if self.rank is None else (self.rank,)
        stages = (*self.daily.local, *self.daily.across, *self.where.local, *self.where.across)
        return parts_of(*stages, *ranked, *self.uses.values(), *self.shown)


def make_plan(scan: Scan, name: str | None = None) -> Plan:
    """A scan made ready. `name`: by which it is told of, the class's by default. ConfigError for what it can't mean."""
    name = name or type(scan).__name__
    told = {key: scan.told(key) for key in ATTRIBUTES}
    for key, kinds in ATTRIBUTES.items():
        value = told[key]
        if isinstance(value, bool) or not isinstance(value, kinds) or (key == "carry" and isinstance(value, str)):
            wanted = " or ".join("None" if kind is type(None) else kind.__name__.lower() for kind in kinds)
            raise ConfigError(f"{name}.{key} is {value!r}", remedy=f"give a {wanted}")
    _check_names(scan, name)
    rank, keep, promote = told["rank"], told["keep"], told["promote"]
    if told["where"] is None and not scan.has_form:
        raise ConfigError(f"{name} looks for nothing", remedy="write where = (gap() > 0.02), or scan(self, panel)")
    if rank is not None:
        require_number(rank, f"{name}.rank")
    if rank is None and not scan.has_form and (keep is not None or promote is not None):
        what = "keep" if keep is not None else "promote"
        raise ConfigError(f"{name}.{what} needs a rank", remedy="write rank = relative_volume(10)")
    daily = Stage.of("daily", told["daily"], name)
    for part in parts_of(*daily.local, *daily.across):
        if not is_daily(part):
            raise ConfigError(
                f"{name}.daily has {part.text}, which isn't known before the open from daily bars",
                remedy="move it to where; daily takes adv(n), close(n), highest(n), tables and indicators @1d",
            )
    return Plan(
        name,
        scan,
        told["universe"],
        told["at"],
        daily,
        Stage.of("where", told["where"], name),
        rank,
        keep,
        promote,
        tuple(map(parse_indicator, told["carry"])),
        _used(told["uses"], name),
    )


def _used(uses: Any, name: str) -> dict[str, Term]:
    named = uses.items() if isinstance(uses, Mapping) else ((None, one) for one in uses)
    found: dict[str, Term] = {}
    for key, one in named:
        term = one if isinstance(one, Term) else col(one)
        if not is_local(term):
            raise ConfigError(f"{name}.uses has {term.text}, which looks across symbols", remedy="compute it in scan")
        found[key or term.text] = term
    return found


def _check_names(scan: Scan, name: str) -> None:
    """Nothing that is nearly one of a scan's attributes, and is none."""
    known = (*ATTRIBUTES, "scan")
    for kind in type(scan).__mro__:
        if not issubclass(kind, Scan) or kind is Scan:
            continue
        for own in vars(kind):
            if own.startswith("_") or hasattr(Scan, own) or own in scan.parameters():
                continue
            if close := get_close_matches(own, known, 1, _ALIKE):
                raise ConfigError(f"{name} has {own}, which nothing reads", remedy=f"call it {close[0]} if it is that")


def _is_shown(term: Term) -> bool:
    return term.kind == "number" and is_local(term) and not isinstance(term, Constant)


def _cost(term: Term) -> float:
    """What it takes to evaluate for a symbol, roughly, in units of looking at a bar."""
    own = 0.0
    if isinstance(term, DayValue):
        own = 1.0
    elif isinstance(term, SessionValue):
        own = _COSTS.get(term.name, 4.0)
    elif isinstance(term, Column):
        own = 1.0 if term.interval is None else 10.0
    elif isinstance(term, Indicator):
        own = 6.0 if term.spec.name == SESSION_VWAP else 20.0
    elif isinstance(term, (TableColumn, LastBars)):
        own = 0.5
    return own + sum(map(_cost, term.operands))
