"""Scans written as text: `where: [gap > 0.02, RSI(14)@5m > 55]` in a config, for those that need no Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any

from barray.market.errors import BarrayError, ConfigError, shorten
from barray.trading.scans import keeping, language, times, universe
from barray.trading.scans.scan import ATTRIBUTES, Scan
from barray.trading.scans.terms import Term, as_term

_LONGEST = 1_000
_AT_INTERVAL = re.compile(r"[A-Za-z]\w*\s*(?:\([^()]*\))?\s*@\s*\d+[smhdw](?:\.[A-Za-z]\w*)?")
_WORDS: Mapping[str, Callable[..., Term]] = {
    name: getattr(language, name)
    for name in (
        "gap", "change", "change_since_open", "session_open", "session_high", "session_low", "session_volume",
        "session_range", "vwap", "relative_volume", "new_high", "new_low", "close", "adv", "average_volume", "highest",
        "lowest", "table",
    )
}  # fmt: skip
_COLUMNS = ("open", "high", "low", "close", "volume")
_METHODS = ("between", "is_in", "known", "rank", "top", "bottom", "zscore", "demean", "percentile")
_BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
}
_COMPARE: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}
_KEYS = tuple(name for name in ATTRIBUTES if name != "uses")


def scan_of(name: str, told: Mapping[str, Any]) -> Scan:
    """A scan from a mapping of its attributes, as YAML gives it; ConfigError that names the scan, the key and what
    would be right.
    """
    if not isinstance(told, Mapping):
        raise ConfigError(f"scan {name} is {told!r}", remedy=f"give a mapping with {', '.join(_KEYS)}")
    attributes: dict[str, Any] = {}
    for key, value in told.items():
        if key not in _KEYS:
            raise ConfigError(f"scan {name} has no {key!r}", remedy=_nearest(str(key), _KEYS))
        try:
            attributes[key] = _READERS[key](value)
        except BarrayError as error:
            raise ConfigError(f"scan {name}, {key}: {error.reason}", remedy=error.remedy, code=error.code) from None
    kind: type[Scan] = type(name, (Scan,), attributes)
    return kind()


def parse_term(text: object) -> Term:
    """A term as written: `gap > 0.02`, `relative_volume(10).top(50)`, `RSI(14)@5m`, `5 < close(1) < 50`, joined by
    `and`, `or`, `not` or by & | ~. ConfigError where it is none.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return as_term(text)
    if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST:
        raise ConfigError(f"{shorten(str(text))!r} is no term", remedy='write one such as "gap > 0.02"')
    found: list[Term] = []

    def placed(match: re.Match[str]) -> str:
        interval, _, output = match[0].partition("@")[2].partition(".")
        found.append(language.col(f"{match[0].partition('@')[0]}@{interval}", output or None))
        return f"_term{len(found) - 1}"

    plain = _AT_INTERVAL.sub(placed, text.strip())
    try:
        tree = ast.parse(plain, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(f"{text!r} can't be read", remedy='write it as "gap > 0.02 and close(1) > 5"') from None
    return as_term(_Reader(text, found).read(tree.body))


class _Reader:
    """From an expression's tree to a term; what is not among the words of scans is refused."""

    def __init__(self, text: str, found: list[Term]) -> None:
        self._text, self._found = text, found

    def read(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return node.value
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.BoolOp):
            return self._joined(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return _BINARY[type(node.op)](self.read(node.left), self.read(node.right))
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self._label(one) for one in node.elts]
        raise ConfigError(f"{self._text!r} has what is no part of a term", remedy="write terms, numbers and operators")

    def _name(self, name: str) -> Term:
        if name.startswith("_term") and name[5:].isdigit() and int(name[5:]) < len(self._found):
            return self._found[int(name[5:])]
        if name in _COLUMNS:
            return language.col(name)
        if name in _WORDS:
            try:
                return _WORDS[name]()
            except TypeError:
                raise ConfigError(f"{name} takes a number", remedy=f"write {name}(10)") from None
        raise ConfigError(f"{self._text!r} names {name!r}", remedy=_nearest(name, (*_WORDS, *_COLUMNS)))

    def _joined(self, node: ast.BoolOp) -> Term:
        found = as_term(self.read(node.values[0]))
        for one in node.values[1:]:
            other = self.read(one)
            found = found & other if isinstance(node.op, ast.And) else found | other
        return found

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = self.read(node.operand)
        if isinstance(node.op, (ast.Not, ast.Invert)):
            return ~as_term(value)
        return -value if isinstance(node.op, ast.USub) else value

    def _compared(self, node: ast.Compare) -> Term:
        if any(type(operator) not in _COMPARE for operator in node.ops):
            raise ConfigError(f"{self._text!r} compares in no known way", remedy="write > >= < <= == !=, or is_in")
        sides = [self.read(one) for one in (node.left, *node.comparators)]
        found: list[Term] = []
        for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
            found.append(as_term(_COMPARE[type(operator)](left, right)))
        whole = found[0]
        for one in found[1:]:
            whole = whole & one
        return whole

    def _called(self, node: ast.Call) -> Term:
        given = [self._label(one) for one in node.args]
        named = {str(one.arg): self.read(one.value) for one in node.keywords}
        if isinstance(node.func, ast.Name) and node.func.id in _WORDS:
            name, called = node.func.id, _WORDS[node.func.id]
        elif isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS:
            name, called = node.func.attr, getattr(as_term(self.read(node.func.value)), node.func.attr)
        else:
            name = getattr(node.func, "id", getattr(node.func, "attr", "?"))
            raise ConfigError(f"{self._text!r} calls {name!r}", remedy=_nearest(name, (*_WORDS, *_METHODS)))
        try:
            made: Term = called(*given, **named)
        except TypeError as error:
            raise ConfigError(f"{self._text!r}: {name} can't be called so: {error}", remedy=_usage(name)) from None
        return made

    def _label(self, node: ast.expr) -> Any:
        """What is given to a word: a name that is no word is a text."""
        if isinstance(node, ast.Name) and node.id not in (*_WORDS, *_COLUMNS) and not node.id.startswith("_term"):
            return {"True": True, "False": False}.get(node.id, node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return node.value
        return self.read(node)


def _usage(name: str) -> str:
    return f"see {name} in the words of scans"


def _nearest(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, 1, 0.6)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"


def _condition(value: Any) -> Term | None:
    if value is None:
        return None
    terms = [parse_term(one) for one in (value if isinstance(value, list) else [value])]
    if not terms:
        return None
    whole = terms[0]
    for one in terms[1:]:
        whole = whole & one
    return whole


def _universe(value: Any) -> universe.Universe:
    if value in ("everything", "listed"):
        return universe.everything() if value == "everything" else universe.listed()
    if isinstance(value, list):
        return universe.symbols(*map(_text, value))
    readers: Mapping[str, Callable[[Any], universe.Universe]] = {
        "listed": lambda one: universe.listed(_text(one)),
        "members": lambda one: universe.listed(_text(one)),
        "file": lambda one: universe.symbols_in(_text(one)),
        "symbols": lambda one: universe.symbols(*map(_text, one)),
    }
    key, one = _only(value, readers, "everything, listed, a list of symbols, or one of")
    return readers[key](one)


def _times(value: Any) -> times.Times:
    if isinstance(value, str) and value.startswith("every "):
        return times.every(value.removeprefix("every ").strip())
    if isinstance(value, Mapping):
        given = _known(value, ("every", "since", "until"))
        return times.every(given.pop("every", "5m"), **given)
    return times.at(*(value if isinstance(value, list) else [value]))


def _keep(value: Any) -> keeping.Keep:
    if not isinstance(value, Mapping):
        return keeping.top(value)
    given = _known(value, ("top", "leave_below"))
    kept = keeping.top(given.get("top"))  # type: ignore[arg-type]  # told of there
    return kept.leave_below(given["leave_below"]) if "leave_below" in given else kept


def _promote(value: Any) -> keeping.Promote | None:
    if value is None or not isinstance(value, Mapping):
        return None if value is None else keeping.full(value)
    given = _known(value, ("full", "evict", "light"))
    return keeping.full(given.pop("full", None), **given)


def _carry(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _known(value: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    for key in value:
        if key not in keys:
            raise ConfigError(f"there is no {key!r}", remedy=_nearest(str(key), keys))
    return dict(value)


def _only(value: Any, keys: Collection[str], wanted: str) -> tuple[str, Any]:
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ConfigError(f"it is {value!r}", remedy=f"give {wanted}: {', '.join(keys)}")
    return next(iter(_known(value, keys).items()))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{value!r} is no text", remedy='put it in quotes, such as "7203"')
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "universe": _universe,
    "daily": _condition,
    "at": _times,
    "where": _condition,
    "rank": parse_term,
    "keep": _keep,
    "promote": _promote,
    "carry": _carry,
}
