"""The errors a user is meant to read. The command line prints them without a traceback and exits 2."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from os import PathLike

CONTAINER_VARIABLE = "TAL_REPRO_CONTAINER"  # set in the images: kit or upstream


class InputError(ValueError):
    """Say what is wrong with an input, where (file, line, field), and what to do about it."""

    def __init__(self, what: str, where: str | PathLike[str] | None = None, remedy: str | None = None) -> None:
        self.what, self.where, self.remedy = what, None if where is None else str(where), remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f"\n  remedy: {self.remedy}" if self.remedy else "")


def as_typed(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a message with its commands as its reader types them: from a container, whose host has no tal-repro.

    Commands about data go to the one kind of container that has a network and may write there.
    """
    if not environment.get(CONTAINER_VARIABLE):
        return text
    text = re.sub(r"\btal-repro (?=data [a-z])", "docker/kit.sh --fetch -- ", text)
    return re.sub(r"\btal-repro (?=[a-z]+\b)", "docker/kit.sh -- ", text)
