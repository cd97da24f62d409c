"""Schwab's price history."""
