"""Finds what opens above its last close on more volume than usual, and still rises."""

from barray.scans import Scan, adv, close, col, every, full, gap, listed, relative_volume, top


class Gappers(Scan):
    """`least`: how far above the last close it opens, 0.02 for 2 %; `busy`: how many times the usual volume."""

    least: float = 0.02
    busy: float = 1.5

    universe = listed()
    daily = (adv(20) > 1e6) & (close(1) > 5)
    at = every("5m", since="09:35", until="11:00")
    rank = relative_volume(1)
    keep = top(20).leave_below(30)
    promote = full(5, evict="rank")
    carry = ("RSI(14)@5m",)

    def where(self):
        """What passes, of all that `daily` let through."""
        return (gap() > self.least) & (relative_volume(1) > self.busy) & (col("RSI(14)@5m") > 40)
