"""Running a strategy: bar by bar, as arrays, in windows."""
