"""The configuration: what may stand in it, and reading it from YAML."""
