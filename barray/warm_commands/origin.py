"""What a process must share with another to be forked from it, and nobody to notice."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from typing import Any

Origin = dict[str, Any]

# Of the shell and its terminal, which nothing reads when it is imported, apart from what a command itself imports; and
# credentials, which are read when they are needed.
_MAY_DIFFER = frozenset(
    {"_", "OLDPWD", "PATH", "PROMPT", "PS1", "PWD", "SHLVL", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "LS_COLORS"}
    | {"GPG_TTY", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "WINDOWPATH"}
    | {"COLORTERM", "COLUMNS", "DISPLAY", "LINES", "NO_COLOR", "STY", "TERM", "WAYLAND_DISPLAY", "WINDOWID"}
)
_MAY_DIFFER_FROM = (
    *("ALACRITTY_", "GNOME_TERMINAL_", "ITERM_", "KITTY_", "KONSOLE_", "SSH_", "TERM_", "TMUX", "VTE_", "WEZTERM_"),
    *("WT_", "VSCODE_", "GIO_LAUNCHED_", "MAKE", "MFLAGS", "XDG_SESSION_"),
    *("APCA_", "AWS_", "SCHWAB_", "BARRAY_"),
)


def origin() -> Origin:
    """Of this process, in JSON types: interpreter, environment, user, and what the system lets it do."""
    flags = {name: getattr(sys.flags, name) for name in dir(sys.flags) if name != "safe_path"}
    limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {
        "interpreter": [sys.executable, sys.prefix, os.path.dirname(os.path.dirname(__file__))],
        "flags": [
            *(f"{name}={value}" for name, value in flags.items() if isinstance(value, int)),
            *(*sys.warnoptions, *sorted(sys._xoptions)),
        ],
        "environment": {name: value for name, value in os.environ.items() if not _may_differ(name)},
        "user": [os.geteuid(), os.getegid(), sorted(os.getgroups())],
        "limits": {name: list(resource.getrlimit(getattr(resource, name))) for name in limits},
        "cpus": sorted(os.sched_getaffinity(0)),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "namespaces": [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net", "pid", "user")],
    }


def difference(ours: Origin, theirs: Mapping[str, Any]) -> str | None:
    """In what two origins differ, by name and never by value; None if in nothing."""
    here, there = ours["environment"], theirs.get("environment") or {}
    names = {name for name in {*here, *there} if here.get(name) != there.get(name)}
    if names:
        return f"another environment: {', '.join(sorted(names))}"
    kinds = [kind for kind in ours if ours[kind] != theirs.get(kind)]
    return f"another {' and '.join(kinds)}" if kinds else None


def _may_differ(name: str) -> bool:
    return name in _MAY_DIFFER or name.startswith(_MAY_DIFFER_FROM)
