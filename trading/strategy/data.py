"""One symbol's bars and indicators for a whole range of sessions, as a strategy sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from barray.market.bars import FloatArray, IntArray
from barray.market.calendar import Sessions
from barray.market.errors import ConfigError
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.known_table import SymbolTables, Values, table_of
from barray.market.series import IntervalBars
from barray.trading.strategy.computed import Computed
from barray.trading.strategy.needs import Needs
from barray.trading.strategy.range_bars import DailyPast, RangeBars


@dataclass(frozen=True, eq=False)
class SymbolData:
    """All bars of a range of sessions and of their history; `signals` gets them whole, `on_bar` as far as now.

    `base`: bars of the finest interval, on which orders fill. `bars`: those of the strategy's main interval (float64
    (n,) each: `open`, `high`, … below are its columns). `series`: the bars of every interval loaded. `indicators`: by
    the strategy's names, float64, aligned with the bars of their own interval; further outputs of one are named
    `macd.macdsignal`.
    `sessions`: the sessions that `base.session` and `bars.session` count in. `traded`: rows of `sessions` in which the
    strategy trades, ascending; bars before and between them are history only. `past`: daily bars of sessions before
    those with base bars, where a source gave any. `tables`: what the config's tables say of the symbol. `open_ended`:
    bars of the last session traded may still come, so that none is known to be its last before it has closed.
    """

    symbol: str
    base: IntervalBars
    interval: Interval
    series: Mapping[Interval, IntervalBars]
    indicators: Mapping[str, FloatArray]
    specs: Mapping[str, IndicatorSpec]
    sessions: Sessions
    traded: IntArray
    past: DailyPast | None = None
    tables: SymbolTables = field(default_factory=dict)
    open_ended: bool = False

    @property
    def bars(self) -> IntervalBars:
        """Bars of the main interval."""
        return self.series[self.interval]

    @property
    def open(self) -> FloatArray:
        """Opens of the main interval, float64 (n,)."""
        return self.bars.bars.open

    @property
    def high(self) -> FloatArray:
        """Highs."""
        return self.bars.bars.high

    @property
    def low(self) -> FloatArray:
        """Lows."""
        return self.bars.bars.low

    @property
    def close(self) -> FloatArray:
        """Closes."""
        return self.bars.bars.close

    @property
    def volume(self) -> FloatArray:
        """Volumes."""
        return self.bars.bars.volume

    @cached_property
    def session(self) -> NDArray[np.int32]:
        """Which session each bar of the main interval closes in: int32 (n,), positions in `sessions`."""
        if self.interval.unit != "w":
            return self.bars.session
        return np.searchsorted(self.sessions.close_ns, self.bars.end_ns).astype(np.int32)

    @cached_property
    def minute(self) -> IntArray:
        """Whole minutes from the session's open to each main bar's *end*, when it may be acted on: int64 (n,)."""
        minutes: IntArray = (self.bars.end_ns - self.sessions.open_ns[self.session]) // 60_000_000_000
        return minutes

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Whether each main bar closes in a session that is traded, bool (n,)."""
        traded = np.zeros(len(self.sessions), np.bool_)
        traded[self.traded] = True
        return traded[self.session]

    @cached_property
    def decision_row(self) -> IntArray:
        """Row of the last base bar that has closed when each main bar closes, int64 (n,); orders fill from the next."""
        if self.base.interval == self.interval:
            return np.arange(len(self.base))
        return np.searchsorted(self.base.end_ns, self.bars.end_ns, side="right") - 1

    def visible(self, interval: Interval | str) -> IntArray:
        """How many bars of `interval` (`"15m"` means the same) have closed when each main bar closes, int64 (n,).

        ConfigError where it is not loaded.
        """
        wanted = Interval.parse(interval) if isinstance(interval, str) else interval
        if wanted not in self.series:
            raise ConfigError(
                f"bars of {wanted} are not loaded; there are {', '.join(map(str, sorted(self.series)))}",
                symbol=self.symbol,
                remedy=f'name it in the strategy: intervals = ("{wanted}",)',
            )
        return np.searchsorted(self.series[wanted].end_ns, self.bars.end_ns, side="right")

    def table(self, name: str, column: str) -> Values:
        """What a table of the config says when each main bar closes, of its newest row that is known by then: float64
        (n,), NaN where nothing is, or texts, object (n,), None there. ConfigError where there is no such table or
        column.
        """
        return table_of(self.tables, name).at(column, self.bars.end_ns)

    def without_bars(self, symbol: str) -> SymbolData:
        """The same of a symbol that has no bars at all."""
        nothing = slice(0, 0)
        series = {interval: one.take(nothing) for interval, one in self.series.items()}
        base, values = series[self.base.interval], {name: one[nothing] for name, one in self.indicators.items()}
        return replace(self, symbol=symbol, base=base, series=series, indicators=values, traded=self.traded[nothing])

    def seen_with(self, needs: Needs, names: Mapping[str, str] | None = None) -> SymbolData:
        """What a strategy with these needs sees of data laid out for many, whose indicators are named by their keys.
        `names`: see `laid_names`, where that is known.

        KeyError where it lacks any of these.
        """
        names = laid_names(self.specs, needs) if names is None else names
        wanted = {self.base.interval, *needs.intervals, *(spec.interval for spec in needs.indicators.values())}
        return replace(
            self,
            interval=needs.interval,
            series={interval: series for interval, series in self.series.items() if interval in wanted},
            indicators={own: self.indicators[name] for own, name in names.items()},
            specs={own: self.specs[name] for own, name in names.items()},
        )

    def base_rows(self, session: int) -> tuple[int, int]:
        """First row and end of a session's base bars."""
        return _span(self.base.session, session)

    def main_rows(self, session: int) -> tuple[int, int]:
        """First row and end of the main bars that close in a session."""
        return _span(self.session, session)


