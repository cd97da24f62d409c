"""The same work in other tools, each in an environment of its own. Nothing here imports barray."""
