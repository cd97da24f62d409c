"""Where a scan's class comes from, in a form that travels to every node."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field

from barray.market.errors import ConfigError
from barray.trading.scans.scan import Scan
from barray.trading.strategy.siblings import Sibling, serve
from barray.trading.strategy.source import module_of


@dataclass(frozen=True)
class ScanSource:
    """A scan's code: the text of a file, or a module that is installed wherever it runs or among the siblings.

    `where`: the file's path or the module's name. `text`: the file's content, None for a module. `name`: of the class,
    None where the code defines just one. `siblings`: modules that it imports and that are not installed.
    """

    where: str
    text: str | None = None
    name: str | None = None
    siblings: tuple[Sibling, ...] = field(default=(), repr=False)

    def load(self) -> type[Scan]:
        """The class; ConfigError where the code can't be run, or does not hold one scan, or none of that name."""
        serve(self.siblings)
        return _load(self)


@functools.lru_cache(maxsize=64)
def _load(source: ScanSource) -> type[Scan]:
    module = module_of(source.where, source.text, "scan")
    found = {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Scan) and value.__module__ == module.__name__
    }
    listed = ", ".join(found) or "none"
    if source.name is not None:
        named = getattr(module, source.name, None)
        if isinstance(named, type) and issubclass(named, Scan):
            return named
        raise ConfigError(f"{source.where} has no scan {source.name!r}", remedy=f"it defines: {listed}")
    if len(found) != 1:
        remedy = (
            "name one under class" if found else "define a class that is a Scan, after from barray.scans import Scan"
        )
        raise ConfigError(f"{source.where} defines {len(found)} scans ({listed})", remedy=remedy)
    return next(iter(found.values()))