def prepare(
    symbol: str,
    base: IntervalBars,
    needs: Needs,
    sessions: Sessions,
    traded: IntArray,
    history: Mapping[int, int],
    computed: Computed | None = None,
    past: DailyPast | None = None,
) -> SymbolData:
    """Derive and compute all that a strategy needs.

    `base` was laid on `sessions`. `history`: for each traded session the row of the first one loaded before it. Every
    session's indicators are those of that session run alone, over its own history: where a value depends on where its
    bars begin (RSI, EMA …) it is computed session by session. So results do not depend on where a range begins.
    `computed`: what was made for the same bars and sessions before, to use and to add to. `past`: daily bars of
    sessions before those with base bars. ConfigError, naming the symbol, where an own indicator fails.
    """
    made_of = RangeBars(base, sessions, history, past)
    first = int(traded[0]) if len(traded) else len(sessions)
    computed = computed or Computed()
    series = {base.interval: base}
    for interval in {*needs.intervals, *(spec.interval for spec in needs.indicators.values())}:
        if interval not in series:
            make = partial(made_of.series, interval, min(first, len(sessions) - 1))
            series[interval] = computed.series(interval, make)
    indicators: dict[str, FloatArray] = {}
    specs: dict[str, IndicatorSpec] = {}
    for name, spec in needs.indicators.items():
        try:
            columns = computed.values(spec, partial(made_of.values, spec, series[spec.interval], traded))
        except ConfigError as error:
            error.symbol, error.interval = symbol, str(spec.interval)
            raise
        for number, (output, values) in enumerate(columns.items()):
            if number == 0:
                indicators[name], specs[name] = values, spec
            if len(columns) > 1:
                indicators[f"{name}.{output}"], specs[f"{name}.{output}"] = values, spec
    return SymbolData(symbol, base, needs.interval, series, indicators, specs, sessions, traded, past)


def laid_names(specs: Mapping[str, IndicatorSpec], needs: Needs) -> dict[str, str]:
    """By a strategy's own names of indicators, and of their further outputs, what data laid out for many has them as.

    `specs`: those of the data, by name. KeyError where it lacks any of the strategy's.
    """
    laid: dict[IndicatorSpec, list[str]] = {}
    for name, spec in specs.items():
        laid.setdefault(spec, []).append(name)
    return {own + name.removeprefix(spec.key): name for own, spec in needs.indicators.items() for name in laid[spec]}


def _span(sessions: NDArray[np.int32], session: int) -> tuple[int, int]:
    bounds = np.array((session, session + 1), np.int32)  # of the column's own type, or it would be copied
    first, stop = sessions.searchsorted(bounds).tolist()
    return first, stop
