"""Stands in for an agent of a raylet until somebody wants it: the real one imports for half a second of CPU.

    python -IS idle_agent.py                     waits for the raylet's end
    python -IS idle_agent.py FILE HOST COMMAND…  listens at HOST, writes the port into FILE, and becomes COMMAND with
                                                 that port as soon as somebody connects; Ray connects again

A raylet starts it with its own process id as RAY_RAYLET_PID, and ends when it ends.
"""

import os
import sys
from _socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from collections.abc import Sequence
from select import POLLIN, poll

PORT_OPTION = "--runtime-env-agent-port="


def main(arguments: Sequence[str]) -> None:
    """Wait for whichever comes first."""
    raylet = os.pidfd_open(int(os.environ["RAY_RAYLET_PID"]))
    waiting = poll()
    waiting.register(raylet, POLLIN)
    if not arguments:
        waiting.poll()
        return
    file, host, *command = arguments
    listener = socket(AF_INET, SOCK_STREAM)
    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    listener.bind((host, 0))
    listener.listen()
    port = listener.getsockname()[1]
    write_port(file, port)
    waiting.register(listener.fileno(), POLLIN)
    if raylet not in (descriptor for descriptor, _ in waiting.poll()):
        listener.close()
        wanted = [f"{PORT_OPTION}{port}" if word.startswith(PORT_OPTION) else word for word in command]
        os.execv(wanted[0], wanted)  # noqa: S606 (no shell wanted)


def write_port(file: str, port: int) -> None:
    """Write what the raylet waits for, whole or not at all, and not where a link leads: others can write there."""
    draft = f"{file}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    os.write(descriptor, str(port).encode())
    os.close(descriptor)
    os.rename(draft, file)


if __name__ == "__main__":
    main(sys.argv[1:])
