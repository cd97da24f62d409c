"""`barray demo`: a sample universe in which some symbols are broken, and a few sessions on it."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import typer

from barray.cli.backtest import print_backtest
from barray.cli.console import FAILED, note, session_progress, stdout, without_drop_warnings
from barray.cli.run import print_session, run_date
from barray.cli.scan import print_scan
from barray.coordinator.config.file import read_config
from barray.data_sources.atomic_file import made, writing
from barray.data_sources.object_store.publish import Place
from barray.dump.validate import validate_session_dump
from barray.market.errors import ConfigError
from barray.report.files import write_backtest
from barray.runs.backtest import backtested
from barray.runs.scan import scan
from barray.sample.listed import write_listed_universe
from barray.sample.universe import write_sample_data
from barray.session import Session

FIRST, LAST = date(2024, 7, 1), date(2024, 7, 3)
_HISTORY = date(2024, 6, 17)
_MARK = ".barray-demo"
_BROKEN = {"AMD": "truncated", "GME": "no_history", "IWM": "nan", "NFLX": "unsorted"}
_CONFIG = """\
# Three sessions, the last one a half day. Run it again: barray run {folder}/session.yaml
name: demo
session: {{calendar: XNYS, start: {first}, end: {last}}}
# AMD, IWM and NFLX have a damaged file on the last date, GME has no history, NOPE has no data at all
symbols: [AAPL, MSFT, NVDA, SPY, AMD, GME, IWM, NFLX, NOPE, "../../etc"]
intervals: [1m, 5m, 15m, 1h]
indicators: ["RSI(14)@5m", "EMA(20)@1m", "MACD@15m", SESSION_VWAP@1m]
history: {{trailing_days: 5}}
sources:
  - {{type: parquet, root: bars}}
schedule:  # what a scanner and a strategy would do; times are the exchange's
  - at: "10:00"
    add_bar: {{symbol: TSLA, interval: 1m, time: "09:59", open: 200, high: 201, low: 199, close: 200.5, volume: 900}}
  - {{at: "10:00", add_indicator: {{symbol: TSLA, indicator: "SMA(2)@1m"}}}}
  - {{at: "10:30", add_symbol: TSLA}}
  - {{at: "11:00", add_symbol: AMZN, by: scanner}}
  - {{at: "11:00", add_indicator: {{symbol: META, indicator: "RSI(14)@1m"}}}}
export: {{directory: sessions, formats: [json, csv, parquet]}}
"""
_STRATEGY = """\
from barray import Strategy, parameter


class Cross(Strategy):
    fast: int = parameter(10, low=2)
    slow: int = 30

    def indicators(self):
        return {"fast": f"SMA({self.fast})", "slow": f"SMA({self.slow})"}

    def on_bar(self, ctx):
        above = ctx.indicators["fast"][-1] > ctx.indicators["slow"][-1]
        if above and not ctx.position and not ctx.orders:
            ctx.buy(100, stop_loss=ctx.close[-1] * 0.99)
        elif not above and ctx.position:
            ctx.close_position()
"""
_BACKTEST = """\
# A strategy over the same sessions. Run it again: barray backtest {folder}/backtest.yaml
name: demo-backtest
session: {{start: {first}, end: {last}}}
symbols: [AAPL, MSFT, NVDA, SPY, TSLA, AMD, GME, NOPE]
sources: [{{root: bars}}]
strategy: {{path: strategy.py}}
costs: {{commission: {{per_share: 0.005}}, slippage: {{bps: 1}}}}
actors: {{symbols_per_actor: auto}}
report: {{directory: backtests}}
"""
_UNIVERSE = 300
_SCAN = """\
# Looks at some hundred symbols. Run it again: barray scan {folder}/scan.yaml
name: demo-scan
session: {{start: {last}}}
sources:
  - {{name: minutes, root: universe/minutes, layout: "{{date}}.parquet", interval: 1m}}
  - {{name: days, root: universe/days, layout: "{{month}}.parquet", interval: 1d}}
history: {{daily: days}}
listings: universe/listings.csv
scans:
  - name: gappers
    universe: listed
    daily: adv(20) > 1000000
    at: {{every: 5m, since: "09:35", until: "10:30"}}
    where: [gap > 0.01, relative_volume(1) > 1.2, "RSI(14)@5m > 40"]
    rank: relative_volume(1)
    keep: {{top: 8, leave_below: 12}}
report: {{directory: scans}}
"""


def run_demo(folder: Path, *, quiet: bool) -> None:
    """Write data and config below `folder`, run the sessions, validate their dumps, and say where everything is."""
    _prepare(folder)
    names = ["AAPL", "MSFT", "NVDA", "SPY", "TSLA", "AMZN", "META", *_BROKEN]
    written = write_sample_data(folder / "bars", symbols=names, start=_HISTORY, end=LAST, broken=_BROKEN)
    stdout.print(f"Sample universe: {len(names)} symbols, {written.bars:,} bars in {folder / 'bars'}", highlight=False)
    config = _written(folder / "session.yaml", _CONFIG.format(folder=folder, first=FIRST, last=LAST))
    dumps: list[str] = []
    note("Starting Ray on loopback …")
    with (
        without_drop_warnings(),
        session_progress(quiet=quiet) as progress,
        Session(config, progress=progress) as session,
    ):
        for day in session.dates:
            result = run_date(session, day, None)
            print_session(result)
            dumps += [path for path in result["files"] if path.endswith((".json", ".csv"))]
        report = _run_backtest(folder)
        _run_scan(folder)
    wrong = {path: found for path in dumps if (found := validate_session_dump(path))}
    for path, violations in wrong.items():
        stdout.print(f"{path}: {violations[0]}", markup=False)
    if wrong:
        raise typer.Exit(FAILED)
    stdout.print(f"{len(dumps)} dumps recomputed from their base bars: nothing is wrong.", highlight=False)
    stdout.print(f"Everything is in {folder}; look at {report}; next: barray run {config}", highlight=False)


def _run_backtest(folder: Path) -> Place:
    """A backtest on the same bars and the same Ray; its report."""
    _written(folder / "strategy.py", _STRATEGY)
    config = _written(folder / "backtest.yaml", _BACKTEST.format(folder=folder, first=FIRST, last=LAST))
    with backtested(read_config(config)) as (result, run):
        files = write_backtest(result, run)
    numbers = result.tables.numbers
    by_symbol = {symbol: figures.as_dict() for symbol, figures in numbers.symbols.items()}
    print_backtest(result, numbers.total.as_dict(), by_symbol)
    return files[0]


def _run_scan(folder: Path) -> None:
    """A scan of some hundred symbols, on the same Ray."""
    write_listed_universe(folder / "universe", symbols=_UNIVERSE, end=LAST, sessions=2, days=30)
    print_scan(scan(read_config(_written(folder / "scan.yaml", _SCAN.format(folder=folder, last=LAST)))))


def _prepare(folder: Path) -> None:
    """Make the folder empty, but only if it is a demo's."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise ConfigError(f"{folder} holds other things than a demo", remedy="choose another folder with --out")
    shutil.rmtree(folder, ignore_errors=True)
    _written(made(folder) / _MARK, "")


def _written(path: Path, text: str) -> Path:
    with writing(path):
        path.write_text(text, encoding="utf-8")
    return path
