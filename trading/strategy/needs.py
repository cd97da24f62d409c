"""What a strategy needs of every symbol, as Step 0 requires it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from barray.market.errors import ConfigError
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval

_ANY = Interval.parse("1m")


@dataclass(frozen=True)
class Needs:
    """What a strategy object needs of every symbol. `interval`: its main one; `indicators` by the strategy's names.

    `made_by`: of own indicators, by key, the parameters that a strategy makes them with: functions do not travel.
    """

    interval: Interval
    intervals: tuple[Interval, ...]
    indicators: Mapping[str, IndicatorSpec]
    made_by: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def together(
        cls,
        intervals: Iterable[Interval],
        specs: Iterable[IndicatorSpec],
        made_by: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Needs:
        """What several strategies need, as one: indicators by their keys, for SymbolData.seen_with. Which of the
        intervals is called the main one means nothing. ConfigError where two that differ have one key.
        """
        specs = tuple(dict.fromkeys(specs))
        require_own_names(specs)
        every = tuple(sorted(set(intervals)))
        return cls(every[0] if every else _ANY, every, {spec.key: spec for spec in specs}, made_by or {})

    def without_own(self) -> Needs:
        """What is needed where a strategy's own functions are not: its own indicators' bars, and all others."""
        intervals = tuple(sorted({*self.intervals, *(spec.interval for spec in self.indicators.values())}))
        others = {name: spec for name, spec in self.indicators.items() if spec.own is None}
        return Needs(self.interval, intervals, others)

    def also(self, other: Needs) -> Needs:
        """What these and others, both together, need."""
        return Needs.together(
            (*self.intervals, *other.intervals),
            (*self.indicators.values(), *other.indicators.values()),
            {**self.made_by, **other.made_by},
        )


def require_own_names(indicators: Iterable[IndicatorSpec]) -> None:
    """ConfigError where two indicators that differ would be taken for one."""
    known: dict[str, IndicatorSpec] = {}
    for spec in indicators:
        other = known.setdefault(spec.key, spec)
        if other != spec:
            places = [one.own.place if one.own else "TA-Lib" for one in (other, spec)]
            raise ConfigError(
                f"two indicators are called {spec.key} ({', '.join(places)})",
                remedy='give one another name: indicator(…, bars=…, name="other")',
                code="bad_indicator",
            )
