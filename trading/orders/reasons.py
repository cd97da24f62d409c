"""Why orders end that are not filled in whole: codes for programs, sentences for people."""

from __future__ import annotations

from typing import Final, NamedTuple


class Why(NamedTuple):
    """A reason: its code, its sentence, and what an order is that ends by it (see Order.status)."""

    code: str
    text: str
    status: str = "cancelled"


NOT_SAID: Final = Why("", "")
BY_STRATEGY: Final = Why("by_strategy", "cancelled by the strategy")
NEW_TARGET: Final = Why("replaced", "replaced by a new target")
EXIT: Final = Why("replaced", "replaced by an exit")
STRATEGY_ERROR: Final = Why("strategy_error", "the strategy raised an error")
GUARD_REACHED: Final = Why("guard_reached", "its stop_loss or take_profit was reached")
COUNTERPART: Final = Why("counterpart", "its counterpart filled")
UNGUARDED: Final = Why("nothing_held", "there is no position left to protect")
LEFT: Final = Why("left", "the symbol left the session")
CLOSED: Final = Why("session_closed", "the session closed", "expired")
NO_PRICE: Final = Why("no_price", "there is no price yet to reserve money at", "rejected")

LIMITS: Final = "limits."
"""What codes of limits of exposure begin with; the limit's name follows, as it stands under account.limits."""

CODES: Final = {
    "by_strategy": "The strategy cancelled it.",
    "replaced": "The strategy ordered something else instead: a new target, or an exit of `signals`.",
    "strategy_error": "The strategy raised an error, or did not return.",
    "guard_reached": "What was left of an entry: its stop_loss or take_profit was reached.",
    "counterpart": "A guard, of whose position the other guard closed the rest.",
    "nothing_held": "A guard, whose position was closed otherwise.",
    "left": "Somebody else than the strategy took the symbol out of the session.",
    "session_closed": "A day order; any order with `flat_at_close`, or of a symbol that was added and leaves.",
    "less_than_a_lot": "The quantity is less than the smallest that is traded.",
    "no_short": "It would have sold short, which `account.short` forbids.",
    "beyond_guard": "It would have opened beyond its own stop_loss or take_profit.",
    "no_money": "Money did not suffice for all of it.",
    "no_volume": "The bars had too little volume for a lot; of refusals alone.",
    "no_price": "There was no bar yet to reserve money by.",
    "limits.gross": "A limit of exposure had no room for all of it; so `limits.net` and all others.",
}
"""The codes that orders carry, and what each means; besides, `limits.` and the name of each limit."""
