"""Scans of a session in this process: what a fleet of processes would find, without any."""

from __future__ import annotations

from barray.coordinator.scan_fleet import PreparedScan, met
from barray.market.errors import BarrayError
from barray.trading.scans.commands import NotRead, SessionParts
from barray.trading.scans.past import NotReadable
from barray.trading.scans.result import LookedAt
from barray.trading.scans.shard import ScanShard


def scan_here(prepared: PreparedScan, row: int) -> LookedAt | BarrayError:
    """What the scans find in a session (its row), or why nothing can be told of it.

    NoDataError where there is no symbol to look at; ConfigError, SourceUnavailable, DataError as the sources have it.
    """
    shard = ScanShard(prepared.job(*prepared.found()))
    found: SessionParts | NotRead
    try:
        found = shard.session(row, {})
    except NotReadable as failed:
        found = NotRead(failed.error)
    return met(prepared.plans(), prepared.session_range.timezone, [found])
