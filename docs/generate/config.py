"""Every section and key of a configuration, from the models that read it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from barray.coordinator.config.model import SessionConfig
from barray.data_sources.parquet.layout import Layout
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from docs.generate.markdown import code, prose, table

_PLAIN: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    date: "date, `2024-07-01`",
    time: "exchange time, `10:30`",
    datetime: "time with its offset, `2024-07-02T13:25:00Z`",
    Interval: "interval, `5m`",
    IndicatorSpec: "indicator, `RSI(14)@5m`",
    Layout: "path template",
    Any: "anything",
    type(None): "nothing",
}
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def config_reference() -> str:
    """A section of the page for each section of a configuration, the whole one first."""
    return "\n\n".join(_section(where, model) for where, model in sections())


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section by the path that leads to it: `live.practice`; sources by their type: `sources[parquet]`."""
    yield "", SessionConfig
    yield from _below("", SessionConfig)


def _below(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        for found in _models(field.annotation):
            kind = found.model_fields.get("type")
            ending = f"[{get_args(kind.annotation)[0]}]" if kind else ""
            where = f"{path}{field.alias or name}{ending}"
            yield where, found
            yield from _below(f"{where}.", found)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _section(where: str, model: type[BaseModel]) -> str:
    title = f"## `{where}`" if where else "## The whole"
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    return f"{title}\n\n{prose(model)}\n\n{table(('key', 'takes', 'default'), rows)}"


def _row(name: str, field: FieldInfo) -> tuple[str, str, str]:
    limits = [
        f"{word} {getattr(rule, key)}" for rule in field.metadata for key, word in _LIMITS.items() if hasattr(rule, key)
    ]
    return code(field.alias or name), ", ".join([takes(field.annotation), *limits]), _default(field)


def takes(annotation: Any) -> str:
    """What a key takes, in words."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes(arguments[0])
    if origin is Literal:
        return " or ".join(map(code, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(takes(part) for part in arguments if part is not type(None)))
    if origin is tuple:
        return f"list of: {takes(arguments[0])}"
    if origin is dict:
        return f"mapping of {takes(arguments[0])} to {takes(arguments[1])}"
    return "a section"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        made: Any = field.default_factory()  # type: ignore[call-arg]
        return "now" if isinstance(made, float) else _shown(made)
    return "*required*" if field.default is PydanticUndefined else _shown(field.default)


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its own defaults"
    if isinstance(value, tuple):
        return code(f"[{', '.join(map(str, value))}]")
    if value is None:
        return ""
    if isinstance(value, Layout):
        return code(value.template)
    return code(str(value).lower() if isinstance(value, bool) else value)
