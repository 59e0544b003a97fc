"""One line of the doctor: what was looked at, how it stands, and what to do. Every check returns these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]
Figure = float | int | str | bool | list[str]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check. `warn`: it can run, but mind this; `fail`: it cannot. Both carry a remedy."""

    check: str
    status: Status
    what: str
    remedy: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.status == "ok") == bool(self.remedy):
            raise ValueError(f"{self.check}: a remedy goes with warn and fail, and with nothing else")

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `doctor --json`."""
        return {
            "check": self.check,
            "status": self.status,
            "what": self.what,
            "remedy": self.remedy,
            "figures": dict(self.figures),
        }


def ok(check: str, what: str, **figures: Figure) -> Finding:
    return Finding(check, "ok", what, "", figures)


def warn(check: str, what: str, remedy: str, **figures: Figure) -> Finding:
    return Finding(check, "warn", what, remedy, figures)


def fail(check: str, what: str, remedy: str, **figures: Figure) -> Finding:
    return Finding(check, "fail", what, remedy, figures)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 where something stops the study, else 0: a warning stops nothing."""
    return int(any(finding.status == "fail" for finding in findings))


def line(finding: Finding, width: int) -> str:
    """Write a finding as one line; `width` is that of the widest name."""
    remedy = f"; remedy: {finding.remedy}" if finding.remedy else ""
    return f"{finding.status:<4}  {finding.check:<{width}}  {one_line(finding.what + remedy)}"


def one_line(text: str) -> str:
    """Return words of another program or a path without anything that could break or colour the line."""
    return "".join(character if character.isprintable() else " " for character in text)
