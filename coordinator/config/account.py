"""The section of a configuration that says whose money there is, how much, and how far it may go."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from barray.coordinator.config.fields import Section, SymbolField
from barray.trading.orders.broker import Account
from barray.trading.orders.limits import Group, Limits


class GroupSection(Section):
    """Symbols whose positions may together be `most` of the equity, without their signs."""

    symbols: tuple[SymbolField, ...] = Field(min_length=1)
    most: float = Field(gt=0, allow_inf_nan=False)


class LimitsSection(Section):
    """How far positions may go, as shares of the account's equity; see barray.trading.orders.limits.

    `gross`: all of them without their signs. `net`: long less short, either way. `symbol`: each symbol's. `groups`: by
    names of your own.
    """

    gross: float | None = Field(None, gt=0, allow_inf_nan=False)
    net: float | None = Field(None, gt=0, allow_inf_nan=False)
    symbol: float | None = Field(None, gt=0, allow_inf_nan=False)
    groups: dict[str, GroupSection] = Field(default_factory=dict)

    @property
    def limits(self) -> Limits:
        """As the account wants it."""
        groups = {name: Group(frozenset(group.symbols), group.most) for name, group in self.groups.items()}
        return Limits(self.gross, self.net, self.symbol, groups)

    def unknown(self, symbols: Sequence[str]) -> tuple[str, str] | None:
        """The first group and symbol in it that is none of `symbols`."""
        named = ((name, symbol) for name, group in self.groups.items() for symbol in group.symbols)
        return next((one for one in named if one[1] not in symbols), None)


class AccountSection(Section):
    """Money. `capital` is each symbol's own, or everybody's where `shared`; see barray.trading.orders.broker.Account.

    `carry`: the account lives across sessions; without it every session starts with the capital and ends flat.
    `reserve`: share of its price that a shared account sets aside beyond it for every order; see
    barray.trading.orders.accounts. `limits`: of what a shared account may hold.
    """

    capital: float = Field(100_000.0, gt=0, allow_inf_nan=False)
    shared: bool = False
    margin: float = Field(1.0, gt=0, le=1)
    short: bool = True
    flat_at_close: bool = False
    carry: bool = True
    reserve: float = Field(0.02, ge=0, le=1)
    limits: LimitsSection | None = None

    @model_validator(mode="after")
    def _limited(self) -> AccountSection:
        if self.limits is not None and not self.shared:
            raise ValueError("limits are of a shared account: set shared: true, or leave limits out")
        return self

    @property
    def account(self) -> Account:
        """As the broker wants it."""
        return Account(self.capital, self.margin, self.short, self.flat_at_close or not self.carry, self.carry)
