"""Where bars come from: one protocol, its sources, and the manager that asks them in order."""
