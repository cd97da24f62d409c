"""Runs over ranges of sessions, from Python: backtests, sweeps, scans."""
