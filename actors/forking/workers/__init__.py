"""Ray's workers: `launcher` stands in for the interpreter that a raylet starts, `server` forks the worker."""
