"""Parameter sets to try: all of a grid, or some at random."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from barray.market.errors import ConfigError
from barray.trading.strategy.base import Strategy
from barray.trading.strategy.parameter import Parameter
from barray.trading.sweeps.condition import parse_condition

ParameterSet = dict[str, Any]
"""Values by parameter name, in the order that the strategy declares them."""

MOST_SETS = 1_000_000
MOST_DRAWS = 10_000
"""How often a set is drawn at random until there are held to be no more."""


class Sampler(Protocol):
    """Says which sets to try next, told what came of those before."""

    def ask(self, n: int) -> list[ParameterSet]:
        """At most `n` sets that were not asked for before; none where there are no more."""
        ...

    def tell(self, parameters: ParameterSet, value: float) -> None:
        """What a set achieved, more is better; NaN where it failed."""
        ...


@dataclass(frozen=True)
class Axis:
    """The values that one parameter may have: `values`, ascending, or any float from `low` to `high`."""

    parameter: Parameter
    values: tuple[Any, ...] | None
    low: float = 0.0
    high: float = 0.0

    def draw(self, rng: random.Random) -> Any:
        """A value at random, each as likely."""
        if self.values is not None:
            return self.values[int(rng.random() * len(self.values))]
        return self.low + (self.high - self.low) * rng.random()


@dataclass(frozen=True)
class Space:
    """Axes in the order the strategy declares its parameters, and which combinations of all its parameters count."""

    axes: tuple[Axis, ...]
    accepts: Callable[[Mapping[str, Any]], bool]

    @property
    def size(self) -> float:
        """How many combinations there are before `accepts`; infinite where an axis is continuous."""
        return math.prod(len(axis.values) if axis.values is not None else math.inf for axis in self.axes)

    def all(self) -> list[ParameterSet]:
        """Every set that counts, sorted; ConfigError where an axis has no steps, or there are over a million."""
        if unstepped := [axis.parameter.name for axis in self.axes if axis.values is None]:
            raise ConfigError(f"parameter {unstepped[0]}: a grid needs a step", remedy="give low, high and step")
        if self.size > MOST_SETS:
            raise ConfigError(f"the grid has {self.size:,} sets", remedy="take larger steps, or sets at random")
        names = [axis.parameter.name for axis in self.axes]
        combined = itertools.product(*(axis.values or () for axis in self.axes))
        sets = (dict(zip(names, values, strict=True)) for values in combined)
        return [one for one in sets if self.accepts(one)]

    def draw(self, rng: random.Random) -> ParameterSet:
        """A combination at random, whether it counts or not."""
        return {axis.parameter.name: axis.draw(rng) for axis in self.axes}


def parse_space(strategy: type[Strategy], spec: Mapping[str, Any], where: str | None = None) -> Space:
    """Read `{fast: [5, 10], slow: {low: 20, high: 200, step: 20}, stop: 0.02}` and a condition such as `fast < slow`,
    which may name any parameter of the strategy; those not in `spec` have their defaults.

    Whole numbers step by 1 where no step is given; `high` is included where a step lands on it. ConfigError says which
    parameter is wrong and what would be right.
    """
    declared = strategy.parameters()
    if not isinstance(spec, Mapping) or not spec:
        raise ConfigError("there are no parameters to vary", remedy=f"name some of: {_listed(declared)}")
    if unknown := [name for name in spec if name not in declared]:
        raise ConfigError(f"{strategy.__name__} has no parameter {unknown[0]!r}", remedy=f"it has: {_listed(declared)}")
    axes = tuple(_axis(parameter, spec[name]) for name, parameter in declared.items() if name in spec)
    if where is None:
        return Space(axes, lambda values: True)
    texts = {name for name, parameter in declared.items() if parameter.type is str}
    condition = parse_condition(where, declared.keys() - texts)
    defaults = {name: parameter.default for name, parameter in declared.items()}
    return Space(axes, lambda values: condition({**defaults, **values}))


def grid(strategy: type[Strategy], spec: Mapping[str, Any], where: str | None = None) -> list[ParameterSet]:
    """Every combination for which `where` holds, sorted by the parameters as declared; see parse_space for `spec`.

    ConfigError where there is none, or there are over a million.
    """
    return _some(parse_space(strategy, spec, where).all(), where)


def random_sets(
    strategy: type[Strategy], spec: Mapping[str, Any], n: int, seed: int = 0, where: str | None = None
) -> list[ParameterSet]:
    """`n` different sets, all where there are fewer; sorted like a grid. The same for the same arguments everywhere,
    and those for a smaller `n` are among them. ConfigError where `n` is below 1, or as for `grid`.
    """
    if n < 1:
        raise ConfigError(f"{n} parameter sets are asked for", remedy="ask for at least 1")
    space = parse_space(strategy, spec, where)
    rng = random.Random(seed)
    if space.size <= MOST_SETS:
        sets = _some(space.all(), where)
        order = sorted((rng.random(), number) for number in range(len(sets)))
        return [sets[number] for number in sorted(number for _, number in order[:n])]
    found: dict[tuple[Any, ...], ParameterSet] = {}
    for _ in range(MOST_DRAWS + 100 * n):
        drawn = space.draw(rng)
        if space.accepts(drawn):
            found.setdefault(tuple(drawn.values()), drawn)
        if len(found) == n:
            break
    return _some([found[values] for values in sorted(found)], where)


def set_key(parameters: Mapping[str, Any]) -> str:
    """A text that equal sets share, whatever their order, in every process: `{"fast":5,"slow":20}`."""
    return json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"))


class Listed:
    """Hands out sets that are known beforehand, in their order."""

    def __init__(self, sets: Sequence[ParameterSet]) -> None:
        self._left = iter(sets)

    def ask(self, n: int) -> list[ParameterSet]:
        """The next `n`."""
        return list(itertools.islice(self._left, n))

    def tell(self, parameters: ParameterSet, value: float) -> None:
        """Do nothing: nothing is learnt from it."""


def _axis(parameter: Parameter, given: Any) -> Axis:
    if isinstance(given, Mapping):
        return _range(parameter, given)
    listed = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if not listed:
        raise _bad(parameter, "has no values to try", "give at least one")
    return Axis(parameter, tuple(sorted({_zero(parameter.parse(value)) for value in listed})))


def _range(parameter: Parameter, given: Mapping[str, Any]) -> Axis:
    if parameter.type not in (int, float):
        raise _bad(parameter, f"is a {parameter.type.__name__} and has no range", "list its values, as in [a, b]")
    if unknown := [key for key in given if key not in ("low", "high", "step")]:
        raise _bad(parameter, f"has a range with {unknown[0]!r}", "give low, high and step")
    if missing := [key for key in ("low", "high") if key not in given]:
        raise _bad(parameter, f"has a range without {missing[0]}", "give low, high and step")
    low, high = parameter.parse(given["low"]), parameter.parse(given["high"])
    if low > high:
        raise _bad(parameter, f"has a range from {low} to {high}", "give the lower end first")
    step = given.get("step", 1 if parameter.type is int else None)
    if step is None:
        return Axis(parameter, None, low, high)
    if isinstance(step, bool) or not isinstance(step, int | float) or not (0 < step < math.inf):
        raise _bad(parameter, f"has the step {step!r}", "give a number above 0")
    if parameter.type is int and step != int(step):
        raise _bad(parameter, f"is a whole number and has the step {step!r}", "give a whole number")
    base, by = Decimal(str(low)), Decimal(str(step))  # as written, so that 0.1 + 2 × 0.1 is 0.3
    count = int((Decimal(str(high)) - base) / by) + 1
    if count > MOST_SETS:
        raise _bad(parameter, f"has {count:,} values", "take a larger step")
    values = [parameter.type(base + number * by) for number in range(count)]
    return Axis(parameter, tuple(_zero(parameter.parse(value)) for value in values))


def _zero(value: Any) -> Any:
    return 0.0 if isinstance(value, float) and value == 0 else value  # -0.0 has a key of its own


def _some(sets: list[ParameterSet], where: str | None) -> list[ParameterSet]:
    if not sets:
        raise ConfigError(f"no parameter set satisfies {where!r}", remedy="widen the values or the condition")
    return sets


def _listed(declared: Mapping[str, Parameter]) -> str:
    return ", ".join(declared) or "none"


def _bad(parameter: Parameter, reason: str, remedy: str) -> ConfigError:
    return ConfigError(f"parameter {parameter.name} {reason}", remedy=remedy)
