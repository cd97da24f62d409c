"""Bars of many symbols in one stack: laid, derived and computed at once, each symbol's as it would be alone."""
