"""Ray's session folder, with sockets and logs, for this user alone. Ray opens it, and the one above, to everybody."""

from __future__ import annotations

import functools
import logging
import os
import stat
from collections.abc import Callable

from barray.actors.forking.private_folder import check_private
from barray.actors.ray_start import leftovers

Create = Callable[[str], None]
_logger = logging.getLogger("barray.forkserver")


def with_private_session(create: Create) -> Create:
    """Ray's way of making a folder, but for a session's: mode 0700 from the first moment.

    The folder of all sessions gets the sticky bit where it is this user's, so that others can't exchange what lies in
    it; else a warning says so.
    """

    def create_private(folder: str) -> None:
        if not os.path.basename(folder).startswith("session_"):
            create(folder)
            return
        above = os.path.dirname(folder)
        status = os.lstat(above)
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
            os.chmod(above, stat.S_IMODE(status.st_mode) | stat.S_ISVTX)
        make_private(folder)

    return create_private


def make_private(folder: str) -> None:
    """The folder, made and marked as one of ours, or found, this user's alone.

    PermissionError where it is another's or a link. Warns where others could put another in its place.
    """
    try:
        os.mkdir(folder, 0o700)
        leftovers.mark(folder)
    except FileExistsError:  # another node's, of the same Ray
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(f"{folder} is not a folder of uid {os.geteuid()}: Ray does not start in it") from None
        os.chmod(folder, 0o700)
    try:
        check_private(os.path.realpath(folder))
    except PermissionError as error:
        _warn(str(error))


@functools.cache
def _warn(reason: str) -> None:
    _logger.warning("%s, so Ray's sockets are not safe from them: have RAY_TMPDIR name a folder of your own", reason)
