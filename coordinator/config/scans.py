"""The `scans` of a configuration."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from barray.coordinator.config.fields import Section

_TERMS = ("universe", "daily", "at", "where", "rank", "keep", "promote", "carry")


class ScanSection(Section):
    """A scan: a class in a file (`path`) or an installed module, with `class` where there are several and `parameters`;
    or written here, `where` and what belongs to it: `where: [gap > 0.02, RSI(14)@5m > 55]`. `name`: by which it is told
    of.
    """

    name: str | None = Field(None, pattern=r"^[A-Za-z]\w{0,39}$")
    path: str | None = None
    module: str | None = None
    kind: str | None = Field(None, alias="class")
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    universe: Any = None
    daily: Any = None
    at: Any = None
    where: Any = None
    rank: Any = None
    keep: Any = None
    promote: Any = None
    carry: Any = None

    @model_validator(mode="after")
    def _one_form(self) -> ScanSection:
        if self.path is not None and self.module is not None:
            raise ValueError("give either path (a Python file) or module")
        if self.path is not None or self.module is not None:
            if self.terms:
                raise ValueError(
                    f"{next(iter(self.terms))} stands beside code: write it in the class, or leave code out"
                )
        elif self.where is None:
            raise ValueError("a scan has neither code (path or module) nor where")
        elif self.parameters:
            raise ValueError("parameters are those of a class: leave them out")
        return self

    @property
    def terms(self) -> dict[str, Any]:
        """What is written here of a scan."""
        return {name: value for name in _TERMS if (value := getattr(self, name)) is not None}
