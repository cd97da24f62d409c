"""The section of a configuration that says what is added and removed when."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, model_validator

from barray.coordinator.config.fields import (
    DateField,
    IndicatorField,
    IntervalField,
    Section,
    SymbolField,
    TimeField,
    parsed,
    stamp_text,
)
from barray.market.adhoc import parse_bar


class ScheduledBar(Section):
    """A bar to add. Its start is `time` of the session date (exchange time), or a full `timestamp`."""

    symbol: SymbolField
    interval: IntervalField
    time: TimeField | None = None
    timestamp: Annotated[str | None, BeforeValidator(stamp_text)] = None
    open: float
    high: float
    low: float
    close: float
    volume: float

    @model_validator(mode="after")
    def _stamped(self) -> ScheduledBar:
        if (self.time is None) == (self.timestamp is None):
            raise ValueError("give either time (exchange time on the session date) or timestamp")
        if self.timestamp is not None:
            parsed(parse_bar)(self.model_dump(include={"timestamp", "open", "high", "low", "close", "volume"}))
        return self


class ScheduledIndicator(Section):
    """An indicator to add."""

    symbol: SymbolField
    indicator: IndicatorField


class ScheduledAction(Section):
    """Something to do once the session clock reaches `at` (exchange time), each day or on `day` only."""

    at: TimeField
    day: DateField | None = None
    by: Literal["strategy", "scanner"] | None = None
    add_symbol: SymbolField | None = None
    add_bar: ScheduledBar | None = None
    add_indicator: ScheduledIndicator | None = None
    remove_symbol: SymbolField | None = None

    @model_validator(mode="after")
    def _one_action(self) -> ScheduledAction:
        actions = (self.add_symbol, self.add_bar, self.add_indicator, self.remove_symbol)
        if sum(action is not None for action in actions) != 1:
            raise ValueError("give exactly one of add_symbol, add_bar, add_indicator, remove_symbol")
        return self
