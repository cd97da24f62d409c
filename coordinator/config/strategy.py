"""The sections of a configuration that say what is traded by, at what costs, and with which parameters it is tried."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from barray.coordinator.config.fields import IntervalField, Section
from barray.trading.orders.costs import Commission, Market, Slippage


class StrategySection(Section):
    """The strategy of sessions, backtests and sweeps: a file (`path`) or an installed module, and which class of it, if
    it has several. Neither where a program gives the strategy itself.

    `form`: `signals` or `on_bar` where it has both. `window`: how often `on_window` is called, and a shared account's
    orders meet; default: after every base bar.
    """

    path: str | None = None
    module: str | None = None
    name: str | None = Field(None, alias="class")
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    form: Literal["on_bar", "signals", "on_window"] | None = None
    window: IntervalField | None = None

    @model_validator(mode="after")
    def _one_place(self) -> StrategySection:
        if self.path is not None and self.module is not None:
            raise ValueError("give either path (a Python file) or module")
        return self


class CommissionSection(Section):
    """See barray.trading.orders.costs.Commission."""

    per_share: float = Field(0.0, ge=0)
    per_trade: float = Field(0.0, ge=0)
    bps: float = Field(0.0, ge=0)
    minimum: float = Field(0.0, ge=0)


class SlippageSection(Section):
    """See barray.trading.orders.costs.Slippage."""

    per_share: float = Field(0.0, ge=0)
    bps: float = Field(0.0, ge=0)
    impact: float = Field(0.0, ge=0)


class CostsSection(Section):
    """What trading costs and how orders are rounded and limited; see barray.trading.orders.costs.Market."""

    commission: CommissionSection = CommissionSection()
    slippage: SlippageSection = SlippageSection()
    lot_size: float = Field(1.0, ge=0)
    tick_size: float = Field(0.0, ge=0)
    volume_share: float | None = Field(None, gt=0, le=1)

    @property
    def market(self) -> Market:
        """As the broker wants it."""
        commission = Commission(**self.commission.model_dump())
        slippage = Slippage(**self.slippage.model_dump())
        return Market(commission, slippage, self.lot_size, self.tick_size, self.volume_share)


class WalkForwardSection(Section):
    """Choose on `in_sample` sessions, then trade the next `out_of_sample` with what was chosen, and so on."""

    in_sample: int = Field(ge=1)
    out_of_sample: int = Field(ge=1)
    anchored: bool = False


class SweepSection(Section):
    """Parameter sets to try: lists of values or `{low, high, step}` by parameter. `where` leaves out sets, such as
    `fast < slow`. `sets`: how many `random` or `optuna` try. `metric`: what makes one set better than another.
    """

    parameters: dict[str, Any] = Field(min_length=1)
    method: Literal["grid", "random", "optuna"] = "grid"
    sets: int = Field(100, ge=1, le=1_000_000)
    seed: int = 0
    where: str | None = None
    metric: Literal["pnl", "sharpe", "sortino", "profit_factor", "expectancy", "close_calmar"] = "sharpe"
    walk_forward: WalkForwardSection | None = None
