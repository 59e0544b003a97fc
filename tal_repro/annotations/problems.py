"""What is wrong with an annotation file: problems are collected while entries are read, none stops the rest."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tal_repro.untrusted import is_number, short

AMBIGUOUS = "Ambiguous"  # THUMOS14's label for segments that are neither an action nor safely background
MAX_SECONDS = 1e6  # 11 days; no video is longer
NOTHING = "nothing to do"
_TEXT_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)


@dataclass(frozen=True)
class Problem:
    """One finding about a data set: an error makes it unusable as it stands, a note is worth knowing."""

    severity: Literal["error", "note"]
    file: str
    where: str
    what: str
    remedy: str


@dataclass
class EntryReader:
    """Collects the problems of one annotation file, and counts the actions that the rules leave out."""

    file: Path
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # actions, by reason
    texts: int = 0  # numbers written as text
    durations_of_features: int = 0  # videos whose duration no annotation states
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)  # video -> file and line of each action

    def place(self, video_id: str, index: int) -> str:
        """Return where a video's action stands: its file and line, or its place in the document."""
        lines = self.places.get(video_id)
        return f"{video_id}.annotations[{index}]" if lines is None else f"{lines[index]}: {video_id}"

    def error(self, where: str, what: str, remedy: str = "correct the entry", path: Path | None = None) -> None:
        """List what makes the data set unusable; `path` where it is not the annotation file."""
        self.problems.append(Problem("error", str(path or self.file), where, what, remedy))

    def note(self, where: str, what: str, remedy: str = NOTHING) -> None:
        """List what is odd but harmless."""
        self.problems.append(Problem("note", str(self.file), where, what, remedy))

    @property
    def errors(self) -> list[Problem]:
        """Return the problems that make the file unusable."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def number(
        self, value: Any, where: str, *, above: float | None = None, most: float = math.inf, path: Path | None = None
    ) -> float | None:
        """Return a finite float within bounds, or None after noting why it is none."""
        number = as_number(value)
        if number is None:
            self.error(where, f"{short(value)} is not a finite number", path=path)
            return None
        self.texts += isinstance(value, str)
        if above is not None and not number > above:
            self.error(where, f"{number:g} is not above {above:g}", path=path)
            return None
        if number > most:
            self.error(where, f"{number:g} is above {most:g}: no video has that", path=path)
            return None
        return number


def as_number(value: Any) -> float | None:
    """Return a JSON value as a finite float, also where it is text that spells one ("2.0"); None for anything else."""
    if isinstance(value, str):
        value = float(value) if len(value) < 40 and _TEXT_NUMBER.fullmatch(value) else None
    return float(value) if is_number(value) else None
