"""Layout of what a strategy did, under `trading` in the header of a dump; a part of `barray.dump.schema`.

`decisions` are what went in, each with the call that it was made in; all that comes of them and of the bars is computed
again by `barray.dump.checks.trading`.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from barray.trading.engine.notes import Action, Call

_closed = with_config(ConfigDict(extra="forbid", strict=True))


@_closed
class CommissionJson(TypedDict):
    """`Commission`."""

    per_share: float
    per_trade: float
    bps: float
    minimum: float


@_closed
class SlippageJson(TypedDict):
    """`Slippage`."""

    per_share: float
    bps: float
    impact: float


@_closed
class MarketJson(TypedDict):
    """`Market`."""

    commission: CommissionJson
    slippage: SlippageJson
    lot_size: float
    tick_size: float
    volume_share: float | None


@_closed
class GroupJson(TypedDict):
    """`Group`."""

    symbols: list[str]
    most: float


@_closed
class LimitsJson(TypedDict):
    """`Limits`."""

    gross: float | None
    net: float | None
    symbol: float | None
    groups: dict[str, GroupJson]


@_closed
class AccountJson(TypedDict):
    """`Account`, and how it is shared."""

    capital: float
    margin: float
    short: bool
    flat_at_close: bool
    carry: bool
    shared: bool
    reserve: float
    limits: NotRequired[LimitsJson]


@_closed
class HoldingJson(TypedDict):
    """`Holding`."""

    position: float
    cash: float
    booked: list[float]
    placed: int
    orders: list[dict[str, Any]]
    failed: bool


@_closed
class OpeningJson(TypedDict):
    """`Opening`."""

    cash: float | None
    may_owe: float | None
    closes: dict[str, float]
    holdings: dict[str, HoldingJson]
    purchases: dict[str, float]


@_closed
class MembershipJson(TypedDict):
    """`Membership`."""

    at: str
    joined: list[str]
    left: list[str]


@_closed
class DecisionJson(TypedDict):
    """`Decision`."""

    at: str
    own: str
    call: Call
    nth: int
    action: Action
    symbol: str
    detail: dict[str, Any]


@_closed
class OrderJson(TypedDict):
    """An order that ended in the session or still works; see Orders. `kind`: of KINDS, `status`: of STATUSES. `placed`,
    `ended`: stamps, null while it works. `guards`: number of the order whose position it guards, 0 for none.
    """

    symbol: str
    number: int
    kind: str
    placed: str
    ended: str | None
    quantity: float
    filled: float
    limit: float | None
    stop: float | None
    trail: float | None
    day: bool
    guards: int
    status: str
    tag: str
    code: str
    reason: str


@_closed
class FillJson(TypedDict):
    """`Filled`: `at` the window's end that it was booked at, `bar` the start of the bar that it was in."""

    at: str
    symbol: str
    order: int
    bar: str
    quantity: float
    price: float
    commission: float
    slippage: float
    at_close: bool


@_closed
class RefusalJson(TypedDict):
    """`Refused`."""

    at: str
    symbol: str
    bar: str
    quantity: float
    reason: str


@_closed
class RevisedJson(TypedDict):
    """`Revised`: `bar` is its start; values in the order open, high, low, close, volume."""

    at: str
    symbol: str
    bar: str
    before: list[float] | None
    after: list[float]


@_closed
class StoodJson(TypedDict):
    """`Stood`, as columns of one length: where the account stood at the open and at every window's end."""

    at: list[str]
    cash: list[float]
    equity: list[float]


@_closed
class GoneJson(TypedDict):
    """Base bars of a symbol that was traded and is no longer in the session, as given; stamps and columns."""

    interval: str
    timestamp: list[str]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


@_closed
class LogJson(TypedDict):
    """`LogLine`."""

    at: str | None
    symbol: str
    text: str


@_closed
class TradingJson(TypedDict):
    """What a strategy did in a session, and what came of it. `code`: digest of its code. `began`, `until`: from where
    on, and how far. `orders`: there once the session has ended. `positions`: shares held at last. `revised`: there
    where bars came as the session went on: those that came late or were corrected. `errors`: what was raised, by
    symbol.
    """

    strategy: str
    code: str
    form: Literal["on_bar", "signals", "on_window"]
    parameters: dict[str, bool | int | float | str]
    intervals: list[str]
    window: str
    base: str
    account: AccountJson
    market: MarketJson
    began: str
    until: str
    opening: OpeningJson
    members: list[str]
    changes: list[MembershipJson]
    decisions: list[DecisionJson]
    orders: NotRequired[list[OrderJson]]
    fills: list[FillJson]
    refusals: list[RefusalJson]
    stood: StoodJson
    positions: dict[str, float]
    revised: NotRequired[list[RevisedJson]]
    gone: dict[str, GoneJson]
    errors: dict[str, str]
    error: str | None
    logs: list[LogJson]
    logs_left_out: int
