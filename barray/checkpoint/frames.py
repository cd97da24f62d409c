"""The journal's form: bytes in, records out. Pure.

A journal is written in segments, one by each process that had the run. A segment is a line that says what it is, then
frames: the record's length, a check of that, a digest of the record and of all before it, the record. A segment's first
record tells of the segment that it goes on after, and how far that counts: what its writer added later, or was killed
in the middle of, is part of no journal. Nothing is ever rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from zlib import crc32

import orjson

from barray.market.errors import DataError

MAGIC = b"barray checkpoint 1\n"
_LENGTH, _CHECK = Struct("<Q"), Struct("<I")
_DIGEST_BYTES = 16
_HEAD_BYTES = _LENGTH.size + _CHECK.size + _DIGEST_BYTES


@dataclass(frozen=True)
class End:
    """Up to where a segment counts: its number (0: there is none), its bytes till then (`size`), and a digest of all
    records so far.
    """

    segment: int = 0
    size: int = 0
    digest: bytes = bytes(_DIGEST_BYTES)

    def told(self, by: str) -> bytes:
        """As the first record of the segment in which its writer goes on from there."""
        return orjson.dumps({"segment": self.segment, "bytes": self.size, "digest": self.digest.hex(), "by": by})

    @classmethod
    def of(cls, told: bytes) -> End:
        """From `told`; ValueError, KeyError or TypeError where it is no such record."""
        values = orjson.loads(told)
        return cls(int(values["segment"]), int(values["bytes"]), bytes.fromhex(values["digest"]))


@dataclass(frozen=True)
class Read:
    """The records of a journal, oldest first, up to `end`. `last`: number of the last segment that was begun."""

    records: tuple[bytes, ...]
    end: End
    last: int


def opening(number: int, after: End, by: str) -> tuple[bytes, End]:
    """How a segment begins that goes on from there, and where it stands then. `by`: as no other writer is called."""
    content, end = framed([after.told(by)], _start(number))
    return MAGIC + content, end


def framed(records: Sequence[bytes], after: End) -> tuple[bytes, End]:
    """Records as they are written after what counts already, and where it ends then."""
    parts: list[bytes] = []
    digest = after.digest
    for record in records:
        length = _LENGTH.pack(len(record))
        check, digest = _check(length, digest), _digest(record, digest)
        parts += [length, check, digest, record]
    content = b"".join(parts)
    return content, End(after.segment, after.size + len(content), digest)


def read_journal(segments: Mapping[int, bytes], where: str) -> Read:
    """What segments hold, by number. The end of one may be cut off: its last record was being written, and is none.

    DataError (`checkpoint_damaged`), with segment and byte, where anything else is not as it was written.
    """
    last = max(segments, default=0)
    records: tuple[bytes, ...] = ()
    end = End()
    ends = {End(): 0}
    for number in range(1, last + 1):
        if number not in segments:
            raise _damaged(where, number, 0, "is missing")
        if not segments[number].startswith(MAGIC[: len(segments[number])]):
            raise _damaged(where, number, 0, "is none of a checkpoint")
        found = _frames(segments[number], _start(number), where)
        if not found:
            continue  # its writer died before it was begun
        before = _before(found[0][0])
        if before not in ends:
            raise _damaged(where, number, len(MAGIC), "does not go on where the one before it ends")
        records = records[: ends[before]] + tuple(record for record, _ in found[1:])
        ends = {at: ends[before] + number_in for number_in, (_, at) in enumerate(found)}
        end = found[-1][1]
    return Read(records, end, last)


def _before(record: bytes) -> End | None:
    try:
        return End.of(record)
    except (ValueError, KeyError, TypeError):
        return None


def _start(number: int) -> End:
    return End(number, len(MAGIC))


def _frames(content: bytes, at: End, where: str) -> list[tuple[bytes, End]]:
    """Records from a place on, each with where it ends; without the last, where that is cut off."""
    found: list[tuple[bytes, End]] = []
    view = memoryview(content)
    while len(view) - at.size >= _HEAD_BYTES:
        begin = at.size + _HEAD_BYTES
        length, check, digest = (
            bytes(part)
            for part in (
                view[at.size : at.size + _LENGTH.size],
                view[at.size + _LENGTH.size : begin - _DIGEST_BYTES],
                view[begin - _DIGEST_BYTES : begin],
            )
        )
        if check != _check(length, at.digest):
            if not any(view[at.size :]):
                break  # room that a file system had made, and nothing was written to
            raise _damaged(where, at.segment, at.size, "holds no record")
        end = begin + _LENGTH.unpack(length)[0]
        if end > len(view):
            break
        record = bytes(view[begin:end])
        if digest != _digest(record, at.digest):
            raise _damaged(where, at.segment, at.size, "holds a record that is not as it was written")
        at = End(at.segment, end, digest)
        found.append((record, at))
    return found


def _check(length: bytes, before: bytes) -> bytes:
    return _CHECK.pack(crc32(length + before))


def _digest(record: bytes, before: bytes) -> bytes:
    digest = blake2b(before, digest_size=_DIGEST_BYTES)
    digest.update(record)
    return digest.digest()


def _damaged(where: str, segment: int, byte: int, what: str) -> DataError:
    return DataError(
        f"{where}: segment {segment} {what}, at byte {byte}",
        remedy="put its files back as they were, or begin anew in another folder",
        code="checkpoint_damaged",
    )
