"""`python -m tests.fuzz --cases 2000`: run seeded cases and count, by kind, how they ended; 1 if one did wrongly."""

from __future__ import annotations

import argparse
import json
import resource
import signal
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import NoReturn

from tests.fuzz.cases import Fuzzer

LIMIT_S = 120
"""What a case may take before it counts as one that hangs; they take milliseconds."""
LIMIT_BYTES = 6 * 2**30
"""Of addresses, which are more than memory: what asks for more is a MemoryError, and wrong."""


def main() -> int:
    """Run them; one JSON line of counts, and the traceback of every case that ended as none may."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    signal.signal(signal.SIGALRM, _hangs)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        for number in range(options.cases):
            signal.alarm(LIMIT_S)
            try:
                counts[": ".join(fuzzer.run(number, options.seed))] += 1
            except Exception as error:
                counts[f"wrong: {type(error).__name__}"] += 1
                print(f"case {number} of seed {options.seed}", "".join(traceback.format_exception(error)), sep="\n")
            finally:
                signal.alarm(0)
    print(json.dumps({"cases": options.cases, "seed": options.seed, **dict(sorted(counts.items()))}))
    return int(any(name.startswith("wrong") for name in counts))


def _hangs(*_: object) -> NoReturn:
    raise TimeoutError(f"a case took more than {LIMIT_S} s")


if __name__ == "__main__":
    raise SystemExit(main())
