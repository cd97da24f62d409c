"""The pure domain: intervals, bars, calendars, indicators, and one symbol's session. No Ray, no I/O, no wall clock."""
