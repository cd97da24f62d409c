"""A real S3 server on loopback (moto's), behind a proxy that can fail as object stores and networks do."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

BUCKET = "market"
KEY, SECRET = "canary-key-id", "canary-secret-key"
_SIGNED = f"AWS4-HMAC-SHA256 Credential={KEY}/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
_OF_CONNECTION = {"connection", "content-length", "expect", "transfer-encoding"}
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_UNAVAILABLE = b"<?xml version='1.0'?><Error><Code>ServiceUnavailable</Code><Message>down</Message></Error>"
_DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass(frozen=True)
class Asked:
    """A request as it came: method, path with query, and how many bytes of body were sent back."""

    method: str
    path: str
    sent: int


@dataclass
class Fault:
    """What is done to the next `times` requests that `method` and `path` (patterns) fit.

    `kind`: slow_down, unavailable, denied, moved, refuse (the connection ends without an answer), stall (`seconds`
    before it), cut (half a body), hide (keys that fit `path` are left out of listings).
    """

    kind: str
    method: str = "GET|HEAD"
    path: str = ".*"
    times: int = 10**9
    seconds: float = 0.0

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and bool(re.fullmatch(self.method, method) and re.search(self.path, path))


@dataclass
class S3Server:
    """`port`: where clients ask. `faults` may be changed at any time; `asked` is what has come so far."""

    port: int
    behind: int
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def uri(self, path: str, bucket: str = BUCKET) -> str:
        """`s3://` with all that leads here."""
        return f"s3://{bucket}/{path}?region=us-east-1&endpoint_override={self.endpoint}"

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that reads here."""
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, counted."""
        for fault in self.faults:
            if fault.kind != "hide" and fault.fits(method, path):
                fault.times -= 1
                return fault
        return None

    def reads(self, pattern: str) -> list[Asked]:
        """Objects that were read."""
        return [one for one in self.asked if one.method == "GET" and re.search(pattern, one.path)]

    def direct(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Ask the server itself, past every fault."""
        answer = _ask(self.behind, method, path, body, {"Authorization": _SIGNED})
        return answer.status, answer.body

    def listed(self, bucket: str = BUCKET) -> list[str]:
        """What the bucket holds, past every fault."""
        return re.findall(r"<Key>([^<]*)</Key>", self.direct("GET", f"/{bucket}?list-type=2")[1].decode())

    def put(self, key: str, body: bytes, bucket: str = BUCKET) -> None:
        """Store an object, past every fault."""
        status, said = self.direct("PUT", f"/{bucket}/{key}", body)
        assert status == 200, (status, said)

    def get(self, key: str, bucket: str = BUCKET) -> bytes:
        """An object's content, past every fault."""
        status, body = self.direct("GET", f"/{bucket}/{key}")
        assert status == 200, body
        return body

    def clear(self) -> None:
        """No fault, no memory of requests, an empty bucket."""
        self.faults.clear()
        for key in self.listed():
            self.direct("DELETE", f"/{BUCKET}/{key}")
        self.asked.clear()


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def _ask(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> _Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return _Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


def _handler(server: S3Server) -> type[BaseHTTPRequestHandler]:
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.body()
            fault = server.take(self.command, self.path)
            kind = fault.kind if fault else ""
            if kind == "stall" and fault:
                time.sleep(fault.seconds)
            if kind == "refuse":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            told = {"slow_down": (503, _SLOW_DOWN), "unavailable": (503, _UNAVAILABLE), "denied": (403, _DENIED)}
            if kind in told:
                self.answer(told[kind][0], [("Content-Type", "application/xml")], told[kind][1])
                return
            if kind == "moved":
                self.answer(301, [("x-amz-bucket-region", "eu-central-1"), ("Content-Type", "application/xml")], b"")
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_CONNECTION}
            with one_at_a_time if self.command == "PUT" else nullcontext():  # moto looks at If-Match, and puts then
                found = _ask(server.behind, self.command, self.path, body, headers)
            self.answer(found.status, found.headers, self.shown(found.body), cut=kind == "cut")

        def body(self) -> bytes | None:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)

        def shown(self, body: bytes) -> bytes:
            for fault in server.faults:
                if fault.kind == "hide" and b"<ListBucketResult" in body:
                    entries = re.findall(rb"<Contents>.*?</Contents>|<CommonPrefixes>.*?</CommonPrefixes>", body, re.S)
                    for entry in entries:
                        if re.search(fault.path, entry.decode()):
                            body = body.replace(entry, b"")
            return body

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
            length = next((value for name, value in headers if name.lower() == "content-length"), str(len(body)))
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in {"connection", "content-length", "date", "server", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
            self.end_headers()
            sent = body[: len(body) // 2] if cut else body
            server.asked.append(Asked(self.command, unquote(self.path), len(sent)))
            if self.command != "HEAD":
                with suppress(ConnectionError):  # who asked has given up
                    self.wfile.write(sent)
            if cut:
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

        def handle(self) -> None:
            with suppress(ConnectionError):
                super().handle()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _until(ready: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            ready()
            return
        except OSError:
            assert process.poll() is None, "moto did not start"
            assert time.monotonic() < end
            time.sleep(0.05)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """The server with an empty bucket, for as long as the block lasts."""
    behind = free_port()
    moto = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(behind)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = S3Server(0, behind)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    proxy.daemon_threads = True
    server.port = proxy.server_address[1]
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    try:
        _until(lambda: socket.create_connection(("127.0.0.1", behind), 1).close(), moto)
        thread.start()
        server.direct("PUT", f"/{BUCKET}")
        yield server
    finally:
        if thread.is_alive():
            proxy.shutdown()
        proxy.server_close()
        moto.terminate()
        moto.wait(30)
