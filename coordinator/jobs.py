"""Ray's jobs: a program that a cluster runs on its head, reached over HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barray.market.errors import BarrayError, ConfigError, SourceUnavailable

_POLL_S = 0.5
_NOT_YET, _STARTING_S = "No available agent", 60.0
"""What a dashboard says that is up before any node can run a job, and how long that is waited for."""
_CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})


@dataclass(frozen=True)
class JobEnd:
    """How a job ended: SUCCEEDED, FAILED or STOPPED. `exit_code`: its program's, None where that has none."""

    status: str
    exit_code: int | None
    message: str


class Jobs:
    """The jobs of the cluster whose dashboard is at `address` (`http://host:8265`; None: what Ray's environment says).

    ConfigError where Ray's own part for it is not installed, SourceUnavailable where nobody answers there.
    """

    def __init__(self, address: str | None) -> None:
        try:
            import aiohttp  # noqa: F401
            from ray.job_submission import JobSubmissionClient

            for name in _CHATTY:
                logging.getLogger(name).setLevel(logging.WARNING)
            self._client: Any = JobSubmissionClient(address)
        except ImportError as error:
            raise ConfigError(
                f"jobs need more of Ray than is installed: {error}",
                remedy="pip install 'barray[cluster]'",
                code="not_installed",
            ) from error
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _unreachable(address, error) from error

    def submit(self, entrypoint: str, folder: Path, metadata: Mapping[str, str]) -> str:
        """Have a command run in a copy of `folder` on the cluster; the job's id. Errors as for the class."""
        what = {"entrypoint": entrypoint, "runtime_env": {"working_dir": str(folder)}, "metadata": dict(metadata)}
        end_s = time.monotonic() + _STARTING_S
        while True:
            try:
                return str(self._asked(self._client.submit_job, **what))
            except BarrayError as error:
                if _NOT_YET not in error.reason or time.monotonic() > end_s:
                    raise
            time.sleep(_POLL_S)

    def follow(self, job: str, hear: Callable[[str], object]) -> JobEnd:
        """Wait until a job has ended; `hear` gets what it prints, piece by piece."""

        async def listen() -> None:
            pieces: AsyncIterator[str] = self._client.tail_job_logs(job)
            async for piece in pieces:
                hear(piece)

        with suppress(OSError, RuntimeError):  # the connection is lost; the job goes on
            asyncio.run(listen())
        while (end := self.end_of(job)) is None:
            time.sleep(_POLL_S)
        return end

    def end_of(self, job: str) -> JobEnd | None:
        """How it ended; None while it runs."""
        found: Any = self._asked(self._client.get_job_info, job)
        status = str(getattr(found.status, "value", found.status))
        return JobEnd(status, found.driver_exit_code, found.message or "") if status in _ENDED else None

    def log(self, job: str) -> str:
        """All that it has printed."""
        return str(self._asked(self._client.get_job_logs, job))

    def stop(self, job: str) -> None:
        """End it: SIGTERM, and SIGKILL where that does not do."""
        self._asked(self._client.stop_job, job)

    def _asked(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except (OSError, RuntimeError) as error:
            text = " ".join(str(error).split())
            if isinstance(error, OSError):
                raise _unreachable(None, error) from error
            raise BarrayError(
                f"the cluster refuses: {text[:300]}", remedy="see the dashboard's log on its head"
            ) from error


def _unreachable(address: str | None, error: Exception) -> SourceUnavailable:
    where = address or "the address that Ray's environment names"
    text = " ".join(str(error).split())[:200]
    return SourceUnavailable(
        f"no dashboard of a Ray answers at {where}: {text}",
        remedy="give --address http://HEAD:8265; where it is on the head's localhost, through a tunnel: ray dashboard",
    )
