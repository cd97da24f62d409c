"""The pages of one chain: what each of them settles, what is still open, and answers that can't be right."""

from __future__ import annotations

from dataclasses import dataclass, replace

from barray.data_sources.fetching.plan import Chain
from barray.data_sources.fetching.vendor import Page, PageRequest, VendorFailed
from barray.market.bars import Bars

_MOST_EMPTY_PAGES = 3


@dataclass(frozen=True)
class Part:
    """All bars that `symbol` has in `[start_ns, end_ns)`."""

    symbol: str
    start_ns: int
    end_ns: int
    bars: Bars


class PageWalk:
    """Takes a chain's pages in order. A symbol is over when another's bars follow, or the last page has come.

    That a symbol has no bars at all is believed at the last page only: until then it may still come, if the vendor's
    order is not ours.
    """

    def __init__(self, chain: Chain, source: str) -> None:
        self.chain = chain
        self.token: str | None = None
        self._source = source
        self._place = {symbol: place for place, symbol in enumerate(chain.symbols)}
        self._from_ns = dict.fromkeys(chain.symbols, chain.start_ns)  # of those not over: from where on
        self.doubted: set[str] = set()  # bars came after what had been taken for their whole
        self._begun: str | None = None
        self._tokens: set[str] = set()
        self._empty_pages = 0

    @property
    def done(self) -> bool:
        """Whether every symbol is over."""
        return not self._from_ns

    def request(self) -> PageRequest:
        """The next page to ask for."""
        return replace(self.chain, token=self.token)

    def take(self, page: Page) -> list[Part]:
        """Take the next page; returns the parts that it settles.

        VendorFailed if it doesn't follow the others; then ask anew for `rest`.
        """
        names = [symbol for symbol, bars in page.bars.items() if len(bars)]
        self._check(page, names)
        parts = []
        if self._begun in self._from_ns and names and names[0] != self._begun:
            parts.append(self._part(self._begun, Bars.empty()))
        parts += [self._part(name, page.bars[name]) for name in names[:-1]]
        if names:
            bars = page.bars[names[-1]]
            stop_ns = self.chain.end_ns if page.next_token is None else int(bars.start_ns[-1]) + 1
            parts.append(self._part(names[-1], bars, stop_ns))
            self._begun = names[-1]
        if page.next_token is None:
            settled = {part.symbol for part in parts}
            parts += [self._part(symbol, Bars.empty()) for symbol in self._from_ns if symbol not in settled]
        for part in parts:
            if part.end_ns < self.chain.end_ns:
                self._from_ns[part.symbol] = part.end_ns
            else:
                del self._from_ns[part.symbol]
        self.token = page.next_token
        if self.token is not None:
            self._tokens.add(self.token)
        self._empty_pages = 0 if names else self._empty_pages + 1
        return parts

    def rest(self) -> list[Chain]:
        """Chains for all that is not settled; they need no token."""
        starts: dict[int, list[str]] = {}
        for symbol in self.chain.symbols:
            if symbol in self.doubted:
                starts.setdefault(self.chain.start_ns, []).append(symbol)
            elif symbol in self._from_ns:
                starts.setdefault(self._from_ns[symbol], []).append(symbol)
        return [replace(self.chain, symbols=tuple(symbols), start_ns=start) for start, symbols in starts.items()]

    def _part(self, symbol: str, bars: Bars, stop_ns: int | None = None) -> Part:
        return Part(symbol, self._from_ns[symbol], self.chain.end_ns if stop_ns is None else stop_ns, bars)

    def _check(self, page: Page, names: list[str]) -> None:
        if unasked := [name for name in names if name not in self._place]:
            raise self._failed("the page holds a symbol that was not asked for", unasked[0])
        if page.next_token is not None and page.next_token in self._tokens:
            raise self._failed("a page token came twice", None)
        if page.next_token is not None and not names and self._empty_pages >= _MOST_EMPTY_PAGES:
            raise self._failed("pages without bars go on and on", None)
        begun = -1 if self._begun is None else self._place[self._begun]
        for name in names:
            if self._place[name] < begun or name not in self._from_ns:
                self.doubted.add(name)
                raise self._failed("its bars come after those of a later symbol", name)
            if page.bars[name].start_ns[0] < self._from_ns[name]:
                raise self._failed("bars came a second time", name)
            if page.bars[name].start_ns[-1] >= self.chain.end_ns:
                raise self._failed("bars lie behind the range asked for", name)
            begun = self._place[name]

    def _failed(self, reason: str, symbol: str | None) -> VendorFailed:
        return VendorFailed(
            reason,
            symbol=symbol,
            interval=str(self.chain.interval),
            source=self._source,
            remedy="fetch again later; tell the vendor if it stays so",
            code="bad_page",
        )
