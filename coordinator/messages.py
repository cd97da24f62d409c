"""What a session is asked from outside (requests), and what its state wants done (instructions). All frozen.

A request of the wrong types can't be made: ConfigError, wherever that is tried, so that none is ever stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from barray.market.adhoc import parse_bar
from barray.market.bars import Bar
from barray.market.commands import Command
from barray.market.errors import ActorFailed, BarrayError, ConfigError
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval
from barray.market.symbols import require_text
from barray.trading.engine.session_commands import LayColumns

_PLAIN = (str, int, float, type(None))


@dataclass(frozen=True)
class AddSymbol:
    """Add a symbol with everything the config requires (Steps 0 to 3), or upgrade an adhoc one."""

    symbol: str
    by: str = "strategy"

    def __post_init__(self) -> None:
        _require_texts(self.symbol, self.by)

    def plain(self) -> AddSymbol:
        """The same in types that can be written down."""
        return self


@dataclass(frozen=True)
class AddBar:
    """Add one closed bar after light checks; an unknown symbol is provisioned."""

    symbol: str
    interval: str | Interval
    bar: Bar | Mapping[str, Any]
    by: str = "scanner"

    def __post_init__(self) -> None:
        _require_texts(self.symbol, self.by)
        _require("an interval", self.interval, (str, Interval), 'text such as "1m"')
        _require("a bar", self.bar, (Bar, Mapping), "a mapping with timestamp, open, high, low, close, volume")

    def bar_told(self) -> dict[str, Any]:
        """The bar in JSON types, also one that can't be meant."""
        try:
            return asdict(parse_bar(self.bar))
        except BarrayError:
            return {str(key): str(value) for key, value in self.bar.items()} if isinstance(self.bar, Mapping) else {}

    def plain(self) -> AddBar:
        """See AddSymbol."""
        try:
            bar: Mapping[str, Any] = asdict(parse_bar(self.bar))
        except BarrayError:  # as it is said of it
            given = dict(self.bar) if isinstance(self.bar, Mapping) else asdict(self.bar)
            bar = {str(key): one if isinstance(one, _PLAIN) else str(one) for key, one in given.items()}
        return replace(self, interval=str(self.interval), bar=bar)


@dataclass(frozen=True)
class AddIndicator:
    """Add one indicator after light checks; an unknown symbol is provisioned."""

    symbol: str
    indicator: str | Mapping[str, Any] | IndicatorSpec
    by: str = "scanner"

    def __post_init__(self) -> None:
        _require_texts(self.symbol, self.by)
        _require("an indicator", self.indicator, (str, Mapping, IndicatorSpec), 'text such as "RSI(14)@5m"')

    def plain(self) -> AddIndicator:
        """See AddSymbol."""
        try:
            return replace(self, indicator=parse_indicator(self.indicator))
        except BarrayError:
            return replace(self, indicator=str(self.indicator))


@dataclass(frozen=True)
class RemoveSymbol:
    """End one symbol and its process."""

    symbol: str
    by: str = "strategy"

    def __post_init__(self) -> None:
        _require_texts(self.symbol, self.by)

    def plain(self) -> RemoveSymbol:
        """See AddSymbol."""
        return self


def _require_texts(symbol: object, by: object) -> None:
    require_text(symbol)
    _require("who asks", by, (str,), "strategy or scanner")


def _require(what: str, given: object, kinds: tuple[type, ...], example: str) -> None:
    if not isinstance(given, kinds):
        raise ConfigError(f"{what} is {type(given).__name__}", remedy=f"give {example}")


Request = AddSymbol | AddBar | AddIndicator | RemoveSymbol


@dataclass(frozen=True)
class Validate:
    """Step 0. Comes to a SymbolValidationResult for each symbol."""

    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Provide:
    """Step 2: give symbols processes, `per_actor` of them in each, and wait until they are up. Comes to None."""

    symbols: tuple[str, ...]
    per_actor: int = 1


@dataclass(frozen=True)
class Tell:
    """Tell each symbol its command, side by side. Comes to `Told`."""

    commands: Mapping[str, Command | LayColumns]


@dataclass(frozen=True)
class Told:
    """Each symbol's report; and the symbols, told something or not, whose process was lost for good meanwhile."""

    reports: Mapping[str, Any]
    lost: Mapping[str, ActorFailed]


@dataclass(frozen=True)
class Heartbeat:
    """Ask processes that have not been heard for `silent_s` (real seconds) for a sign of life, at session time `at_ns`.

    Comes to the symbols whose process was lost for good, each with its ActorFailed.
    """

    at_ns: int
    silent_s: float


@dataclass(frozen=True)
class End:
    """End symbols; a process with none left is killed. Comes to None."""

    symbols: tuple[str, ...]


@dataclass(frozen=True)
class EndAll:
    """End all symbols; processes whose symbols are all among `keep` stay, emptied (None: none stays). Comes to None."""

    keep: frozenset[str] | None


@dataclass(frozen=True)
class Listen:
    """A symbol is about to join the session, or has (`loaded`): where time is real, its bars are listened to.

    Comes to None.
    """

    symbol: str
    loaded: bool = False


Instruction = Validate | Provide | Tell | Heartbeat | End | EndAll | Listen
