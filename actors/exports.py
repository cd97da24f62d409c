"""What Ray does beside exporting a class or function to the processes that are to have it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any


@cache
def export_unread() -> None:
    """Have Ray not disassemble what is ours before it exports it, only to warn of what is exported again and again: a
    coordinator's 60 functions take 14 ms, in which nothing else of a run goes on.
    """
    from ray._private.function_manager import FunctionActorManager

    manager: Any = FunctionActorManager
    read: Callable[[Any, Any], bytes] = manager.compute_collision_identifier

    def told_apart(self: Any, exported: Any) -> bytes:
        module = getattr(exported, "__module__", "")
        if not module.startswith("barray."):
            return read(self, exported)
        return sha256(f"{module}:{exported.__qualname__}".encode()).digest()

    manager.compute_collision_identifier = told_apart
