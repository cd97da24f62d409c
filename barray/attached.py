"""A running session, seen from any process: read it, change it, hold it, end it; but not drive it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from barray.coordinator import runtime
from barray.coordinator.messages import AddBar, AddIndicator, AddSymbol, RemoveSymbol
from barray.coordinator.remote import Remote, find_coordinator
from barray.coordinator.summary import AddResult, SessionSummary
from barray.local.sessions import find_session
from barray.market.bars import Bar
from barray.market.indicators import IndicatorSpec
from barray.market.interval import Interval
from barray.market.symbol_data import SymbolMetadata, SymbolSessionData

_SNAPSHOTS_AT_ONCE = 64


class AttachedSession:
    """A running session, seen from any process: read it and change it, not drive it."""

    def __init__(self, remote: Remote, name: str) -> None:
        self._remote = remote
        self.name = name

    def add_symbol(self, symbol: str, added_by: str = "strategy") -> bool:
        """Add a symbol with all the config requires, or upgrade an adhoc one. See AddSymbol."""
        return self.add_symbol_detailed(symbol, added_by).accepted

    def add_symbol_detailed(self, symbol: str, added_by: str = "strategy") -> AddResult:
        """`add_symbol`, saying why."""
        result: AddResult = self._call("change", AddSymbol(symbol, added_by))
        return result

    def add_adhoc_bar(
        self, symbol: str, interval: str | Interval, bar: Bar | Mapping[str, Any], source: str = "scanner"
    ) -> bool:
        """Add one closed bar; an unknown symbol is provisioned. See AddBar."""
        return self.add_adhoc_bar_detailed(symbol, interval, bar, source).accepted

    def add_adhoc_bar_detailed(
        self, symbol: str, interval: str | Interval, bar: Bar | Mapping[str, Any], source: str = "scanner"
    ) -> AddResult:
        """`add_adhoc_bar`, saying why."""
        result: AddResult = self._call("change", AddBar(symbol, interval, bar, source))
        return result

    def add_adhoc_indicator(
        self, symbol: str, indicator_config: str | Mapping[str, Any] | IndicatorSpec, source: str = "scanner"
    ) -> bool:
        """Add one indicator; an unknown symbol is provisioned. See AddIndicator."""
        return self.add_adhoc_indicator_detailed(symbol, indicator_config, source).accepted

    def add_adhoc_indicator_detailed(
        self, symbol: str, indicator_config: str | Mapping[str, Any] | IndicatorSpec, source: str = "scanner"
    ) -> AddResult:
        """`add_adhoc_indicator`, saying why."""
        result: AddResult = self._call("change", AddIndicator(symbol, indicator_config, source))
        return result

    def remove_symbol(self, symbol: str, by: str = "strategy") -> bool:
        """End one symbol; False if it isn't in the session."""
        result: AddResult = self._call("change", RemoveSymbol(symbol, by))
        return result.accepted

    def pause(self) -> int | None:
        """Hold the session where its window ends; returns when it stands, and where (UTC ns; None: no day has begun).

        Whoever drives it waits in `advance_to` as long. IllegalTransition where it was stopped, or is live.
        """
        at_ns: int | None = self._call("pause")
        return at_ns

    def step(self) -> int | None:
        """Let one window of a paused session pass; returns when it stands again, and where.

        IllegalTransition where it isn't paused, or what drives it lets no time pass just now.
        """
        at_ns: int | None = self._call("step")
        return at_ns

    def resume(self) -> None:
        """Let a paused session go on; IllegalTransition where it isn't paused."""
        self._call("resume")

    def stop(self, reason: str = "stopped from outside") -> None:
        """End the session where its window ends: what drives it finds no time left, and ends as after a close.

        `reason` stands in the events of its dump. No further date begins.
        """
        self._call("stop", reason)

    def symbols(self) -> list[str]:
        """Symbols in the session, sorted."""
        return list(self._call("symbols"))

    def snapshot(self, symbol: str) -> SymbolSessionData:
        """A symbol's state: everything that has closed by session time."""
        data: SymbolSessionData = self._call("snapshot", symbol)
        return data

    def snapshots_of(self, symbols: Sequence[str]) -> list[SymbolSessionData]:
        """These symbols' states, all at one session time; without those that are not in the session any more."""
        return list(self._call("snapshots", symbols, gone_ok=True))

    def get_symbol_metadata(self, symbol: str) -> SymbolMetadata | None:
        """How a symbol came into the session; None if it isn't in it."""
        metadata: SymbolMetadata | None = self._call("get_symbol_metadata", symbol)
        return metadata

    def snapshots(self) -> Iterator[SymbolSessionData]:
        """All symbols' states, sorted by symbol, fetched a few at a time.

        One whose process is found to be lost for good is left out, and dropped from the session.
        """
        return self._snapshots(gone_ok=True)

    def _snapshots(self, *, gone_ok: bool = False) -> Iterator[SymbolSessionData]:
        symbols = self.symbols()
        for start in range(0, len(symbols), _SNAPSHOTS_AT_ONCE):
            yield from self._call("snapshots", symbols[start : start + _SNAPSHOTS_AT_ONCE], gone_ok=gone_ok)

    def summary(self) -> SessionSummary:
        """Step 0, drops and events of the session so far."""
        summary: SessionSummary = self._call("summary")
        return summary

    def status(self) -> dict[str, Any]:
        """Phase, session time, symbols, in JSON types."""
        status: dict[str, Any] = self._call("status")
        return status

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._remote.call(method, *arguments, **options)


def attach(name: str | None = None, address: str = "auto") -> AttachedSession:
    """The running session of that name (default: the only one), from another process than the one that drives it.

    `address` is that of the Ray it runs on, `host:port`; `auto` finds sessions that this user drives on this machine.
    """
    if not runtime.is_connected():
        if address == "auto":
            session = find_session(name)
            name, address = session.name, session.address
        runtime.join_ray(address)
    found, remote = find_coordinator(name)
    return AttachedSession(remote, found)
