"""Sections of a configuration that a command makes no use of."""

from __future__ import annotations

from barray.coordinator.config.model import SessionConfig

_USED_BY = {
    "run": ("run",),
    "live": ("run",),
    "schedule": ("run",),
    "export": ("run",),
    "strategy": ("run", "backtest", "sweep"),
    "account": ("run", "backtest", "sweep"),
    "costs": ("run", "backtest", "sweep"),
    "report": ("backtest", "sweep", "scan"),
    "sweep": ("sweep",),
    "tables": ("run", "backtest", "sweep", "scan"),
    "scans": ("run", "backtest", "sweep", "scan"),
}
"""Commands by section; sections that are not here are used by every command that runs a config."""


def unused_by(command: str, config: SessionConfig) -> tuple[str, ...]:
    """Sections that the config has and `barray COMMAND` makes no use of, in the order of the reference."""
    given = [name for name in type(config).model_fields if name in config.model_fields_set]
    unused = [name for name in given if command not in _USED_BY.get(name, (command,))]
    if command == "run" and "tables" in given and not config.scans and config.strategy is None:  # nobody looks at them
        unused.append("tables")
    return tuple(unused)


def unused_sentence(command: str, sections: tuple[str, ...]) -> str:
    """The same in a line, with the commands that these are for."""
    named = ", ".join(f"{name} (for {' and '.join(_USED_BY[name])})" for name in sections)
    return f"barray {command} makes no use of {named}"
