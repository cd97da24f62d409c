"""Reads a configuration from YAML and explains what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.config.sources import SOURCES
from barray.market.errors import ConfigError, shorten
from barray.market.listings import LISTINGS

S = TypeVar("S", bound=BaseModel)
ConfigLike = str | Path | Mapping[str, Any] | SessionConfig
"""A path of a YAML file, a mapping, or a configuration."""


MAX_CHARACTERS, MAX_VALUES, MAX_DEPTH = 4_000_000, 200_000, 40
"""What a file may hold: characters, values (those of an alias counted each time), levels of nesting."""
_LISTED = 20
"""How many of a configuration's problems an error lists."""
_BOUND = ", which is the bound"
_SMALLER = "write a smaller file, or give barray.Session a mapping: only files are bounded"


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of a scalar: ON, NO and TRUE are tickers, 10:30 is no number in base 60, keys stand once.

    Dates stay text as well: the section that wants one says what is wrong with it. Values are counted before any is
    made, those behind an alias too, since a few lines of aliases stand for more than a machine can hold.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._depth = 0
        self._sizes: dict[yaml.Node | None, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """See yaml.composer.Composer; YAMLError beyond the bounds."""
        before = self._values
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        self._refuse(self._depth > MAX_DEPTH, f"is nested deeper than {MAX_DEPTH} levels", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        is_alias = isinstance(event, yaml.AliasEvent)
        self._refuse(is_alias and node not in self._sizes, "an alias stands inside what it names, without end", event)
        self._values += self._sizes[node] if is_alias else 1
        self._refuse(self._values > MAX_VALUES, f"holds more than {MAX_VALUES:,} values", event)
        if node is not None and node not in self._sizes:
            self._sizes[node] = self._values - before
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """See yaml.constructor.Constructor; YAMLError, with the place, for what is no value of its tag."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            tag = node.tag.rpartition(":")[2]
            problem = f"{shorten(str(node.value))} is no {tag} that can be read"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    @staticmethod
    def _refuse(refused: bool, problem: str, event: Any) -> None:
        if refused:
            raise yaml.composer.ComposerError(None, None, f"{problem}{_BOUND}", event.start_mark)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), list(_first))


def _mapping_once(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    nodes = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    seen: set[Any] = set()
    for key_node in nodes:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, f"{shorten(repr(key))} is no key", key_node.start_mark)
        if key in seen:
            place = key_node.start_mark
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", place)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_once)


def read_config(path: str | Path, *, strategy_given: bool = False) -> SessionConfig:
    """The configuration in a YAML file; relative paths in it are taken from its folder. `strategy_given`: it need not
    name a strategy.

    Raises ConfigError naming the file, each key at fault, its value and what would be right.
    """
    path = Path(path)
    try:
        data = yaml.load(_text(path), _Loader)  # noqa: S506  # _Loader is a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", remedy="check the path of the config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text", remedy="save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        remedy = _SMALLER if problem.endswith(_BOUND) else "mend the YAML"
        raise ConfigError(f"{path}{where}: {problem}", remedy=remedy) from error
    return _whole(parse_config(data, str(path), strategy_given=strategy_given).resolved(path.parent))


def _whole(config: SessionConfig) -> SessionConfig:
    """The config with what its listings tell of names, where they are there: it travels, and they may not."""
    if Path(config.listings.get(LISTINGS, "")).is_file():
        config.renames  # noqa: B018
    return config


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        text = file.read(MAX_CHARACTERS + 1)
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{path}: holds more than {MAX_CHARACTERS:,} characters{_BOUND}", remedy=_SMALLER)
    return text


def as_config(config: ConfigLike, *, strategy_given: bool = False) -> SessionConfig:
    """A configuration from whatever names it: a path, a mapping (relative paths from here), or itself."""
    if isinstance(config, SessionConfig):
        return _whole(config)
    if isinstance(config, Mapping):
        return _whole(parse_config(config, strategy_given=strategy_given).resolved(Path.cwd()))
    return read_config(config, strategy_given=strategy_given)


def parse_config(data: Any, where: str = "config", *, strategy_given: bool = False) -> SessionConfig:
    """The configuration in a mapping; `where` names it in a ConfigError, which lists all that is wrong.

    Paths stay as they are. `strategy_given`: it may do without a strategy.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: holds no keys", remedy="start from examples/session.yaml")
    if strategy_given:
        data = {"strategy": {}, **data}
    try:
        return SessionConfig.model_validate(data).standing_in(where)
    except ValidationError as error:
        problems = [dict(problem) for problem in error.errors()]
        own = [problem for problem in problems if not _is_echo(problem, problems, data)]
        raise _all_wrong(own, SessionConfig, where) from error


def parse_section(model: type[S], data: Mapping[str, Any], where: str) -> S:
    """One section by itself; `where` names it in errors."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _all_wrong([dict(problem) for problem in error.errors()], model, where) from error


def _all_wrong(problems: Sequence[dict[str, Any]], model: type[BaseModel], where: str) -> ConfigError:
    lines = [_explain(problem, model) for problem in problems[:_LISTED]]
    if more := len(problems) - len(lines):
        lines.append(f"… and {more} more")
    listed = lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
    return ConfigError(f"{where}: {listed}")


def _is_echo(problem: dict[str, Any], problems: list[dict[str, Any]], data: Mapping[str, Any]) -> bool:
    """Whether a problem only follows from another: a list without its bad entries, the end that start stands for."""
    location = problem["loc"]
    if problem["type"] == "too_short":
        return any(other["loc"][: len(location)] == location for other in problems if other is not problem)
    return bool(location == ("session", "end") and problem["type"] != "missing" and "end" not in data["session"])


def _explain(problem: dict[str, Any], model: type[BaseModel]) -> str:
    location: tuple[int | str, ...] = problem["loc"]
    shown_parts = (part for row, part in enumerate(location) if not _is_tag(location, row))
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in shown_parts).lstrip(".") or "config"
    if problem["type"] == "union_tag_invalid":
        wrong = problem["ctx"]["tag"]
        close = difflib.get_close_matches(wrong, SOURCES, 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(SOURCES)}"
        return f"{key}.type: {shorten(repr(wrong), 60)}: is no type of source; {hint}"
    if problem["type"] == "extra_forbidden":
        known = list(_model_at(model, location[:-1]).model_fields)
        close = difflib.get_close_matches(str(location[-1]), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{key}: is missing, and there is no default; write it as examples/session.yaml does"
    if problem["type"] in ("model_type", "model_attributes_type"):
        known = list(_model_at(model, location).model_fields)
        return f"{key}: {shorten(repr(problem['input']), 60)}: is no section; its keys are {', '.join(known)}"
    if problem["type"] == "too_short":
        return f"{key}: is empty; give at least one"
    message = str(problem["msg"])
    if message.startswith("Value error, "):
        message = message.removeprefix("Value error, ")
    else:
        message = f"{message[:1].lower()}{message[1:]}".replace("a valid tuple", "a list")
    value = problem["input"]
    shown = "" if isinstance(value, Mapping | BaseModel) else f" {shorten(repr(_without_keys(value)), 60)}:"
    return f"{key}:{shown} {message}"


def _without_keys(value: object) -> object:
    """A value as it may be shown: of a URI not who asks, nor its options."""
    if not isinstance(value, str) or "://" not in value:
        return value
    return re.sub("//.*@", "//***@", value.partition("?")[0])


def _is_tag(location: tuple[int | str, ...], row: int) -> bool:
    """Whether pydantic put the source's type there; nobody has written it in that place."""
    return row == 2 and location[0] == "sources" and location[row] in SOURCES


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    for row, part in enumerate(location):
        if _is_tag(location, row):
            model = SOURCES[str(part)]
        if isinstance(part, int) or part not in model.model_fields:
            continue
        model = _models_in(model.model_fields[part].annotation)
    return model


def _models_in(annotation: Any) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = get_args(annotation)
    for inner in arguments[1:] if get_origin(annotation) is dict else arguments:
        if inner is not type(None) and inner is not ...:
            return _models_in(inner)
    raise TypeError(f"no section in {annotation}")
