"""Alpaca's stream through its own client: bars as they come, what happens to the connection, and no secret shown."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest

from barray.data_sources.alpaca.stream import MOST_NAMED, AlpacaStream
from barray.data_sources.fetching.credentials import KeyPair
from barray.data_sources.fetching.stream import Heard
from barray.market.bars import Bar, Bars
from tests.market.builders import MINUTE_NS, flat
from tests.vendors.alpaca_server import KEYS, AlpacaServer
from tests.vendors.alpaca_stream import StreamServer
from tests.vendors.serving import serving

START = 1_719_840_600_000_000_000


@pytest.fixture
def server() -> Iterator[AlpacaServer]:
    with serving(AlpacaServer()) as running:
        yield running


@pytest.fixture
def stream(server: AlpacaServer) -> StreamServer:
    return server.stream


@pytest.fixture
def feed(server: AlpacaServer) -> Iterator[AlpacaStream]:
    made = AlpacaStream(KEYS, "iex", url=server.url.replace("http", "ws") + "/v2/iex")
    yield made
    made.close()


def until(ready: Callable[[], bool], seconds: float = 15.0) -> None:
    end_s = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def heard(feed: AlpacaStream, count: int) -> Heard:
    """All that came, once there are so many bars."""
    parts: list[Heard] = []

    def enough() -> bool:
        parts.append(feed.drain())
        return sum(len(bars) for part in parts for bars in part.bars.values()) >= count

    until(enough)
    symbols = sorted({symbol for part in parts for symbol in part.bars})
    joined = {s: Bars.concat([part.bars[s] for part in parts if s in part.bars]) for s in symbols}
    return Heard(joined, parts[-1].connected, parts[-1].connections, parts[-1].silent_s)


def minute(count: int, price: float = 10.0) -> Bar:
    return flat(START + count * MINUTE_NS, price)


def test_bars_come_in_the_order_they_were_sent_with_corrections(feed: AlpacaStream, stream: StreamServer) -> None:
    feed.subscribe(["AAPL", "MSFT"])
    until(lambda: stream.subscribed() == {"AAPL", "MSFT"})
    stream.publish("AAPL", minute(0))
    stream.publish("MSFT", minute(0, 20.0))
    stream.publish("AAPL", minute(1))
    stream.publish("AAPL", minute(0, 11.0), updated=True)
    stream.publish("NVDA", minute(0))
    found = heard(feed, 4)
    assert [found.bars["AAPL"][row] for row in range(3)] == [minute(0), minute(1), minute(0, 11.0)]
    assert len(found.bars["MSFT"]) == 1
    assert set(found.bars) == {"AAPL", "MSFT"}
    assert (found.connected, found.connections) == (True, 1)
    assert found.silent_s < 5
    assert not feed.drain().bars


def test_symbols_are_added_while_it_runs(feed: AlpacaStream, stream: StreamServer) -> None:
    feed.subscribe(["AAPL"])
    until(lambda: feed.drain().connected)
    feed.subscribe(["AAPL", "MSFT"])
    until(lambda: stream.subscribed() == {"AAPL", "MSFT"})
    stream.publish("MSFT", minute(0))
    assert len(heard(feed, 1).bars["MSFT"]) == 1


def test_thousands_are_asked_for_at_once_and_others_bars_left_out(feed: AlpacaStream, stream: StreamServer) -> None:
    stream.limit = MOST_NAMED
    feed.subscribe(["AAPL"])
    until(lambda: stream.subscribed() == {"AAPL"})
    feed.subscribe([f"S{i}" for i in range(MOST_NAMED)])
    until(lambda: "*" in stream.subscribed())
    feed.subscribe(["LATER"])
    for symbol in ("S7", "OTHER", "AAPL", "LATER"):
        stream.publish(symbol, minute(0))
    found = heard(feed, 3)
    assert set(found.bars) == {"AAPL", "S7", "LATER"}
    assert {len(bars) for bars in found.bars.values()} == {1}
    assert stream.subscribed() == {"AAPL", "*"}
    assert not feed.drain().problem


@pytest.mark.long
def test_a_cut_is_noticed_and_everything_subscribed_to_again(feed: AlpacaStream, stream: StreamServer) -> None:
    feed.subscribe(["AAPL", "MSFT"])
    until(lambda: stream.subscribed() == {"AAPL", "MSFT"})
    stream.cut()
    until(lambda: not feed.drain().connected)
    until(lambda: feed.drain().connections == 2 and stream.subscribed() == {"AAPL", "MSFT"})
    stream.publish("MSFT", minute(3))
    assert heard(feed, 1).connections == 2


@pytest.mark.long
def test_silence_is_told_in_seconds(feed: AlpacaStream, stream: StreamServer) -> None:
    feed.subscribe(["AAPL"])
    until(lambda: stream.subscribed() == {"AAPL"})
    stream.mute = True
    stream.publish("AAPL", minute(0))
    before = feed.drain().silent_s
    time.sleep(0.3)
    assert feed.drain().silent_s >= before + 0.3


def test_a_bar_that_cannot_be_is_refused_and_the_others_come(feed: AlpacaStream, stream: StreamServer) -> None:
    feed.subscribe(["AAPL"])
    until(lambda: stream.subscribed() == {"AAPL"})
    stream.publish("AAPL", Bar(START, 10, 9, 8, 10, 1))
    stream.send({"T": "b", "S": "AAPL", "o": None})
    stream.publish("AAPL", flat(2**63, 10.0))
    stream.publish("AAPL", minute(1))
    refused: list[str] = []
    count = 0

    def enough() -> bool:
        nonlocal count
        part = feed.drain()
        refused.extend(part.refused)
        count += sum(map(len, part.bars.values()))
        return count == 1

    until(enough)
    assert len(refused) == 3
    assert all(text.startswith("AAPL: ") for text in refused)


def test_a_refused_key_is_a_problem_told_once_and_not_tried_for_ever(
    server: AlpacaServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = KeyPair("canary-wrong-key", "canary-wrong-secret")
    feed = AlpacaStream(wrong, "iex", url=server.url.replace("http", "ws") + "/v2/iex")
    feed.subscribe(["AAPL"])
    until(lambda: bool(feed.drain().problem))
    until(lambda: feed._thread is not None and not feed._thread.is_alive())
    assert server.stream.connections == 1
    problem = feed.drain().problem
    assert problem == "auth failed ***"
    feed.close()
    shown = "".join(capfd.readouterr())
    assert "canary" not in caplog.text + shown + repr(feed.drain())


def test_too_many_symbols_are_a_problem(feed: AlpacaStream, stream: StreamServer) -> None:
    stream.limit = 2
    feed.subscribe(["A", "B", "C"])
    until(lambda: feed.drain().problem == "symbol limit exceeded (405)")


def test_closed_it_leaves_no_thread(feed: AlpacaStream, stream: StreamServer) -> None:
    feed.subscribe(["AAPL"])
    until(lambda: stream.subscribed() == {"AAPL"})
    feed.close()
    assert feed._thread is not None
    assert not feed._thread.is_alive()
    until(lambda: not stream.subscribed())


@pytest.mark.long
@pytest.mark.parametrize("wait_s", [0.0, 0.001, 0.01, 0.05])
def test_closed_while_it_begins_it_leaves_no_thread_and_no_connection(
    feed: AlpacaStream, stream: StreamServer, wait_s: float
) -> None:
    feed.subscribe(["AAPL"])
    time.sleep(wait_s)
    feed.close()
    assert feed._thread is not None
    assert not feed._thread.is_alive()
    time.sleep(0.1)
    assert not stream.subscribed()
