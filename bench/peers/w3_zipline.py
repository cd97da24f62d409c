"""W3 in zipline: `handle_data` every minute. `--ingest` writes the bars into a bundle below ZIPLINE_ROOT first."""

from __future__ import annotations

from bench.peers import work

CLOCK = work.Clock()

import sys  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from typing import Any  # noqa: E402

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from zipline import run_algorithm  # noqa: E402
from zipline.api import order, set_commission, set_slippage, symbol  # noqa: E402
from zipline.data.bundles import ingest, register  # noqa: E402
from zipline.finance import commission, slippage  # noqa: E402
from zipline.utils.calendar_utils import get_calendar  # noqa: E402

from bench.peers import w3  # noqa: E402

INGESTS = "--ingest" in sys.argv
sys.argv = [argument for argument in sys.argv if argument != "--ingest"]
COLUMNS = ("open", "high", "low", "close", "volume")


class AtTheOpen(slippage.SlippageModel):  # type: ignore[misc]
    """Fills all of an order at its bar's open, where zipline's own models know closes alone."""

    def process_order(self, data: Any, order: Any) -> tuple[float, int]:
        """Price and shares."""
        return data.current(order.asset, "open"), order.open_amount


def write_bundle(options: Any, first: pd.Timestamp, last: pd.Timestamp) -> None:
    """Have zipline ingest the bars, which it wants stamped with their ends."""

    def minutes() -> Iterator[tuple[int, pd.DataFrame]]:
        for number, columns in enumerate(work.read(options.root, options.symbols).values()):
            ends = pd.DatetimeIndex((columns["start_ns"] + 60 * 10**9).view("M8[ns]"))
            yield number, pd.DataFrame({name: columns[name] for name in COLUMNS}, index=ends)

    def days() -> Iterator[tuple[int, pd.DataFrame]]:
        how = dict(zip(COLUMNS, ("first", "max", "min", "last", "sum"), strict=True))
        for number, frame in minutes():
            yield number, frame.resample("D").agg(how).dropna()

    def write(*writers: Any) -> None:
        _, assets, minute_bars, daily_bars, adjustments, *_ = writers
        listed = {"symbol": options.symbols, "start_date": first, "end_date": last, "exchange": "XNYS"}
        exchanges = pd.DataFrame([["XNYS", "XNYS", "US"]], columns=["exchange", "canonical_name", "country_code"])
        ends = {"auto_close_date": last + pd.Timedelta(days=365)}
        assets.write(equities=pd.DataFrame({**listed, **ends}), exchanges=exchanges)
        minute_bars.write(minutes())
        daily_bars.write(days())
        adjustments.write()

    _register(write, first, last)
    ingest("w3", show_progress=False)


def _register(write: Any, first: pd.Timestamp, last: pd.Timestamp) -> None:
    register("w3", write, calendar_name="XNYS", start_session=first, end_session=last, minutes_per_day=w3.MINUTES)


def main() -> None:
    """Do the work and print it; or only write the bundle."""
    options = work.asked()
    CLOCK.mark("import_s")
    names = sorted(path.stem for path in (options.root / options.symbols[0] / "1m").iterdir())
    first, last = pd.Timestamp(names[0]), pd.Timestamp(names[-1])
    if INGESTS:
        write_bundle(options, first, last)
        return
    _register(lambda *_: None, first, last)

    def initialize(context: Any) -> None:
        set_slippage(AtTheOpen())
        set_commission(commission.NoCommission())
        context.assets, context.bar = [symbol(name) for name in options.symbols], -1

    def handle_data(context: Any, data: Any) -> None:
        context.bar += 1
        if not w3.decides(context.bar):
            return
        past = data.history(context.assets, "close", w3.LOOKBACK + 1, "1m").to_numpy()
        held = np.array([context.portfolio.positions[asset].amount for asset in context.assets], np.float64)
        missing = w3.targets(past[0], past[-1], context.portfolio.portfolio_value) - held
        for column in np.flatnonzero(missing).tolist():
            order(context.assets[column], int(missing[column]))

    calendar = get_calendar("XNYS")
    found = run_algorithm(
        start=first,
        end=last,
        initialize=initialize,
        handle_data=handle_data,
        capital_base=w3.CASH,
        data_frequency="minute",
        bundle="w3",
        trading_calendar=calendar,
        default_extension=False,
        benchmark_returns=pd.Series(0.0, index=calendar.sessions_in_range(first, last)),
    )
    CLOCK.mark("engine_s")
    bars = len(options.symbols) * len(names) * w3.MINUTES
    fills = sum(len(session) for session in found.transactions)
    w3.report(CLOCK, bars, fills, float(found.portfolio_value.iloc[-1]))


if __name__ == "__main__":
    main()
