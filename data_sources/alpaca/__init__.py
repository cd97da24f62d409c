"""Alpaca's bars, historical and live."""
