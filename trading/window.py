"""What `on_window` is given: all symbols as of now."""

from __future__ import annotations


class WindowView:
    """All symbols as of a window's end."""
