"""What a strategy is: declared parameters, what it needs, and the forms it may be written in."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from barray.market.errors import BarrayError, ConfigError
from barray.market.indicators import IndicatorSpec, parse_indicator
from barray.market.interval import Interval
from barray.market.own_indicator import OwnIndicator
from barray.trading.strategy.failure import file_of, place_in
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.parameter import Parameterized

if TYPE_CHECKING:
    from barray.trading.orders.fills import Fill
    from barray.trading.strategy.context import Context
    from barray.trading.strategy.data import SymbolData
    from barray.trading.strategy.signals import Signals
    from barray.trading.strategy.view import WindowView


class Strategy(Parameterized):
    """Base of all strategies. Subclasses annotate their parameters, with defaults, and write at least one form.

        class SmaCross(Strategy):
            fast: int = parameter(10, low=2)
            slow: int = 30

            def indicators(self):
                return {"fast": f"SMA({self.fast})", "slow": f"SMA({self.slow})"}

            def on_bar(self, ctx):
                ...

    One object runs one symbol from the first session to the last (`on_window`: one object for all symbols). `interval`
    is the one whose bars `on_bar` and `signals` see; `intervals` names more that they look at. Orders always fill on
    the bars of the base interval, the finest loaded.

    Forms: `on_bar(ctx)` is called once for every bar that closes; `signals(data)` gives the same decisions as arrays,
    without a call per bar; `on_window(view)` sees all symbols at a cadence. A strategy that has both `on_bar` and
    `signals` is run by the form that the config names, `signals` by default.
    """

    interval: ClassVar[str] = "1m"
    intervals: ClassVar[Sequence[str]] = ()

    def indicators(self) -> Mapping[str, str | OwnIndicator]:
        """Indicators it needs, by a name of its own: `{"rsi": "RSI(14)"}`, or `"RSI(14)@5m"` on another interval; or
        functions of its own, `{"spread": spread}` or `spread(fast=30) @ "5m"`, see barray.indicator.
        """
        return {}

    def on_start(self, ctx: Context) -> None:
        """Called once, at the open of the first session; the bars of its history are there to be seen."""

    def on_session(self, ctx: Context) -> None:
        """Called at the open of every session that has bars; orders placed here fill from its first bar on."""

    def on_bar(self, ctx: Context) -> None:
        """Event form: called when a bar of `interval` has closed."""
        raise NotImplementedError

    def on_fill(self, ctx: Context, fill: Fill) -> None:
        """Called after one of the symbol's orders was filled, before that bar is seen and `on_bar` is called for it.
        Orders placed here fill from the next base bar on.
        """

    def signals(self, data: SymbolData) -> Signals:
        """Array form: the decisions of all bars at once."""
        raise NotImplementedError

    def on_window(self, view: WindowView) -> None:
        """Cross-symbol form: called at every window's end. `on_start` and `on_session` are given the view too."""
        raise NotImplementedError

    @classmethod
    def forms(cls) -> tuple[str, ...]:
        """Which forms the class has, of on_bar, signals, on_window."""
        return tuple(n for n in ("on_bar", "signals", "on_window") if getattr(cls, n) is not getattr(Strategy, n))

    def needs(self) -> Needs:
        """Intervals and indicators as Step 0 requires them; ConfigError, naming the strategy and its file, where one
        can't be read, or what tells them raises.
        """
        try:
            return self._needs()
        except Exception as error:
            raise _told_of(self, error) from error

    def _needs(self) -> Needs:
        main = Interval.parse(self.interval)
        named: dict[str, IndicatorSpec] = {}
        for name, given in self.indicators().items():
            if not isinstance(name, str) or not name.isidentifier():
                raise ConfigError(f"an indicator is named {name!r}", remedy="use a Python name")
            named[name] = parse_indicator(given, main)
        further = (self.intervals,) if isinstance(self.intervals, str) else self.intervals
        return Needs(main, tuple(sorted({main, *map(Interval.parse, further)})), named)


def _told_of(strategy: Strategy, error: Exception) -> ConfigError:
    """An error in what a strategy needs, with the strategy's file, the line if it was raised there, and its name."""
    file = file_of(strategy)
    place = f"{place_in(file, error)}: " if file else ""
    kind = type(strategy).__name__
    if isinstance(error, BarrayError):
        return ConfigError(f"{place}{kind} needs: {error.reason}", remedy=error.remedy, code=error.code)
    text = f"{place}{kind} can't say what it needs: {type(error).__name__}: {error}"
    return ConfigError(text, remedy="mend the strategy's code")


def strategies_in(namespace: Mapping[str, Any], module: str) -> dict[str, type[Strategy]]:
    """Strategy classes that a module defines itself, by name."""
    return {
        name: value
        for name, value in namespace.items()
        if inspect.isclass(value) and issubclass(value, Strategy) and value.__module__ == module and value.forms()
    }
