"""The 49 published training splits of the sibling studies, read from results/published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.spec import Unit
from tal_repro.untrusted import read_csv_rows

PUBLISHED_CSV = Path(__file__).parents[2] / "results" / "published" / "sweep_subsets.csv"
_COLUMNS, _RESTORE = ("model", "train_percent", "run", "video_id"), "restore results/published"
PUBLISHED_MODELS = ("actionformer", "temporalmaxer")  # whose splits were published


def published_ids(
    units: Mapping[str, list[int]], unit: Unit, percent: float, run: int, model: str, path: Path, root: Path
) -> tuple[str, ...]:
    """Return the video ids of one published split; raise InputError unless all are in `units`."""
    if unit != "video":
        raise InputError("the published subsets are of videos", None, "use --unit video")
    splits = read_published_subsets(path)
    ids = splits.get((model, percent, run))
    if ids is None:
        there = sorted((key[1], key[2]) for key in splits if key[0] == model)
        listed = ", ".join(f"{share:g} % run {number}" for share, number in there) or "none"
        raise InputError(f"no published subset of {model} at {percent:g} %, run {run}", path, f"there are: {listed}")
    unknown = [video_id for video_id in ids if video_id not in units]
    if unknown:
        raise InputError(
            f"{len(unknown)} of the {len(ids)} published training videos are not in this data set",
            root,
            "published subsets need the real THUMOS14",
        )
    return ids


def read_published_subsets(path: str | Path = PUBLISHED_CSV) -> dict[tuple[str, float, int], tuple[str, ...]]:
    """Return (model, percent, run) -> sorted training video ids of the published splits."""
    found: dict[tuple[str, float, int], list[str]] = {}
    for line, row in read_csv_rows(
        path, ("model", "train_percent", "run", "video_id"), remedy="restore results/published"
    ):
        try:
            key = (row["model"], float(row["train_percent"]), int(row["run"]))
        except ValueError as error:
            raise InputError(
                f"not a published subset ({error})", f"{path}, line {line}", "restore results/published"
            ) from None
        found.setdefault(key, []).append(row["video_id"])
    return {key: tuple(sorted(ids)) for key, ids in found.items()}
