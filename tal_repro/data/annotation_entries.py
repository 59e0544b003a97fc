"""One annotated video's entry: checked numbers come out, and a Problem for each field that is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tal_repro.data.dataset import AMBIGUOUS, FloatArray, IntArray, Problem
from tal_repro.data.layouts import Layout
from tal_repro.untrusted import is_number, short

MAX_SECONDS, MAX_FPS = 1e6, 1000.0  # 11 days; no video has more
MIN_FPS, MIN_FEATURE_FPS = 0.1, 0.01  # nor less: 5e-324 divided by the stride is 0


@dataclass
class EntryReader:
    """Collects the problems of one layout while its entries are read."""

    layout: Layout
    problems: list[Problem] = field(default_factory=list)

    def error(self, where: str, what: str, remedy: str = "correct the entry", path: Path | None = None) -> None:
        """List what makes the data set unusable; `path` where it is not the annotation file."""
        self._add("error", where, what, remedy, path)

    def note(self, where: str, what: str, remedy: str = "nothing to do") -> None:
        """List what is odd but harmless."""
        self._add("note", where, what, remedy, None)

    def _add(self, severity: Literal["error", "note"], where: str, what: str, remedy: str, path: Path | None) -> None:
        file = str(path or self.layout.annotation_file)
        self.problems.append(Problem(severity, file, where, what, remedy))

    def number(
        self, value: Any, where: str, *, above: float | None = None, most: float = math.inf, path: Path | None = None
    ) -> float | None:
        """Return a finite float within bounds, or None after noting why it is none."""
        if not is_number(value):
            self.error(where, f"{short(value)} is not a finite number", path=path)
            return None
        number = float(value)
        if above is not None and not number > above:
            self.error(where, f"{number:g} is not above {above:g}", path=path)
            return None
        if number > most:
            self.error(where, f"{number:g} is above {most:g}: no video has that", path=path)
            return None
        return number


def read_segments(
    video_id: str, entry: Mapping[str, Any], classes: tuple[str, ...], duration_s: float, reader: EntryReader
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return actions [N, 2], their labels [N] and Ambiguous segments [M, 2] of one entry."""
    annotations = entry.get("annotations")
    if not isinstance(annotations, list):
        reader.error(f"{video_id}.annotations", "not a list")
        annotations = []
    known = {name: index for index, name in enumerate(classes)}
    segments: list[tuple[float, float]] = []
    labels: list[int] = []
    ambiguous: list[tuple[float, float]] = []
    seen: set[tuple[str, float, float]] = set()
    for index, action in enumerate(annotations):
        where = f"{video_id}.annotations[{index}]"
        if not isinstance(action, dict):
            reader.error(where, "not an object")
            continue
        label = action.get("label")
        if not isinstance(label, str) or (label != AMBIGUOUS and label not in known):
            what = f"{short(label)} is outside the {len(classes)} classes" if "label" in action else "missing"
            reader.error(f"{where}.label", what)
            label = None
        segment = _segment(action, where, duration_s, reader)
        if segment is None or label is None:
            continue
        if label == AMBIGUOUS:
            ambiguous.append(segment)
            continue
        if (label, *segment) in seen:
            reader.note(where, f"repeats an earlier {label} segment", "evaluators count it once")
        seen.add((label, *segment))
        segments.append(segment)
        labels.append(known[label])
    return (
        np.array(segments, dtype=np.float64).reshape(-1, 2),
        np.array(labels, dtype=np.int64),
        np.array(ambiguous, dtype=np.float64).reshape(-1, 2),
    )


def _segment(
    action: Mapping[str, Any], where: str, duration_s: float, reader: EntryReader
) -> tuple[float, float] | None:
    """Return a usable (start, end) in seconds, or None after noting what is wrong with it."""
    if "segment" not in action:
        reader.error(f"{where}.segment", "missing")
        return None
    value = action["segment"]
    if not isinstance(value, list) or len(value) != 2:
        reader.error(f"{where}.segment", f"{short(value)} is not [start, end]")
        return None
    start, end = (reader.number(bound, f"{where}.segment", most=MAX_SECONDS) for bound in value)
    if start is None or end is None:
        return None
    if start < 0:
        reader.error(f"{where}.segment", f"starts at {start:g} s, before the video")
    elif end < start:
        reader.error(f"{where}.segment", f"ends at {end:g} s before it starts at {start:g} s", "swap the bounds")
    elif end == start:
        reader.note(f"{where}.segment", f"empty at {start:g} s", "left out; upstream evaluators drop it too")
    else:
        if end > duration_s + 0.1:
            kind = "beyond" if start >= duration_s else "reaches beyond"
            reader.note(
                f"{where}.segment",
                f"[{start:g}, {end:g}] s {kind} the video's end at {duration_s:g} s",
                "known of THUMOS14; protocol opentad-211 leaves such actions out",
            )
        return start, end
    return None
