"""Walk-forward: sessions to choose parameters on, and the ones right after to try them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from barray.market.errors import ConfigError


@dataclass(frozen=True)
class Window:
    """Session dates, ascending: parameters are chosen on `in_sample` and then run on `out_of_sample`."""

    in_sample: tuple[date, ...]
    out_of_sample: tuple[date, ...]


def walk_forward(
    dates: Sequence[date], in_sample: int, out_of_sample: int, *, anchored: bool = False, purge: int = 0
) -> list[Window]:
    """Windows over session dates, ascending, whose out-of-sample parts follow one another without gap or overlap.

    Each has `in_sample` sessions, then `purge` that are left out (so that positions and indicators of the one part
    don't reach into the other), then `out_of_sample`; the last one what is left, at least one session. The in-sample
    part rolls, or with `anchored` begins at the first date and grows. ConfigError where there are too few sessions.
    """
    for name, value, least in (("in_sample", in_sample, 1), ("out_of_sample", out_of_sample, 1), ("purge", purge, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} is {value!r}", remedy=f"give a number of sessions, at least {least}")
    if any(after <= before for before, after in pairwise(dates)):
        raise ConfigError("the session dates do not ascend", remedy="give each session once, oldest first")
    needed = in_sample + purge + out_of_sample
    if len(dates) < needed:
        raise ConfigError(
            f"walk-forward needs {needed} sessions ({in_sample} in sample, {purge} left out, {out_of_sample} out of"
            f" sample), and there are {len(dates)}",
            remedy="widen the range of dates, or ask for shorter windows",
        )
    windows = []
    for first in range(in_sample + purge, len(dates), out_of_sample):
        end = first - purge
        begin = 0 if anchored else end - in_sample
        windows.append(Window(tuple(dates[begin:end]), tuple(dates[first : first + out_of_sample])))
    return windows
