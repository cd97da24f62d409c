"""What a forking server takes from a client: everything whole, nothing else, and not for ever."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barray.actors.forking import handshake
from barray.actors.forking import request as request_module
from barray.actors.forking.request import Request, decode, receive

without_nul = st.binary(max_size=30).filter(lambda value: 0 not in value)


@given(env=st.dictionaries(without_nul, without_nul, max_size=5), argv=st.lists(without_nul, min_size=1))
def test_a_request_keeps_every_byte(env: dict[bytes, bytes], argv: list[bytes]) -> None:
    words = [os.fsdecode(word) for word in argv]
    body = handshake.encode_request(words, env, 0o27, 0, 1000, [2], '{"a": 1}')
    request = decode(body[4:], [5, 6, 7, 8])
    assert int.from_bytes(body[:4], "big") == len(body) - 4
    assert request == Request(words, env, 0o27, 0, 1000, [2], {"a": 1}, [5, 6, 7, 8])


GOOD: dict[str, Any] = {"argv": ["x"], "environment": {}, "umask": 0, "group": 0, "oom_score_adj": 0, "blocked": []}
GOOD |= {"more": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 1000,
        *(
            json.dumps({**GOOD, **change}).encode()
            for change in (
                {"argv": []},
                {"argv": [1]},
                {"argv": ["a\0b"]},
                {"argv": ["€"]},
                {"environment": []},
                {"environment": {"a": None}},
                {"group": "0"},
                {"group": True},
                {"blocked": None},
                {"umask": None},
            )
        ),
    ],
)
def test_a_malformed_request_is_refused(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        decode(body, [1, 2, 3, 4])


def test_a_request_without_its_four_descriptors_is_refused() -> None:
    with pytest.raises(ValueError, match="malformed"):
        decode(json.dumps(GOOD).encode(), [5, 6, 7])


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("data", [b"\0\0\0", b"\0\0\0\x09{", b"\xff\xff\xff\xff{}", b"\0\0\0\x02[]"])
def test_a_hostile_request_is_dropped_and_its_descriptors_are_closed(data: bytes) -> None:
    before = open_descriptors()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(theirs, [data], [0, 1, 2, 0, 1, 2])
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ValueError, match=r"."):
            receive(ours)
    assert open_descriptors() == before


def test_a_silent_client_does_not_hold_up_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "REQUEST_TIMEOUT_S", 0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        receive(ours)


TRICKLE = """
import os, socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
try:
    connection.sendall((1 << 20).to_bytes(4, "big"))
    while True:
        connection.sendall(b" ")
        os.read(0, 1)
except OSError:
    pass
"""


@pytest.mark.long
def test_a_client_that_trickles_is_cut_off_though_it_is_never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a process of its own, which is told to send another byte whenever one has been read."""
    monkeypatch.setattr(request_module, "REQUEST_TIMEOUT_S", 0.3)
    ours, theirs = socket.socketpair()

    class Prompting(socket.socket):
        def recvmsg(self, *arguments: int) -> Any:
            received = super().recvmsg(*arguments)
            assert trickling.stdin
            trickling.stdin.write(b"x")
            trickling.stdin.flush()
            return received

    command = [sys.executable, "-c", TRICKLE, str(theirs.fileno())]
    trickling = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()])
    theirs.close()
    with Prompting(fileno=ours.detach()) as connection, pytest.raises((ValueError, TimeoutError)):
        receive(connection)
    trickling.communicate()


def test_what_is_asked_is_what_is_received_with_descriptors_of_the_same_files() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(handshake.DECLINED + b"because")
        answer = handshake.ask(theirs, handshake.describe_us(["a", "b"], 0, "[1]"))
        request = receive(ours)
    assert answer == (handshake.DECLINED, "because", None)
    assert (request.argv, request.more, request.group) == (["a", "b"], [1], 0)
    assert request.environment == dict(os.environb)
    files = [os.fstat(descriptor) for descriptor in request.descriptors]
    assert [file.st_ino for file in files[:3]] == [os.fstat(descriptor).st_ino for descriptor in (0, 1, 2)]
    assert files[3].st_ino == os.stat(".").st_ino
    for descriptor in request.descriptors:
        os.close(descriptor)


def test_an_answer_is_heard_though_the_server_has_closed_by_then() -> None:
    class Hasty(socket.socket):
        """The server reads, answers and closes before `sendmsg` returns."""

        def sendmsg(self, *arguments: Any) -> int:
            sent = super().sendmsg(*arguments)
            request = receive(ours)
            ours.sendall(handshake.DECLINED + b"no")
            ours.close()
            request_module.close_all(request.descriptors)
            return sent

    ours, theirs = socket.socketpair()
    with Hasty(fileno=theirs.detach()) as client:
        assert handshake.ask(client, handshake.describe_us(["a"], 0)) == (handshake.DECLINED, "no", None)
