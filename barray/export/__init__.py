"""Files for whoever goes on elsewhere: a live day's recording, a backtest's tables."""
