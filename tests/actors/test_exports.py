"""What Ray is told of our classes when it exports them."""

from __future__ import annotations

import dis
from typing import Any

import pytest

from barray.actors.backtest_actor import BacktestActor
from barray.actors.exports import export_unread
from barray.actors.portfolio_actor import PortfolioActor


def test_ours_are_told_apart_without_being_read_and_others_are_read_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private.function_manager import FunctionActorManager

    manager: Any = FunctionActorManager(None)
    read: list[object] = []
    seen = dis.dis
    monkeypatch.setattr(dis, "dis", lambda code, **how: [read.append(code), seen(code, **how)])
    export_unread()
    ours = {manager.compute_collision_identifier(kind) for kind in (BacktestActor, PortfolioActor)}
    assert len(ours) == 2
    assert read == []

    class Other:
        def work(self) -> int:
            return 1

    one = manager.compute_collision_identifier(Other)
    Other.work = lambda self: 2  # type: ignore[method-assign]
    assert manager.compute_collision_identifier(Other) != one
    assert Other in read
