"""What a strategy is, and what it is given to look at."""
