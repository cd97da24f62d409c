"""Errors of the system, as the command line tells them."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys

import pytest

from barray.cli.shortage import shortage


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), "/a/b: No space left on device; make room there"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file: No space left on device; make room there"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a"),
            "/a: Permission denied; give this user the right to it, or choose another place",
        ),
        (MemoryError(), "there is too little memory; end what else needs it"),
        (ValueError("no"), None),
        (ImportError("no module"), None),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"), None),
    ],
)
def test_what_is_short_is_said(error: BaseException, said: str | None) -> None:
    assert shortage(error) == said


def test_too_many_files_with_the_limit() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    said = f"this process has too many files open; raise ulimit -n, now {limit}"
    assert shortage(OSError(errno.EMFILE, "Too many open files")) == said


@pytest.mark.long
def test_a_command_that_cannot_even_be_loaded_says_why() -> None:
    bytes_ = 200_000_000
    done = subprocess.run(
        [sys.executable, "-m", "barray", "check", "no.yaml"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_)),
    )
    said = "error: there is too little memory, of which a process may map 0.2 GB here; raise ulimit -v, or end what"
    assert done.returncode == 2
    assert done.stderr.startswith(said)
