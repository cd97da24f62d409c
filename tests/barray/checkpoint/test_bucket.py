"""A checkpoint in an object store, on a real S3 server that fails as such servers do."""

from __future__ import annotations

from pathlib import Path

import pytest

from barray.checkpoint import bucket
from barray.checkpoint.checkpoint import Checkpoint, stored
from barray.market.errors import ConfigError, DataError
from tests.barray.checkpoint.test_checkpoint import DAYS, run
from tests.vendors.s3_server import BUCKET, Fault, S3Server

pytest.importorskip("obstore")
pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(bucket, "_LEASE_S", 0.6)
    monkeypatch.setattr(bucket, "_RENEWED_S", 0.2)


def abandoned(place: str) -> Checkpoint:
    """One whose process is dead, but for what it wrote."""
    kept = Checkpoint(place, run())
    assert isinstance(kept._shelf, bucket.Bucket)
    kept._shelf._released.set()
    return kept


def test_what_was_done_is_there_for_the_next_after_the_lease_of_the_dead(s3: S3Server) -> None:
    place = s3.uri("kept")
    for number, day in enumerate(DAYS):
        kept = abandoned(place)
        assert len(kept.done) == number
        kept.add_with_state(day, b"state %d" % number)
    with Checkpoint(place, run()) as last:
        assert last.state(last.done[-1].state) == b"state 4"
    assert [one.what for one in stored(place).done] == DAYS
    assert len([key for key in s3.listed() if "state-" in key]) == 2
    assert not any(key.endswith("lock") for key in s3.listed()), "the last was closed"


def test_of_two_at_once_one_is_told_of_the_other(s3: S3Server) -> None:
    place = s3.uri("kept")
    with Checkpoint(place, run()) as kept:
        with pytest.raises(ConfigError, match="goes on with this run") as error:
            Checkpoint(place, run())
        assert error.value.code == "checkpoint_held"
        kept.add(DAYS[:1])
    assert list(stored(place).done) == DAYS[:1]


def test_one_who_was_taken_for_dead_is_told_and_of_two_that_begin_at_once_one_does(s3: S3Server) -> None:
    place = s3.uri("kept")
    slow = abandoned(place)
    slow.add(DAYS[:1])
    with Checkpoint(place, run()) as quick:
        with pytest.raises(ConfigError, match="goes on with this run"):
            slow.add(DAYS[1:2])
        quick.add(DAYS[1:2])
    other = bucket.Bucket(place)
    with pytest.raises(ConfigError, match="goes on with this run"):
        other.begin(2, b"somebody else's")
    assert list(stored(place).done) == DAYS[:2]


@pytest.mark.parametrize("kind", ["slow_down", "unavailable", "refuse"])
def test_a_store_that_fails_for_a_while_is_written_all_the_same(s3: S3Server, kind: str) -> None:
    s3.faults[:] = [Fault(kind, method="PUT|POST|GET|HEAD", times=3)]
    with Checkpoint(s3.uri("kept"), run()) as kept:
        s3.faults[:] = [Fault(kind, method="PUT|POST|GET|HEAD", times=3)]
        kept.add(DAYS)
    assert list(stored(s3.uri("kept")).done) == DAYS


def test_a_store_that_fails_for_good_ends_the_run_and_what_is_missing_is_refused(s3: S3Server) -> None:
    place = s3.uri("kept")
    with Checkpoint(f"{place}&give_up_s=0.3", run()) as kept:
        kept.add(DAYS[:1])
        kept.add(DAYS[1:2])
        s3.faults[:] = [Fault("unavailable", method="PUT|POST", path="journal")]
        with pytest.raises(ConfigError, match=rf"cannot write s3://{BUCKET}/kept/journal"):
            kept.add(DAYS[2:3])
        s3.faults.clear()
    assert list(stored(place).done) == DAYS[:2]
    s3.direct("DELETE", f"/{BUCKET}/kept/journal/00000001/00000001")
    with pytest.raises(DataError, match=r"segment 1 .*, at byte "):
        stored(place)
