"""A live session of half a minute: `make demo-live`.

Alpaca's protocol on loopback tells a half day whose time jumps from minute to minute. On the way a connection is cut,
and bars come late, twice, or wrong at first. Then the recorded day is run again, and the two dumps are compared.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from barray.market.clock import PracticeClock
from barray.sample.universe import write_sample_data
from tests.vendors.alpaca import bars_below
from tests.vendors.alpaca_day import MINUTE_NS, Day, playing
from tests.vendors.alpaca_server import KEYS, AlpacaServer
from tests.vendors.serving import serving

FOLDER = Path("demo-live-out")
DAY = date(2024, 7, 3)
OPEN_NS = 1_720_013_400_000_000_000  # 09:30 New York; it closes at 13:00
BARRAY = [sys.executable, "-m", "barray"]
CONFIG = """\
# {how}. barray run {folder}/{name}.yaml
name: {name}
session: {{{session}}}
symbols: [AAPL, MSFT, NVDA, NOPE]
intervals: [1m, 5m]
indicators: ["RSI(14)@5m", "EMA(20)@1m", SESSION_VWAP@1m]
sources:
  - {source}
schedule:
  - {{at: "11:00", add_symbol: SPY}}
export: {{directory: dumps}}
"""
LIVE = """\
live:
  grace_s: 0.3
  stale_s: 5
  close_s: 1
  record: recorded
  practice: {{start: "2024-07-03T13:29:00Z", origin: {origin}, jumps: {jumps}}}
"""


def mishap(symbol: str, start_ns: int) -> str | None:
    """What befalls a bar."""
    return {5: "late", 12: "twice", 20: "wrong"}.get((start_ns - OPEN_NS) // MINUTE_NS % 30)


def main() -> None:
    """Exit status 1 where the replay differs."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    symbols = ["AAPL", "MSFT", "NVDA", "SPY"]
    write_sample_data(FOLDER / "told", symbols=symbols, start=date(2024, 7, 1), end=DAY)
    bars = bars_below(FOLDER / "told")
    origin, jumps = time.time(), str(FOLDER.absolute() / "jumps")
    clock = PracticeClock(OPEN_NS - MINUTE_NS, int(origin * 1e6) * 1000, jumps=jumps)
    server = AlpacaServer(hides_future=True, clock=lambda: clock.now_ns() / 1e9)
    server.hold(bars)
    today = {symbol: series.take(series.start_ns >= OPEN_NS) for symbol, series in bars.items()}
    day = Day(server.stream, today, clock, mishap, frozenset({OPEN_NS + 75 * MINUTE_NS}))
    with serving(server), playing(day):
        stream = server.url.replace("http", "ws") + "/v2/iex"
        source = f"{{type: alpaca, store: bars, url: '{server.url}', stream_url: '{stream}', give_up_s: 5}}"
        live = write("live", "A live session", f"mode: live, start: {DAY}", source)
        with live.open("a") as file:
            file.write(LIVE.format(origin=origin, jumps=jumps))
        print(f"A live session of {DAY}, without the minutes' waiting:", flush=True)
        run(live)
    told = ", ".join(f"{count} {what}" for what, count in sorted(day.counts.items()))
    print(f"\nThe stream sent {server.stream.sent} bars; {told}; connections: {server.stream.connections}")
    print("\nThe recorded day, run again:", flush=True)
    run(write("again", "The recorded day", f"start: {DAY}", "{root: recorded}"))
    one, other = (json.loads((FOLDER / "dumps" / f"{name}-{DAY}.json").read_text()) for name in ("live", "again"))
    differing = [
        f"{symbol} {part}"
        for symbol, held in one["symbols"].items()
        for part in ("bars", "indicators", "quality")
        if held[part] != other["symbols"].get(symbol, {}).get(part)
    ]
    if differing:
        raise SystemExit(f"the replay differs: {', '.join(differing)}")
    print(f"\nBars, indicators and quality of {len(one['symbols'])} symbols are the same in both.")


def write(name: str, how: str, session: str, source: str) -> Path:
    """A config in the demo's folder."""
    path = FOLDER / f"{name}.yaml"
    path.write_text(CONFIG.format(how=how, folder=FOLDER, name=name, session=session, source=source))
    return path


def run(config: Path) -> None:
    """`barray run`, as anyone would."""
    keys = {"APCA_API_KEY_ID": KEYS.key, "APCA_API_SECRET_KEY": KEYS.secret}
    done = subprocess.run([*BARRAY, "run", str(config), "--quiet"], check=False, env={**os.environ, **keys})
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
