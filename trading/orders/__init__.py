"""Orders and fills: the broker's rules, what fills cost, and whose money pays for them."""
