"""The 49 published training splits of the sibling studies, read from the published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.published.load import FOLDER, load_table
from tal_repro.published.schema import SCHEMAS
from tal_repro.spec import Unit

PUBLISHED_CSV = FOLDER / "sweep_subsets.csv"
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
    splits: dict[tuple[str, float, int], list[str]] = {}
    for row in load_table(Path(path), SCHEMAS["sweep_subsets"]).rows():
        splits.setdefault((row["model"], row["train_percent"], row["run"]), []).append(row["video_id"])
    return {key: tuple(sorted(ids)) for key, ids in splits.items()}
