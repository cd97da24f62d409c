"""A sweep that is stopped says how far it got; one that ends says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from barray.sweep_journal import telling_how_far


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_how_far_it_got_and_where_that_is_kept(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    rows = list(range(128))
    with pytest.raises(error), telling_how_far(rows, 500, Path("reports/x.sweep.jsonl")):
        raise error
    assert caplog.messages == [
        "stopped after 128 of 500 sets, which are kept in reports/x.sweep.jsonl; the same sweep goes on from there"
    ]


def test_an_end_is_no_stop(caplog: pytest.LogCaptureFixture) -> None:
    with telling_how_far([1], 1, Path("x")):
        pass
    assert caplog.messages == []
