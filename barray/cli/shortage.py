"""What the system had too little of, where one of its errors comes through to the user. Imports next to nothing."""

from __future__ import annotations

import errno
import resource

_FILES = {errno.EMFILE: "this process has", errno.ENFILE: "the machine has"}
_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def shortage(error: BaseException) -> str | None:
    """What is short, and what to raise or to free; None where the error says nothing of the kind."""
    number = error.errno if isinstance(error, OSError) else None
    unloaded = isinstance(error, ImportError) or (isinstance(error, OSError) and "failed to map" in str(error))
    if isinstance(error, MemoryError) or number == errno.ENOMEM or (unloaded and _bound()):
        bound = _bound()
        may = f", of which a process may map {bound / 1e9:.1f} GB here; raise ulimit -v, or" if bound else ";"
        return f"there is too little memory{may} end what else needs it"
    if number in _FILES:
        return f"{_FILES[number]} too many files open; raise ulimit -n, now {_limit(resource.RLIMIT_NOFILE)}"
    if number in _ROOM | _CLOSED:
        assert isinstance(error, OSError)
        remedy = "make room there" if number in _ROOM else "give this user the right to it, or choose another place"
        return f"{error.filename or 'a file'}: {error.strerror}; {remedy}"
    return None


def _bound() -> int | None:
    """Bytes of memory that a process may map, if there is a bound."""
    return _limit(resource.RLIMIT_AS)


def _limit(kind: int) -> int | None:
    limit = resource.getrlimit(kind)[0]
    return None if limit == resource.RLIM_INFINITY else limit
