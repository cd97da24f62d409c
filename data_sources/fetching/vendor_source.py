"""A vendor's bars as a source: read from the store that its gateway fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from barray.data_sources.fetching.months import midnight_ns
from barray.data_sources.fetching.store import BarStore
from barray.data_sources.fetching.vendor import VendorAccount
from barray.data_sources.object_store.store import is_object_uri
from barray.market.bars import Bars, IntArray
from barray.market.calendar import Sessions
from barray.market.clock import PracticeClock
from barray.market.interval import DAY, NS_PER_DAY, NS_PER_SECOND, Interval
from barray.market.requirements import SymbolRequirements
from barray.market.validation import Coverage, Reason


@dataclass(frozen=True)
class Wanted:
    """What of a vendor's bars a run needs: those of `interval` that start in `[start_ns, end_ns)`, UTC nanoseconds."""

    interval: Interval
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class VendorSource:
    """See DataSource. It holds no secret and asks nobody: what the store lacks, a gateway must have fetched before.

    `root`: the store, a folder that every node sees or `s3://bucket/path`. `now_ns`: when the source was opened; a
    vendor's intervals reach back from there. `give_up_s`: how long nothing but failures may come before it is
    unreachable. `clock`: what tells which bars are settled, where it isn't the real one. `only`: take none but this
    interval.
    """

    name: str
    account: VendorAccount
    root: str
    now_ns: int
    give_up_s: float = 60.0
    clock: PracticeClock | None = None
    only: Interval | None = None

    @property
    def dataset(self) -> str:
        """Vendor, feed and adjustment, as lineage names them: `alpaca-iex-raw`."""
        return self.account.dataset.folder

    @property
    def store(self) -> BarStore:
        """Where its bars are kept."""
        return BarStore(self.root, self.account.dataset)

    @property
    def copied(self) -> bool:
        """Whether the node that reads a symbol keeps copies of its files."""
        return is_object_uri(self.root)

    def native(self, since_ns: int) -> tuple[Interval, ...]:
        """The intervals that the vendor serves back to `since_ns`, finest first."""
        age = timedelta(seconds=(self.now_ns - since_ns) // NS_PER_SECOND)
        native = self.account.native.items()
        reach = {interval: back for interval, back in native if interval.unit != "w" and self.only in (None, interval)}
        return tuple(sorted(interval for interval, back in reach.items() if back is None or age <= back))

    def wanted(
        self, requirements: SymbolRequirements, sessions: Sessions, until_ns: int, since_ns: int | None = None
    ) -> Wanted | Reason:
        """What to fetch so that these sessions, and those up to `until_ns`, can be served; or why they cannot.

        `since_ns`: how far back there have to be bars of one interval; by default, as far as these sessions.
        """
        first_ns = int(sessions.open_ns[0])
        native = self.native(first_ns if since_ns is None else since_ns)
        base = requirements.base_of(native)
        if base is None:
            needed = ", ".join(map(str, requirements.all_intervals))
            served = ", ".join(map(str, native)) or "nothing"
            since = sessions.dates[0].item()
            message = f"serves {served} from {since} on, which {needed} cannot be built from"
            return Reason("interval_unavailable", message, "ask for coarser bars or later sessions", self.name)
        if not base.is_intraday:
            first_ns -= NS_PER_DAY  # such a bar is stamped with a midnight
        return Wanted(base, first_ns, max(until_ns, int(sessions.close_ns[-1])))

    def wanted_days(self, sessions: Sessions) -> Wanted | Reason:
        """What to fetch so that these sessions have daily bars; or why they cannot."""
        return replace(self, only=DAY).wanted(SymbolRequirements((DAY,)), sessions, 0)

    def has_symbols(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, bool]:
        """See DataSource."""
        native = self.native(int(sessions.open_ns[0]))
        return {symbol: any(self.store.holds(symbol, interval) for interval in native) for symbol in symbols}

    def available_intervals(self, symbols: Sequence[str], sessions: Sessions) -> dict[str, tuple[Interval, ...]]:
        """See DataSource."""
        return dict.fromkeys(symbols, self.native(int(sessions.open_ns[0])))

    def historical_coverage(
        self, symbols: Sequence[str], interval: Interval, sessions: Sessions
    ) -> dict[str, Coverage]:
        """See DataSource. Judged by the bars themselves, of these days alone."""
        days = [stamp.item() for stamp in sessions.dates]
        return {symbol: self._coverage(symbol, interval, days) for symbol in symbols}

    def session_problems(
        self, symbols: Sequence[str], interval: Interval, session: Sessions
    ) -> Mapping[str, Reason | None]:
        """See DataSource. Judged by the bars themselves."""
        day: date = session.dates[0].item()
        reason = Reason("no_session_data", f"has no {interval} bars for {day}", "choose another date", self.name)
        found = self.historical_coverage(symbols, interval, session)
        return {symbol: reason if coverage.missing else None for symbol, coverage in found.items()}

    def read_bars(self, symbol: str, interval: Interval, sessions: Sessions) -> Bars:
        """See DataSource."""
        return self.store.tree(self.name).read_bars(symbol, interval, sessions)  # a new one: files may be new

    def _coverage(self, symbol: str, interval: Interval, days: Sequence[date]) -> Coverage:
        if not days:
            return Coverage(None, None)
        starts = np.array([midnight_ns(day) for day in days], np.int64)
        ends = np.array([midnight_ns(day + timedelta(days=1)) for day in days], np.int64)
        stamps: IntArray = self.store.read(symbol, interval, int(starts[0]), int(ends[-1])).start_ns
        held = np.searchsorted(stamps, ends) > np.searchsorted(stamps, starts)
        present = [day for day, is_held in zip(days, held.tolist(), strict=True) if is_held]
        missing = tuple(day for day, is_held in zip(days, held.tolist(), strict=True) if not is_held)
        return Coverage(present[0], present[-1], missing) if present else Coverage(None, None, missing)
