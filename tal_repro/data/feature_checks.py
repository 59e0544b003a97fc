"""Check one feature file: header, size, type, values, length. `verify` runs it on every file of a layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tal_repro.annotations import Problem
from tal_repro.data.dataset import DataSet
from tal_repro.data.feature_formats import map_features
from tal_repro.data.fingerprint import hash_file
from tal_repro.data.layouts import Layout
from tal_repro.data.state import hash_values
from tal_repro.errors import InputError

ROWS_AT_ONCE = 4096
SIZED_BY = 64  # steps of a file, evenly spaced
FACTOR_UNLIKE = 10  # of sizes: videos of one extractor differ by less


@dataclass(frozen=True)
class CheckedFile:
    """What one feature file turned out to be."""

    video_id: str
    problems: list[Problem]
    shape: tuple[int, int] | None = None
    sha256: str = ""
    size: float = 0.0  # mean of the absolute values of some of its steps


def check_file(layout: Layout, dataset: DataSet | None, video_id: str) -> CheckedFile:
    """Check one feature file: header, size, type, finite values, length (where annotations state one); hash it."""
    path = layout.feature_file(video_id)
    try:
        rows = map_features(layout, video_id)
        problems = _value_problems(rows, path, video_id) + _length_problems(rows, layout, dataset, video_id)
        # one file of all videos has one hash: there, a video's own values are hashed
        digest = hash_values(rows) if layout.definition.one_file else hash_file(path)
        size = 0.0 if problems else float(np.abs(rows[:: max(len(rows) // SIZED_BY, 1)]).mean(dtype=np.float64))
        return CheckedFile(video_id, problems, (rows.shape[0], rows.shape[1]), digest, size)
    except InputError as error:
        return CheckedFile(video_id, [as_problem(error, path, video_id)])
    except OSError as error:
        reason = InputError(f"cannot be read ({error.strerror})", path, "restore the file from the archive")
        return CheckedFile(video_id, [as_problem(reason, path, video_id)])


def _value_problems(rows: npt.NDArray[np.float32], path: Path, video_id: str) -> list[Problem]:
    bad, first_bad, filled = 0, -1, False
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[first : first + ROWS_AT_ONCE]
        wrong = np.flatnonzero(~np.isfinite(part).all(axis=1))
        if len(wrong) and bad == 0:
            first_bad = first + int(wrong[0])
        bad += len(wrong)
        filled = filled or bool(part.any())
    if bad:
        what = f"NaN or infinite values in {bad} of {len(rows)} steps, the first at step {first_bad}"
        return [Problem("error", str(path), video_id, what, "restore the file from the archive")]
    if not filled:
        return [Problem("error", str(path), video_id, "all values are zero", "restore the file from the archive")]
    return []


def _length_problems(
    rows: npt.NDArray[np.float32], layout: Layout, dataset: DataSet | None, video_id: str
) -> list[Problem]:
    video = dataset.videos.get(video_id) if dataset else None
    if video is None:
        return []
    path = str(layout.feature_file(video_id))
    if len(rows) != video.feature_length:
        what = f"{len(rows)} steps, its feature info states {video.feature_length}"
        return [Problem("error", path, video_id, what, "restore both from the same archive")]
    return []


def width_problems(layout: Layout, checked: list[CheckedFile]) -> list[Problem]:
    """Name the files whose number of channels differs from most."""
    widths = [file.shape[1] for file in checked if file.shape]
    if not widths:
        return []
    usual = max(set(widths), key=lambda width: (widths.count(width), width))
    return [
        Problem(
            "error",
            str(layout.feature_file(file.video_id)),
            file.video_id,
            f"{file.shape[1]} channels, most files have {usual}",
            "restore the file from the archive",
        )
        for file in checked
        if file.shape and file.shape[1] != usual
    ]


def size_notes(layout: Layout, checked: list[CheckedFile]) -> list[Problem]:
    """Name the files whose values are far larger or smaller than most: of another extractor with as many channels."""
    sized = [file for file in checked if file.size]
    if not sized:
        return []
    usual = float(np.median([file.size for file in sized]))
    notes = []
    for file in sized:
        ratio = file.size / usual
        if not 1 / FACTOR_UNLIKE < ratio < FACTOR_UNLIKE:
            what = f"values {ratio:.2g} times as large as most videos': of another extractor, or scaled otherwise?"
            path = str(layout.feature_file(file.video_id))
            notes.append(Problem("note", path, file.video_id, what, "extract it as the others were"))
    return notes


def as_problem(error: InputError, path: Path, where: str) -> Problem:
    """Turn a refusal into a listed problem."""
    return Problem("error", error.where or str(path), where, error.what, error.remedy or "")
