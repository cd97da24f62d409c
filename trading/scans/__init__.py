"""Scans: what to look for among many symbols, when, and what becomes of those found. Pure."""
