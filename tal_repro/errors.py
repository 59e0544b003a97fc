"""The errors a user is meant to read. The command line prints them without a traceback and exits 2."""

from __future__ import annotations

from os import PathLike


class InputError(ValueError):
    """Say what is wrong with an input, where (file, line, field), and what to do about it."""

    def __init__(self, what: str, where: str | PathLike[str] | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, None if where is None else str(where), remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f"\n  remedy: {self.remedy}" if self.remedy else "")
