"""Where a scan comes from, in a form that travels to every node."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from barray.market.errors import ConfigError
from barray.trading.scans.plan import Plan, make_plan
from barray.trading.scans.scan import Scan
from barray.trading.strategy.code_digest import code_digest
from barray.trading.strategy.siblings import serve
from barray.trading.strategy.source import Code


@dataclass(frozen=True)
class ScanCode(Code):
    """A scan's code."""

    told_as = "scan"

    def load(self) -> type[Scan]:
        """The class; ConfigError where the code can't be run, or has no such class."""
        serve(self.siblings)
        return _load(self)


@functools.lru_cache(maxsize=64)
def _load(code: ScanCode) -> type[Scan]:
    module = code.module()
    own = vars(module)
    found = {
        name: kind
        for name, kind in own.items()
        if inspect.isclass(kind) and issubclass(kind, Scan) and kind.__module__ == module.__name__
    }
    listed = ", ".join(found) or "none"
    if code.name is not None:
        named = own.get(code.name)
        if isinstance(named, type) and issubclass(named, Scan):
            return named
        raise ConfigError(f"{code.where} has no scan {code.name!r}", remedy=f"it defines: {listed}")
    if len(found) != 1:
        raise ConfigError(
            f"{code.where} defines {len(found)} scans ({listed})",
            remedy="name one under scans as class" if found else "define a class that is a barray Scan",
        )
    return next(iter(found.values()))


@dataclass(frozen=True)
class ScanSource:
    """A scan with its parameters. `code`: of a class; or `terms`: what YAML says in place of one. `name`: by which it
    is told of, the class's where None.
    """

    name: str | None
    code: ScanCode | None = None
    parameters: Mapping[str, Any] | None = None
    terms: Mapping[str, Any] | None = None

    def plan(self) -> Plan:
        """The scan made ready; ConfigError for what can't be meant."""
        if self.code is None:
            from barray.trading.scans.written import scan_of

            name = self.name or "scan"
            return make_plan(scan_of(name, self.terms or {}), name)
        return make_plan(self.code.load()(**(self.parameters or {})), self.name)

    @property
    def digest(self) -> str:
        """What tells one scan from another: of its code, or what YAML says, and its parameters; 64 hex digits.

        ConfigError where the code can't be loaded.
        """
        code = code_digest(self.code) if self.code is not None else None
        told = json.dumps([code, self.parameters or {}, self.terms or {}], sort_keys=True, default=str)
        return hashlib.sha256(told.encode()).hexdigest()
