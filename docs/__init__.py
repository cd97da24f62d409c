"""The documentation site: its settings, and what writes the reference from the code."""
