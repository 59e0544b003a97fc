"""Small samples told by name: what would train nothing is refused, what cannot be scored is flagged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tal_repro.data import DataSet, FeatureStore, Video
from tal_repro.errors import InputError


def check_units(units: int, batch_size: int, unit: str) -> None:
    """Raise InputError when the units fill no batch: the rest is dropped, so nothing would be trained."""
    if units >= batch_size:
        return
    kinds = f"training {unit}" + ("" if units == 1 else "s")
    raise InputError(
        f"{units} {kinds} for batches of {batch_size}: zero optimizer steps, the model would stay untrained",
        "subset",
        f"take more {unit}s ({batch_size} at least: a larger percentage, a larger data set), or a smaller batch_size",
    )


def check_test_set(instances: int, protocol: str) -> None:
    """Raise InputError when nothing can be scored: every mAP would be 0/0."""
    if instances == 0:
        raise InputError(
            f"no test instance counts under protocol {protocol}",
            "data",
            "use a data set with annotated test videos: tal-repro data verify DIR",
        )


def check_features(videos: Iterable[Video]) -> None:
    """Raise InputError naming annotated videos that have no feature file."""
    absent = [video.id for video in videos if not video.has_features]
    if absent:
        listed = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise InputError(f"no feature file for {listed}", "data", "list all problems: tal-repro data verify DIR")


def check_values(store: FeatureStore, video_ids: Iterable[str]) -> None:
    """Raise InputError for features that are not finite, before anything is trained on or scored with them.

    The authors' code would miss the actions of such a video without a word, and no model looks at values on a GPU.
    """
    for video_id in sorted(set(video_ids)):
        store.read(video_id)


def check_labels(dataset: DataSet, num_classes: int) -> None:
    """Raise InputError unless the model has an output for every class."""
    if len(dataset.classes) != num_classes:
        raise InputError(
            f"{len(dataset.classes)} classes, but the recipe has num_classes = {num_classes}",
            dataset.root,
            f"set num_classes = {len(dataset.classes)}",
        )


def invalid_flags(missing_classes: Sequence[str], detections: int) -> list[str]:
    """Return the reasons why a mAP must not be used, by name (none: it may)."""
    flags = []
    if missing_classes:
        flags.append(f"class-without-test-instances: {', '.join(missing_classes)}")
    if detections == 0:
        flags.append("no-detections")
    return flags
