"""Many parameter sets: which, what came of them, which to choose."""
