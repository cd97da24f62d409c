"""A place in an object store: asked with patience, and every failure told in our errors."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

from barray.data_sources.environment import storage_keys
from barray.data_sources.object_store.faults import explained
from barray.market.clock import monotonic_s
from barray.market.errors import ConfigError, NoDataError, SourceUnavailable

T = TypeVar("T")
SCHEME = "s3://"
_OPTIONS = ("endpoint_override", "give_up_s", "region", "scheme")
_GIVE_UP_S = 20.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0
_CONNECT_S, _SILENCE_S, _ATTEMPTS = 3, 5, 3
"""Of a single request: how long to connect, how long without a byte, and how often the library itself tries."""


def is_object_uri(root: object) -> bool:
    """Whether a root or directory is a place in an object store."""
    return str(root).startswith(SCHEME)


@dataclass(frozen=True)
class ObjectStore:
    """What lies below an `s3://bucket/path`, with `?region=…&endpoint_override=…&give_up_s=…` as far as needed.

    Keys come as AWS has it (environment, profile, role), never in the URI: ConfigError. `source` names it in errors.
    What fails in a way that may pass is tried again for `give_up_s` (20), then, as anything else at once,
    SourceUnavailable.
    """

    uri: str
    source: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.uri)
        if "@" in parts.netloc:
            raise ConfigError(
                f"the s3:// URI of {parts.hostname} holds keys", source=self.source, remedy=f"take them out: {_KEYLESS}"
            )
        unknown = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if name not in _OPTIONS]
        waits = self._options.get("give_up_s", "0")
        if not parts.netloc or unknown or not waits.replace(".", "", 1).isdecimal():
            wrong = f"has the unknown option {unknown[0]}" if unknown else "names no bucket"
            wrong = wrong if unknown or not parts.netloc else f"has give_up_s={waits}, which is no number of seconds"
            raise ConfigError(
                f"{self.shown} {wrong}",
                source=self.source,
                remedy=f"write it as s3://bucket/path, with {', '.join(_OPTIONS)} after a ? where needed",
            )

    @property
    def shown(self) -> str:
        """The URI in errors, without what stands after the question mark."""
        return self.uri.partition("?")[0].rstrip("/")

    @property
    def base(self) -> str:
        """Bucket and path, as the file system has it."""
        return self.shown.removeprefix(SCHEME)

    def at(self, path: str) -> str:
        """An object's own name in errors."""
        return f"{self.shown}/{path}" if path else self.shown

    @cached_property
    def _options(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.uri).query))

    @property
    def endpoint(self) -> str:
        """Where requests go, if not to AWS."""
        named = self._options.get("endpoint_override")
        return named or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""

    @property
    def filesystem(self) -> fs.FileSystem:
        """The file system, one for all in this process. SourceUnavailable where the bucket's region can't be found."""
        region = self._options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not region and not self.endpoint:
            region = self.patiently(lambda: fs.resolve_s3_region(self.base.partition("/")[0]))
        scheme = self._options.get("scheme") or ("http" if self.endpoint.startswith("http://") else "https")
        keys = storage_keys()
        return _filesystem(region or "us-east-1", self.endpoint, scheme, *(keys.get(name) for name in _KEYS))

    def patiently(self, work: Callable[[], T], path: str = "") -> T:
        """What `work` gives; tried again, with growing pauses, as long as its failure may pass and time is left.

        NoDataError where there is no such object, SourceUnavailable for all else.
        """
        end_s = monotonic_s() + float(self._options.get("give_up_s") or _GIVE_UP_S)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return work()
            except FileNotFoundError as error:
                raise NoDataError(
                    f"{self.at(path)} does not exist", source=self.source, remedy="add the file"
                ) from error
            except OSError as error:
                fault = explained(error)
                wait_s = pause_s * random.uniform(0.5, 1.0)
                if not fault.passes or monotonic_s() + wait_s > end_s:
                    raise SourceUnavailable(
                        f"{self.at(path)}: {fault.reason}", source=self.source, remedy=fault.remedy, code=fault.code
                    ) from error
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def require(self) -> None:
        """SourceUnavailable where the bucket is not there or nothing lies below the path."""
        filesystem, base = self.filesystem, self.base
        if self.patiently(lambda: filesystem.get_file_info(base)).type == fs.FileType.Directory:
            return
        bucket = base.partition("/")[0]
        there = self.patiently(lambda: filesystem.get_file_info(bucket)).type != fs.FileType.NotFound
        reason = "nothing lies below it" if there else "its bucket does not exist"
        raise SourceUnavailable(f"{self.shown}: {reason}", source=self.source, remedy="correct the source's root")

    def names(self, directory: str) -> dict[str, bool]:
        """Names below a directory, each with whether it is one itself; none where there is nothing."""
        return {entry.base_name: entry.type == fs.FileType.Directory for entry in self._entries(directory)}

    def sizes(self, directory: str) -> dict[str, int]:
        """Bytes of the objects in a directory, by name."""
        return {entry.base_name: entry.size for entry in self._entries(directory) if entry.type == fs.FileType.File}

    def _entries(self, directory: str) -> list[fs.FileInfo]:
        filesystem = self.filesystem
        selector = fs.FileSelector(f"{self.base}/{directory}".rstrip("/"), allow_not_found=True)
        return self.patiently(lambda: filesystem.get_file_info(selector), directory.rstrip("/"))

    def read(self, path: str) -> bytes:
        """An object's content, whole."""
        filesystem = self.filesystem

        def whole() -> bytes:
            with filesystem.open_input_file(f"{self.base}/{path}") as file:
                content, size = file.read(), file.size()
            if len(content) != size:
                raise OSError(f"curlCode: 18, Details: {len(content)} of {size} bytes came")
            return bytes(content)

        return self.patiently(whole, path)

    def write(self, path: str, content: bytes) -> None:
        """Put an object there, whole or not at all."""
        filesystem, place = self.filesystem, f"{self.base}/{path}"

        def put() -> None:
            stream = filesystem.open_output_stream(place)
            stream.write(content)
            stream.close()  # the object is there from now on: of one that failed before, nothing is

        self.patiently(put, path)

    def put_new(self, path: str, content: bytes) -> bool:
        """Put an object where none is, by one conditional request: False, and nothing changes, where there is one, but
        for this very content. ConfigError where obstore is not installed, which asks so; SourceUnavailable.
        """
        return self.put_over(path, content, "")

    def put_over(self, path: str, content: bytes, etag: str) -> bool:
        """The same in the place of an object that `read_tagged` told the ETag of; False where it is another by now."""
        store, exceptions, place = self._conditional(path)
        mode = {"e_tag": etag} if etag else "create"
        lost = (exceptions.AlreadyExistsError, exceptions.PreconditionError, *((FileNotFoundError,) if etag else ()))

        def put() -> bool:
            try:
                store.put(place, content, mode=mode)
            except lost:
                return False
            return True

        if self._asked(put, path, exceptions.BaseError):
            return True
        try:
            return self.read(path) == content  # where an answer was lost, and it was asked again
        except NoDataError:
            return False

    def read_tagged(self, path: str) -> tuple[bytes, str] | None:
        """An object's content and its ETag, None where it isn't there. ConfigError, SourceUnavailable as `put_new`."""
        store, exceptions, place = self._conditional(path)

        def read() -> tuple[bytes, str] | None:
            try:
                found = store.get(place)
            except FileNotFoundError:
                return None
            return bytes(found.bytes()), str(found.meta["e_tag"])

        return self._asked(read, path, exceptions.BaseError)

    def _asked(self, work: Callable[[], T], path: str, failed: type[Exception]) -> T:
        def ask() -> T:
            try:
                return work()
            except (failed, FileNotFoundError) as error:
                raise OSError(str(error).partition("Debug source")[0]) from error

        return self.patiently(ask, path)

    def _conditional(self, path: str) -> tuple[Any, Any, str]:
        """What asks conditionally, its exceptions, and an object's path in it; ConfigError without obstore."""
        try:
            from obstore import exceptions
        except ImportError:
            raise ConfigError("obstore is not installed", remedy="pip install 'barray[objects]'") from None
        bucket, _, base = self.base.partition("/")
        keys, endpoint = storage_keys(), self.endpoint
        if endpoint and "://" not in endpoint:
            endpoint = f"{self._options.get('scheme', 'https')}://{endpoint}"
        region = self._options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        patience_s = float(self._options.get("give_up_s") or _GIVE_UP_S)
        store = _asking(bucket, region or "us-east-1", endpoint, patience_s, *(keys.get(name) for name in _KEYS))
        return store, exceptions, f"{base}/{path}".lstrip("/")

    def remove(self, path: str) -> None:
        """Remove an object, if it is there."""
        filesystem, place = self.filesystem, f"{self.base}/{path}"

        def delete() -> None:
            if filesystem.get_file_info(place).type != fs.FileType.NotFound:
                filesystem.delete_file(place)

        self.patiently(delete, path)


_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_KEYLESS = "the environment, a profile or a role gives them"


@lru_cache(maxsize=16)
def _filesystem(
    region: str, endpoint: str, scheme: str, key: str | None, secret: str | None, token: str | None
) -> fs.FileSystem:
    options: dict[str, Any] = {"endpoint_override": endpoint.partition("://")[2] or endpoint} if endpoint else {}
    if key and secret:
        options |= {"access_key": key, "secret_key": secret, "session_token": token}
    return fs.S3FileSystem(
        region=region,
        scheme=scheme,
        connect_timeout=_CONNECT_S,
        request_timeout=_SILENCE_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        allow_delayed_open=True,  # a small object is put by one request
        **options,
    )


@lru_cache(maxsize=16)
def _asking(
    bucket: str, region: str, endpoint: str, patience_s: float, key: str | None, secret: str | None, token: str | None
) -> Any:
    """Obstore's client: one for all in this process."""
    from obstore.store import S3Store

    told = {"endpoint": endpoint, "access_key_id": key, "secret_access_key": secret, "session_token": token}
    given: dict[str, Any] = {name: value for name, value in told.items() if value}
    return S3Store(
        bucket,
        region=region,
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"retry_timeout": timedelta(seconds=patience_s)},
        **given,
    )
