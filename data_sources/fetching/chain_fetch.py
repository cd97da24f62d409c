"""Fetches chains into the store, page after page, through failures of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from threading import Lock

from barray.data_sources.fetching.dataset_store import DatasetStore
from barray.data_sources.fetching.page_walk import PageWalk, Part
from barray.data_sources.fetching.plan import Chain
from barray.data_sources.fetching.rate_limiter import RateLimiter, Sleep, backoff_s
from barray.data_sources.fetching.vendor import (
    AccessDenied,
    Page,
    PageRequest,
    RequestRefused,
    TooRecent,
    Vendor,
    VendorFailed,
    VendorThrottled,
)
from barray.market.clock import Clock
from barray.market.errors import BarrayError, DataError
from barray.market.validation import Reason

_TRIES_OF_TOKEN = 2  # then the token is suspect
_TRIES_OF_BATCH = 3  # then a symbol in it may be what the vendor fails at


@dataclass(eq=False)
class FetchRun:
    """What the chains of one fetch share: counts, failures, and whether to go on at all.

    `deadline_ns`: see Fetcher. `capped_ns`: the vendor serves nothing from there on. `served_ns`: when any chain was
    last served, by the fetcher's clock.
    """

    vendor: Vendor
    store: DatasetStore
    limiter: RateLimiter
    clock: Clock
    sleep: Sleep
    deadline_ns: int
    report: Callable[[FetchRun], None]
    random: Random
    requests: int = 0
    rows: int = 0
    failures: dict[str, Reason] = field(default_factory=dict)
    capped_ns: int | None = None
    stopped: Reason | None = None
    served_ns: int = -1
    _lock: Lock = field(default_factory=Lock, init=False)

    @property
    def source(self) -> str:
        """Name of the dataset, for reasons."""
        return self.vendor.dataset.folder

    def stop(self, reason: Reason) -> None:
        """End the whole fetch: no chain goes on, and what is open fails for this reason."""
        self.stopped = self.stopped or reason

    def fail(self, symbols: Iterable[str], reason: Reason) -> None:
        """Note why these symbols stay incomplete; the first reason counts."""
        with self._lock:
            for symbol in symbols:
                self.failures.setdefault(symbol, reason)

    def cap(self, end_ns: int) -> None:
        """Note that the vendor serves nothing from `end_ns` on."""
        with self._lock:
            self.capped_ns = end_ns if self.capped_ns is None else min(end_ns, self.capped_ns)

    def pause(self, failures: int, until_ns: int) -> None:
        """Wait after so many failures in a row, not past `until_ns`."""
        with self._lock:
            chance = self.random.random()
        self.sleep(max(0.0, min(backoff_s(failures, chance), (until_ns - self.clock.now_ns()) / 1e9)))

    def fetch(self, request: PageRequest) -> Page:
        """Fetch one page, once the rate limit lets it; raises as the vendor does."""
        with self._lock:
            self.requests += 1
        try:
            page = self.vendor.fetch(request)
        except VendorThrottled as error:
            self.limiter.throttled(error.retry_at_s)
            raise
        except BaseException:
            self.limiter.answered(None, served=False)
            raise
        self.limiter.answered(page.rate)
        self.served_ns = self.clock.now_ns()
        return page

    def write(self, chain: Chain, parts: Iterable[Part], asked_ns: int) -> None:
        """Write these parts into the store, covered as far as bars were settled when they were asked for."""
        settled_ns = asked_ns - int(self.vendor.limits.settled.total_seconds() * 1e9) - chain.interval.ns
        rows = 0
        for part in parts:
            end_ns = max(part.start_ns, min(part.end_ns, settled_ns))
            try:
                if end_ns > part.start_ns or len(part.bars):
                    self.store.write(part.symbol, chain.interval, part.start_ns, end_ns, part.bars, asked_ns)
            except DataError as error:  # what lies there already is damaged
                self.fail([part.symbol], Reason.of(error, self.source))
                continue
            rows += len(part.bars)
        with self._lock:
            self.rows += rows
            self.report(self)

    def forget(self, chain: Chain, symbols: Iterable[str]) -> None:
        """Mark what the chain has written of these symbols as not known: it may lack bars."""
        for symbol in symbols:
            self.store.forget(symbol, chain.interval, chain.start_ns, chain.end_ns)


class ChainFetch:
    """Fetches one chain, and the smaller ones it falls into."""

    def __init__(self, run: FetchRun, chain: Chain) -> None:
        self._run = run
        self._open = [chain]  # the next one last
        self._failing_since_ns: int | None = None
        self._failures = 0  # in a row, of the same symbols

    def run(self) -> None:
        """Fetch until everything is in the store or has failed."""
        run = self._run
        try:
            while self._open and run.stopped is None:
                self._walk(PageWalk(self._open.pop(), run.source))
        except BaseException as error:
            run.stop(Reason("interrupted", f"the fetch broke off: {type(error).__name__}", "fetch again", run.source))
            raise
        if run.stopped is not None:
            for chain in self._open:
                run.fail(chain.symbols, run.stopped)

    def _walk(self, walk: PageWalk) -> None:
        run = self._run
        while not walk.done:
            run.limiter.acquire()
            if run.stopped is not None:
                run.limiter.answered(None, served=False)
                self._open += walk.rest()
                return
            asked_ns = run.clock.now_ns()
            try:
                page = run.fetch(walk.request())
                parts = walk.take(page)
            except AccessDenied as error:
                run.stop(Reason.of(error, run.source))
                self._open += walk.rest()
                return
            except TooRecent as error:
                self._open += self._capped(walk, asked_ns, error)
                return
            except RequestRefused as error:
                if walk.token is None:
                    self._open += self._bisected(walk.chain, error)
                    return
                if not self._try_again(walk, error):
                    return
            except (VendorFailed, VendorThrottled) as error:
                run.forget(walk.chain, walk.doubted)
                if not self._try_again(walk, error):
                    return
            else:
                if parts:  # an empty page with a token is no progress yet
                    self._failures, self._failing_since_ns = 0, None
                run.write(walk.chain, parts, asked_ns)

    def _try_again(self, walk: PageWalk, error: BarrayError) -> bool:
        """Wait; True if the same page is to be asked for again, False if what is open has changed."""
        run, now_ns = self._run, self._run.clock.now_ns()
        if self._failing_since_ns is None:
            self._failing_since_ns = now_ns
        if now_ns - self._failing_since_ns >= run.deadline_ns:
            self._give_up(walk, error)
            return False
        if isinstance(error, VendorThrottled):
            return True  # the limiter waits
        self._failures += 1
        run.pause(self._failures, self._failing_since_ns + run.deadline_ns)
        if walk.token is None and len(walk.chain.symbols) > 1 and self._failures >= _TRIES_OF_BATCH:
            self._failures = 0
            self._open += _halves(walk.chain)
            return False
        suspect = error.code == "bad_page" or isinstance(error, RequestRefused)
        if suspect or (walk.token is not None and self._failures >= _TRIES_OF_TOKEN):
            self._open += walk.rest()
            return False
        return True

    def _give_up(self, walk: PageWalk, error: BarrayError) -> None:
        """Stop the fetch if nobody was served since this chain began to fail; else fail the chain's first part."""
        reason = Reason.of(error, self._run.source)
        self._open += walk.rest()
        if self._run.served_ns < (self._failing_since_ns or 0):
            message = f"has served nothing for {self._run.deadline_ns / 1e9:g} s: {error.reason}"
            remedy = error.remedy or "check the connection, and whether the vendor has trouble; then try again"
            self._run.stop(replace(reason, message=message, remedy=remedy))
            return
        failed = self._open.pop()
        self._run.fail(failed.symbols, reason)
        self._failing_since_ns = None

    def _bisected(self, chain: Chain, error: RequestRefused) -> list[Chain]:
        if len(chain.symbols) > 1:
            return _halves(chain)
        self._run.fail(chain.symbols, Reason.of(error, self._run.source))
        return []

    def _capped(self, walk: PageWalk, asked_ns: int, error: TooRecent) -> list[Chain]:
        end_ns = asked_ns - int(self._run.vendor.limits.settled.total_seconds() * 1e9)
        if walk.chain.end_ns <= end_ns:  # it said so of a range that is old enough
            return self._bisected(walk.chain, error)
        self._run.cap(end_ns)
        return [replace(chain, end_ns=end_ns) for chain in walk.rest() if chain.start_ns < end_ns]


def _halves(chain: Chain) -> list[Chain]:
    middle = len(chain.symbols) // 2
    return [replace(chain, symbols=chain.symbols[middle:]), replace(chain, symbols=chain.symbols[:middle])]
