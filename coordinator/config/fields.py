"""What the sections of a configuration are made of: fields that explain themselves, and no unknown keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator

from barray.market.errors import BarrayError
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval

T = TypeVar("T")


def parsed(parse: Callable[[Any], T]) -> Callable[[Any], T]:
    """Let pydantic see our errors as its own."""

    def validator(value: Any) -> T:
        try:
            return parse(value)
        except BarrayError as error:
            raise ValueError(str(error)) from error

    return validator


def _symbol(value: Any) -> str:
    if not isinstance(value, str):
        example = f"write {str(value)!r} in quotes" if isinstance(value, int | float) else "write it in quotes"
        raise ValueError(f"a symbol is text: {example}")
    return value


def _wall_time(value: Any) -> time:
    if isinstance(value, time):
        return value
    try:
        parsed = time.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("a time of day is written as 10:30 or 10:30:15") from None
    if parsed.tzinfo is not None:
        raise ValueError("times of day are exchange time: leave the offset out")
    return parsed


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except TypeError:
        raise ValueError("a date is written as 2024-07-01") from None
    except ValueError as error:
        raise ValueError(f"a date is written as 2024-07-01 ({error})") from None


def zone_name(name: str) -> str:
    """The name of a time zone that there is."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no such time zone; use one such as America/New_York or UTC") from None
    return name


def stamp_text(value: Any) -> Any:
    """A stamp as text, also where YAML or the caller made a datetime of it."""
    return value.isoformat() if isinstance(value, datetime) else value


def jump_size(value: object) -> object:
    """A share, or False; ValueError for all else, of which 0 would be taken for false and true for 1."""
    if value is False:
        return False
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.1 <= value <= 100:
        raise ValueError(
            "give a share from 0.1 to 100 (0.4: the higher of two prices is 40 % above the lower), or false"
        )
    return float(value)


IntervalField = Annotated[Interval, PlainValidator(parsed(Interval.parse)), PlainSerializer(str)]
IndicatorField = Annotated[
    IndicatorSpec, PlainValidator(parsed(parse_indicator)), PlainSerializer(lambda spec: spec.key)
]
SymbolField = Annotated[str, BeforeValidator(_symbol)]
DateField = Annotated[date, BeforeValidator(_date), Field(ge=date(1970, 1, 1), le=date(2200, 12, 31))]
TimeField = Annotated[time, PlainValidator(_wall_time)]


class Section(BaseModel):
    """A mapping in the config: unknown keys are refused, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
