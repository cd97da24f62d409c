"""Strategies, orders and fills, accounts: pure, no Ray and no I/O."""
