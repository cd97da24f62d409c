"""Step 0 over many symbols on Parquet: `python -m bench.step0 --symbols 2000`. Five trailing days and the session."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from datetime import date
from pathlib import Path
from time import perf_counter

from barray.actors.transport import RayTransport
from barray.coordinator import runtime
from barray.coordinator.config.file import parse_config
from barray.coordinator.gateway_pool import GatewayPool
from barray.coordinator.step0 import validate_all
from barray.data_sources.failover import needs_of_session
from barray.market.requirements import calendar_for, session_context
from barray.sample.universe import sample_symbols, write_sample_data
from bench.common import machine_facts, print_json_line

DAY = date(2024, 7, 2)


def main() -> None:
    """Print one JSON line: `seconds` is from the call to the last result, Ray being up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=2000)
    symbols = sample_symbols(parser.parse_args().symbols)
    with tempfile.TemporaryDirectory() as folder:
        broken = {symbols[i]: "truncated" for i in range(0, len(symbols), 100)}
        write_sample_data(Path(folder), symbols=symbols, start=date(2024, 6, 25), end=DAY, broken=broken)
        config = parse_config(
            {
                "session": {"start": str(DAY)},
                "symbols": list(symbols),
                "intervals": ["1m", "5m"],
                "history": {"trailing_days": 5},
                "sources": [{"root": folder}],
            }
        )
        requirements = config.requirements
        context = session_context(requirements, calendar_for(requirements, "XNYS", DAY, DAY), DAY)
        runtime.start_ray(num_cpus=2)
        try:
            begun = perf_counter()
            manager = config.data_manager
            fetch = GatewayPool().fetch_for(requirements, needs_of_session(context))
            work = validate_all(symbols, manager, requirements, context, 30.0, transport=RayTransport(), fetch=fetch)
            results = asyncio.run(work)
            seconds = perf_counter() - begun
        finally:
            runtime.leave_ray()
    passed = sum(result.can_proceed for result in results.values())
    if passed != len(symbols) - len(broken):
        raise SystemExit(f"{passed} of {len(symbols)} passed, {len(broken)} are broken")
    print_json_line(
        "step0", {"symbols": len(symbols), "passed": passed, "seconds": round(seconds, 3), **machine_facts()}
    )


if __name__ == "__main__":
    main()
