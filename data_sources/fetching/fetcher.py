"""Fetches what a store lacks: bars of many symbols over a range, in as few requests as can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from threading import Condition

from barray.data_sources.fetching.chain_fetch import ChainFetch, FetchRun
from barray.data_sources.fetching.dataset_store import DatasetStore
from barray.data_sources.fetching.plan import IN_FLIGHT, Expected, FetchPlan, expected_bars, plan_fetch
from barray.data_sources.fetching.rate_limiter import RateLimiter, Sleep
from barray.data_sources.fetching.vendor import Vendor
from barray.market.clock import Clock, WallClock
from barray.market.errors import DataError
from barray.market.interval import Interval
from barray.market.symbols import symbol_problem
from barray.market.validation import Reason

_LOOKS = 16
"""Symbols at once of which is asked what is known."""


@dataclass(frozen=True)
class FetchResult:
    """What a fetch did. `failures`: why a symbol's range is not whole; what came of it before is kept.

    `capped_ns`: where the vendor ended the range as too recent for this account, if it did. `stopped`: why the vendor
    was asked no more, for any symbol, if that came to pass.
    """

    failures: Mapping[str, Reason]
    requests: int
    rows: int
    capped_ns: int | None = None
    stopped: Reason | None = None


@dataclass(frozen=True)
class FetchProgress:
    """How far a fetch is; `planned_requests` is an estimate."""

    requests: int
    planned_requests: int
    rows: int


class Fetcher:
    """Fetches one vendor's dataset, for all threads of a process; nobody else spends its rate limit.

    `deadline_s`: how long nothing but failures may come before the vendor counts as unreachable. `limiter`: where the
    credential, whose limit it is, serves other series too.
    """

    def __init__(
        self,
        vendor: Vendor,
        store: DatasetStore,
        *,
        clock: Clock | None = None,
        sleep: Sleep = time.sleep,
        deadline_s: float = 180.0,
        expected: Expected = expected_bars,
        seed: int | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self._vendor = vendor
        self._store = store
        self._clock = clock or WallClock()
        self._sleep = sleep
        self._deadline_s = deadline_s
        self._expected = expected
        self._seed = seed
        self._limiter = limiter or RateLimiter(vendor.limits.per_minute, clock=self._clock, sleep=sleep, seed=seed)
        self._busy: set[tuple[str, Interval]] = set()
        self._released = Condition()

    def plan(self, symbols: Iterable[str], interval: Interval, start_ns: int, end_ns: int) -> FetchPlan:
        """What `ensure` would do, as things stand."""
        good = [symbol for symbol in symbols if symbol_problem(symbol) is None]
        return self._plan(good, interval, start_ns, end_ns)[0]

    def _plan(
        self, symbols: Iterable[str], interval: Interval, start_ns: int, end_ns: int
    ) -> tuple[FetchPlan, dict[str, Reason]]:
        """The plan, and what is wrong with symbols' parts of the store."""
        missing: dict[str, list[tuple[int, int]]] = {}
        damaged: dict[str, Reason] = {}

        def look(symbol: str) -> list[tuple[int, int]] | DataError:
            try:
                return self._store.missing(symbol, interval, start_ns, end_ns)
            except DataError as error:
                return error

        wanted = sorted(set(symbols))
        with ThreadPoolExecutor(_LOOKS, thread_name_prefix="look") as pool:  # in a bucket each look is a round trip
            for symbol, found in zip(wanted, pool.map(look, wanted), strict=True):
                if isinstance(found, DataError):
                    damaged[symbol] = Reason.of(found, self._vendor.dataset.folder)
                else:
                    missing[symbol] = found
        return plan_fetch(missing, interval, self._vendor.limits, expected=self._expected), damaged

    def active_symbols(self) -> Sequence[str]:
        """All symbols that are traded at the vendor now, sorted. Raises as Vendor.fetch."""
        self._limiter.acquire()
        try:
            return self._vendor.active_symbols()
        finally:
            self._limiter.answered(None)

    def ensure(
        self,
        symbols: Iterable[str],
        interval: Interval,
        start_ns: int,
        end_ns: int,
        progress: Callable[[FetchProgress], None] | None = None,
    ) -> FetchResult:
        """Fetch what the store lacks of `[start_ns, end_ns)`. A symbol's trouble is in the result; the store's raises.

        Whoever wants a series that another thread is fetching waits for it. `progress` is called from several threads,
        one at a time.
        """
        source = self._vendor.dataset.folder
        wanted = sorted(set(symbols))
        bad = {symbol: problem for symbol in wanted if (problem := symbol_problem(symbol))}
        good = [symbol for symbol in wanted if symbol not in bad]
        failures = {
            symbol: Reason("bad_symbol", problem, "correct or remove it", source) for symbol, problem in bad.items()
        }
        with self._claim({(symbol, interval) for symbol in good}):
            plan, damaged = self._plan(good, interval, start_ns, end_ns)

            def report(run: FetchRun) -> None:
                if progress is not None:
                    progress(FetchProgress(run.requests, plan.requests, run.rows))

            run = FetchRun(
                self._vendor,
                self._store,
                self._limiter,
                self._clock,
                self._sleep,
                int(self._deadline_s * 1e9),
                report,
                Random(self._seed),
            )
            with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix=f"fetch-{source}") as pool:
                try:
                    for done in [pool.submit(ChainFetch(run, chain).run) for chain in plan.chains]:
                        done.result()
                except BaseException:
                    run.stop(Reason("interrupted", "the fetch was broken off", "fetch again", source))
                    raise
        return FetchResult({**failures, **damaged, **run.failures}, run.requests, run.rows, run.capped_ns, run.stopped)

    @contextmanager
    def _claim(self, keys: set[tuple[str, Interval]]) -> Iterator[None]:
        """Hold all of `keys`, taken at once, so that no two wait for each other."""
        with self._released:
            self._released.wait_for(lambda: self._busy.isdisjoint(keys))
            self._busy |= keys
        try:
            yield
        finally:
            with self._released:
                self._busy -= keys
                self._released.notify_all()
