"""What a backtest gives back: trades, equity, figures."""
