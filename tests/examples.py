"""How many examples a property is tried on."""

from hypothesis import settings


def at_most(count: int) -> int:
    """`count`, or fewer where the profile asks for fewer, as that of `make check` does (see conftest.py)."""
    return min(count, settings.default.max_examples)
