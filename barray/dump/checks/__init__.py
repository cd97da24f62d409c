"""Is a dump true? Checks of every part of it."""
