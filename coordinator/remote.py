"""The coordinator as others call it, from its start, or found by its name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from barray.coordinator.ray_alive import require_ray
from barray.coordinator.runtime import keep_logs
from barray.market.errors import BarrayError, ConfigError

if TYPE_CHECKING:
    from ray import ObjectRef

_LOOK_S = 2.5
"""How often it is looked, while an answer is waited for, whether Ray is there still. Ray itself looks for signals
every second.
"""
_LOOK_AGAIN_S = 0.2


@dataclass(eq=False)
class Call:
    """A question on its way to the coordinator. `ask` puts it again; `number`: see AskedOnce (None: it only reads)."""

    ask: Callable[[], ObjectRef[Any]]
    reference: ObjectRef[Any]
    number: int | None


class Remote:
    """The coordinator, called as if it were here. Its errors arrive as they were raised there.

    A call that fails on its way, or whose answer does, is made again, and takes effect once. One that answers nothing
    for `silence_s`, not even what its status is, hangs; None: it may.
    """

    def __init__(self, actor: Any, silence_s: float | None = None) -> None:
        self.actor = actor
        self._silence_s = silence_s
        self._hangs = False
        self._asker = uuid4().hex
        self._numbers = count(1)
        self._unsettled: set[int] = set()
        self._looked_s = 0.0

    def call(self, method: str, *arguments: Any, timeout_s: float | None = None, **options: Any) -> Any:
        """Call a method and wait for its result; errors as for `wait`."""
        return self.wait(self.submit(method, *arguments, **options), timeout_s)

    def submit(self, method: str, *arguments: Any, **options: Any) -> Call:
        """Call a method without waiting; see `wait`."""
        from barray.coordinator.asked_once import READS

        if method in READS:
            ask, number = partial(getattr(self.actor, method).remote, *arguments, **options), None
        else:
            number = next(self._numbers)
            self._unsettled.add(number)
            settled = min(tuple(self._unsettled))
            ask = partial(self.actor.once.remote, self._asker, number, settled, method, arguments, options)
        return Call(ask, ask(), number)

    def wait(self, call: Call, timeout_s: float | None = None) -> Any:
        """The result of a call, or the error that it raised there.

        TimeoutError after `timeout_s`, BarrayError if the coordinator is gone or hangs (`coordinator_lost`), or Ray is.
        """
        from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

        deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        for pause_s in _pauses():
            try:
                answer = self._answer(call, deadline_s)
            except ActorUnavailableError:
                require_ray()
                time.sleep(pause_s)
                call.reference = call.ask()
                continue
            except ActorDiedError as error:
                require_ray()
                raise (_not_begun(error) if error.actor_init_failed else _gone()) from error
            except RayTaskError as error:
                self._settle(call)
                if isinstance(error.cause, BarrayError):
                    raise error.cause from None
                raise
            self._settle(call)
            return answer
        raise _gone()

    def _answer(self, call: Call, deadline_s: float) -> Any:
        """`ray.get`, which would notice neither that Ray is gone nor that the coordinator hangs."""
        import ray
        from ray.exceptions import GetTimeoutError

        heard_s = time.monotonic()
        while not self._hangs:
            if time.monotonic() - self._looked_s > _LOOK_S:  # also between calls that are answered: processes go on
                require_ray()
                self._looked_s = time.monotonic()
            left_s = max(deadline_s - time.monotonic(), 0.0)
            try:
                return ray.get(call.reference, timeout=min(left_s, _LOOK_S))
            except GetTimeoutError:
                if left_s <= _LOOK_S:
                    raise TimeoutError("no answer from the coordinator in time") from None
            except SystemError as error:  # Ctrl-C, in the middle of Ray's making a GetTimeoutError
                raise error.__cause__ or error from None
            if self._silence_s is not None and time.monotonic() - heard_s > self._silence_s:
                self._hangs = not self._stirs()
                heard_s = time.monotonic()
        raise BarrayError(
            f"the coordinator has answered nothing for {self._silence_s:g} s",
            remedy="its process hangs, or the machine is short of CPUs; actors.call_timeout_s says how long it may",
            code="coordinator_lost",
        )

    def _stirs(self) -> bool:
        import ray
        from ray.exceptions import GetTimeoutError, RayError

        try:
            ray.get(self.actor.status.remote(), timeout=self._silence_s)
        except GetTimeoutError:
            return False
        except RayError:  # what it is asked for will come to the same
            pass
        return True

    def _settle(self, call: Call) -> None:
        if call.number is not None:
            self._unsettled.discard(call.number)

    def kill(self) -> None:
        """End the coordinator's process, and the symbols' processes, which it owns; and let go of it.

        Ray 2.60 has a question open for as long as somebody holds an actor with a name, and where Ray ends before that
        never closes the socket.
        """
        from barray.actors.handles import kill

        actor, self.actor = self.actor, None
        kill(actor)


def _pauses() -> Iterator[float]:
    """Between attempts to reach a coordinator that can't be reached, seconds: about a minute in all."""
    yield from (min(0.02 * 2**attempt, 0.5) for attempt in range(120))


def _not_begun(error: Exception) -> BarrayError:
    """Ray's words end with the last line of what was raised there."""
    return BarrayError(
        f"the coordinator could not begin where it was placed: {str(error).strip().splitlines()[-1]}",
        remedy="its node needs the packages that are here, barray and what the strategy imports, in the same versions",
        code="coordinator_lost",
    )


def _gone() -> BarrayError:
    kept = keep_logs()
    logs = f"; Ray's logs: {kept}" if kept is not None else ""
    return BarrayError(
        "the coordinator is gone",
        remedy=f"the session has ended, or its process was killed{logs}",
        code="coordinator_lost",
    )


def new_coordinator(name: str, kind: type | None, *arguments: Any, silence_s: float, patience_s: float = 0.0) -> Remote:
    """Start the coordinator of a session (default: SessionCoordinator) with its arguments. `silence_s`: see Remote.

    ConfigError if one of that name runs on this Ray, and has not ended `patience_s` later.
    """
    from barray.actors import options

    until_s = time.monotonic() + patience_s
    while name in options.running_sessions():
        if time.monotonic() < until_s:
            time.sleep(_LOOK_AGAIN_S)
            continue
        raise ConfigError(
            f"a session named {name!r} is running", remedy="give this one another name, or attach to that one"
        )
    if kind is None:
        from barray.coordinator.session_coordinator import SessionCoordinator

        kind = SessionCoordinator
    return Remote(options.new_coordinator(kind, name, *arguments), silence_s)


def find_coordinator(name: str | None) -> tuple[str, Remote]:
    """The running session of that name (None: the only one), with its name; ConfigError if it can't be told."""
    from barray.actors import options

    running = options.running_sessions()
    if name is None and len(running) == 1:
        name = running[0]
    if name is None or name not in running:
        listed = ", ".join(running) or "none"
        wanted = f"no session {name!r} is running" if name else f"{len(running)} sessions are running"
        raise ConfigError(wanted, remedy=f"running: {listed}")
    return name, Remote(options.find_coordinator(name))
