"""What a scan is: declared parameters, a universe, times, and what passes, in terms or in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from barray.market.errors import BarrayError, ConfigError
from barray.trading.scans.keeping import Keep, Promote
from barray.trading.scans.terms import Term
from barray.trading.scans.times import Times, every
from barray.trading.scans.universe import Universe, everything
from barray.trading.strategy.failure import file_of, place_in
from barray.trading.strategy.parameter import Parameterized

if TYPE_CHECKING:
    from barray.trading.scans.panel import ScanPanel

Told = Any
"""An attribute as a class gives it: a value, or a method that makes it of the parameters."""


ATTRIBUTES: Mapping[str, tuple[type, ...]] = {
    "universe": (Universe,),
    "daily": (Term, type(None)),
    "at": (Times,),
    "where": (Term, type(None)),
    "rank": (Term, type(None)),
    "keep": (Keep, type(None)),
    "promote": (Promote, type(None)),
    "carry": (Sequence,),
    "uses": (Sequence, Mapping),
}
"""What each attribute of a scan may be."""


class Scan(Parameterized):
    """Base of all scans. Subclasses say what they look for, at least `where` or `scan`.

        class Gappers(Scan):
            least: float = 0.02

            universe = listed()
            daily = (adv(20) > 5e6) & (close(1) > 5)
            at = every("5m", since="09:35")
            rank = relative_volume(10)
            keep = top(50).leave_below(80)
            promote = full(20, evict="rank")
            carry = ["RSI(14)@5m"]

            def where(self):
                return (gap() > self.least) & (relative_volume(10) > 3) & (col("RSI(14)@5m") > 55)

    An attribute is a value, or a method that makes it of the parameters. A symbol is found at a time where it belongs
    to the `universe`, `daily` passed it once before the open, from daily bars alone, `where` passes it, `rank`, the
    highest first, has a value, and it is among those to `keep`. Terms among symbols (`rank()`, `top(n)` …) see those
    that all else in their stage let through at that time. `promote`: the best of those kept become full symbols, the
    others adhoc ones, with the indicators that `carry` names; None: they are found, no more.

    Plain Python: `scan(panel)` is given those that `universe`, `daily` and `where` let through, with the values that
    `uses` names, and returns what it finds: a bool array, an array of scores, or a mapping of symbols to scores. Scores
    rank in place of `rank`.
    """

    _told = tuple(ATTRIBUTES)

    universe: Told = everything()
    daily: Told = None
    at: Told = every("5m")
    where: Told = None
    rank: Told = None
    keep: Told = None
    promote: Told = None
    carry: Told = ()
    uses: Told = ()

    def scan(self, panel: ScanPanel) -> Any:
        """What is found at a time, in plain Python."""
        raise NotImplementedError

    @property
    def has_form(self) -> bool:
        """Whether it is written as `scan`."""
        return type(self).scan is not Scan.scan

    def told(self, name: str) -> Any:
        """An attribute's value, made of the parameters where it is a method; ConfigError, with file and line, where
        that raises.
        """
        value = getattr(self, name)
        if not callable(value) or isinstance(value, type):
            return value
        if getattr(value, "__module__", "").startswith("barray.trading.scans."):
            raise ConfigError(
                f"{type(self).__name__}.{name} is {value.__name__}", remedy=f"call it: {value.__name__}(…)"
            )
        try:
            return value()
        except Exception as error:
            file = file_of(self)
            place = f"{place_in(file, error)}: " if file else ""
            where = f"{place}{type(self).__name__}.{name}"
            if isinstance(error, BarrayError):
                raise ConfigError(f"{where}: {error.reason}", remedy=error.remedy, code=error.code) from error
            text = f"{where} raised {type(error).__name__}: {error}"
            raise ConfigError(text, remedy="mend the scan's code") from error
