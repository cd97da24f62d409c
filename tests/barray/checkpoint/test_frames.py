"""A journal comes back as it was written, up to where its writer was killed, or is refused with the place."""

from __future__ import annotations

import random

import pytest

from barray.checkpoint.frames import End, Read, framed, opening, read_journal
from barray.market.errors import DataError

RECORDS = [bytes([number]) * (number * 37 % 200) for number in range(40)]


def written(number: int, after: End, records: list[bytes]) -> bytes:
    """A segment as its writer leaves it, a record at a time."""
    content, end = opening(number, after, "x")
    for record in records:
        more, end = framed([record], end)
        content += more
    return content


def journal(*parts: list[bytes], cut: int = 0) -> dict[int, bytes]:
    """Segments of owners one after another, each killed when so many bytes of a last record were written."""
    segments: dict[int, bytes] = {}
    for number, part in enumerate(parts, 1):
        after = read_journal(segments, "x").end
        segments[number] = written(number, after, part)
        lost, _ = framed([b"lost" * 9], read_journal(segments, "x").end)
        segments[number] += lost[:cut]
    return segments


def records(segments: dict[int, bytes]) -> list[bytes]:
    return list(read_journal(segments, "x").records)


def test_what_each_owner_wrote_comes_back_in_order() -> None:
    assert read_journal({}, "x") == Read((), End(), 0)
    assert records(journal(RECORDS)) == RECORDS
    assert records(journal(RECORDS[:7], [], RECORDS[7:9], RECORDS[9:])) == RECORDS
    content, end = opening(1, End(), "x")
    many, _ = framed(RECORDS, end)
    assert records({1: content + many}) == RECORDS


@pytest.mark.parametrize("cut", [1, 8, 27, 30])
def test_a_record_that_was_cut_off_is_none_also_after_others_went_on(cut: int) -> None:
    assert records(journal(RECORDS[:7], RECORDS[7:12], RECORDS[12:], cut=cut)) == RECORDS


@pytest.mark.long
def test_every_prefix_of_a_journal_is_a_journal_of_fewer_records() -> None:
    whole = journal(RECORDS[:20], RECORDS[20:])
    before = 0
    for size in range(len(whole[2]) + 1):
        found = records({1: whole[1], 2: whole[2][:size]})
        assert found == RECORDS[: len(found)]
        assert before <= len(found)
        before = len(found)
    assert before == len(RECORDS)
    for size in range(len(whole[1])):
        assert records({1: whole[1][:size]}) == RECORDS[: len(records({1: whole[1][:size]}))]


@pytest.mark.long
def test_a_journal_goes_on_after_any_prefix_of_it() -> None:
    whole = written(1, End(), RECORDS[:20])
    for size in range(0, len(whole) + 1, 7):
        segments = {1: whole[:size]}
        read = read_journal(segments, "x")
        segments[2] = written(2, read.end, RECORDS[20:])
        assert records(segments) == [*read.records, *RECORDS[20:]]


def test_what_an_owner_adds_after_another_went_on_counts_for_nothing() -> None:
    content, end = opening(1, End(), "x")
    first, end = framed(RECORDS[:5], end)
    segments = {1: content + first}
    segments[2] = written(2, read_journal(segments, "x").end, RECORDS[5:])
    late, _ = framed([b"late"], end)
    segments[1] += late + b"and half a recor"
    assert records(segments) == RECORDS


@pytest.mark.long
def test_a_bit_that_is_another_is_refused_with_its_place_or_cuts_the_end_off() -> None:
    chance = random.Random(15)
    whole = journal(RECORDS[:15], RECORDS[15:30], RECORDS[30:], cut=11)
    told: list[tuple[DataError, int]] = []
    for _ in range(1000):
        number = chance.randint(1, 3)
        damaged = bytearray(whole[number])
        place = chance.randrange(len(damaged))
        damaged[place] ^= 1 << chance.randrange(8)
        try:
            assert records({**whole, number: bytes(damaged)}) == RECORDS
        except DataError as error:
            told.append((error, place))
    assert len(told) > 950
    for error, place in told:
        assert error.code == "checkpoint_damaged"
        assert int(str(error).rpartition("at byte ")[2].partition(";")[0]) <= place


def test_a_missing_segment_is_refused() -> None:
    whole = journal(RECORDS[:7], RECORDS[7:9], RECORDS[9:])
    for number in (1, 2):
        with pytest.raises(DataError, match=f"segment {number} is missing"):
            records({other: content for other, content in whole.items() if other != number})
    with pytest.raises(DataError, match="segment 1 is none of a checkpoint, at byte 0"):
        records({1: b"something else"})


def test_room_that_nothing_was_written_to_is_no_record() -> None:
    whole = journal(RECORDS)
    assert records({1: whole[1] + bytes(4096)}) == RECORDS
