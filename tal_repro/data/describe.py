"""What a folder of features and a file of annotations are: a definition that fits them, their facts, their problems.

`tal-repro data describe` prints it. Guesses are made from headers alone, and each is said; the rest is asked for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tal_repro.annotations import Document, Problem, Source, read_document
from tal_repro.annotations.problems import MAX_SECONDS
from tal_repro.data.annotations import read_dataset
from tal_repro.data.dataset import DataSet
from tal_repro.data.definition import ENDINGS, Axes, Definition, FileType
from tal_repro.data.feature_formats import read_shape, video_ids
from tal_repro.data.layouts import Layout
from tal_repro.data.rate_guess import guess_rate
from tal_repro.data.set_checks import set_problems, shapes_of, usual_width
from tal_repro.errors import InputError
from tal_repro.untrusted import is_number, short

LOOKED_AT = 64  # files, for a guess
NEAR = 0.02  # of a whole number: it is meant
ALIKE = 5 * NEAR  # lengths are whole steps: those of short videos scatter so much around the true stride
ONE_FILE = (
    "give the folder of feature files; a saved dictionary of arrays, where you trust it (a pickle runs code): "
    "python -c \"import numpy; numpy.savez('OUT.npz', **numpy.load('IN', allow_pickle=True).item())\""
)
# subsets (in small letters) -> which of them trains, which tests; the first that is there whole
CONVENTIONS = (("training", "validation"), ("validation", "test"), ("train", "test"), ("train", "validation"),
               ("train", "val"), ("training", "testing"), ("val", "test"))  # fmt: skip


@dataclass(frozen=True)
class Description:
    """A definition, the data set that it makes, its problems, and what was guessed (key of the definition -> how)."""

    definition: Definition
    dataset: DataSet
    problems: tuple[Problem, ...]
    guesses: Mapping[str, str]
    dim: int

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)


@dataclass(frozen=True)
class Given:
    """What the caller says of the data, so that it is not guessed."""

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    key: str = ""
    axes: Axes | None = None
    fps: float | None = None
    stride_frames: float | None = None
    steps_per_second: float | None = None
    clip_frames: float | None = None
    videos: Path | None = None  # table of them
    labels: str = ""


def describe(annotations: Path, features: Path, out: Path, given: Given, hashed: bool = False) -> Description:
    """Look at annotations and features; `out` is where the definition will lie, `hashed` reads every feature value.

    Raises InputError, with what to say, where splits, type or step of the features cannot be told.
    """
    videos = None if given.videos is None else given.videos.absolute()
    source = Source(annotations.absolute(), videos, given.labels, fps=given.fps)
    document = read_document(source)
    guesses: dict[str, str] = {}
    train, test = _splits(document, given, guesses)
    definition = Definition(
        path=out.absolute(), name=_name(out), annotations=source, train=train, test=test,
        features=features.absolute(), file_type=_file_type(features), key=given.key, axes=given.axes or "TC",
        stride_frames=given.stride_frames or 1.0, steps_per_second=None, clip_frames=given.clip_frames,
    )  # fmt: skip
    layout = Layout.of(definition)
    ids = [video_id for video_id in video_ids(layout) if video_id in document.entries]
    if not ids:
        what = "no feature file is named after an annotated video"
        named = f"annotated are {short(next(iter(document.entries), ''))}, ..."
        raise InputError(what, features, f"rename them: {named}")
    every = shapes_of(layout, ids)
    shapes = {key: every[key] for key in [key for key in ids if key in every][:: max(len(every) // LOOKED_AT, 1)]}
    if not shapes:
        read_shape(layout, ids[0])  # says what is wrong with it
    if given.axes is None:
        definition, shapes = _axes(definition, shapes, guesses)
    definition = _step(definition, document, shapes, given, guesses)
    layout = Layout.of(definition)
    time = 1 if definition.axes == "CT" and given.axes is None else 0  # of the shapes, read before the axes were told
    dataset, problems = read_dataset(layout, document, {key: shape[time] for key, shape in every.items()})
    del document
    widths = {key: shape[1 - time] for key, shape in every.items()}
    problems += set_problems(dataset, layout, widths, hashed)
    return Description(definition, dataset, tuple(problems), guesses, usual_width(widths))


def _name(out: Path) -> str:
    kept = "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "._-" else "-" for letter in out.stem)
    return kept.strip("._-")[:40] or "my-data"


def _splits(document: Document, given: Given, guesses: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the subsets that train and test: the given ones, or those of a convention."""
    if given.train and given.test:
        return given.train, given.test
    names = {name.lower(): name for name in document.subset_names}
    for train, test in CONVENTIONS:
        if train in names and test in names:
            guesses["train"] = f"by convention; the subsets are {', '.join(map(short, names.values()))}"
            return (names[train],), (names[test],)
    listed = ", ".join(map(short, names.values())) or "none"
    remedy = (
        "say which: --train NAME --test NAME; where no subset is named, give a table of videos with the columns "
        "video,subset: --set videos=FILE.csv"
    )
    raise InputError(f"which subset trains and which tests cannot be told (there are: {listed})", document.path, remedy)


def _file_type(features: Path) -> FileType:
    """Return the type of features: by a file's ending, or by that of most files in a folder."""
    kinds: dict[str, FileType] = {ending: kind for kind, endings in ENDINGS.items() for ending in endings}
    if features.is_file():
        kind = kinds.get(features.suffix.lower())
        if kind in ("hdf5", "npz", "pt"):
            return kind
        raise InputError("one file of all videos, neither .h5, .npz nor .pt", features, ONE_FILE)
    try:
        with os.scandir(features) as entries:
            counts = Counter(kinds.get(Path(entry.name).suffix.lower()) for entry in entries)
    except OSError as error:
        raise InputError(f"cannot be listed ({error.strerror})", features, "give the folder of feature files") from None
    counts.pop(None, None)
    if not counts:
        endings = ", ".join(kinds)
        raise InputError("no feature files", features, f"put files of these endings there: {endings}")
    return counts.most_common(1)[0][0] or "npy"


def _axes(
    definition: Definition, shapes: dict[str, tuple[int, int]], guesses: dict[str, str]
) -> tuple[Definition, dict[str, tuple[int, int]]]:
    """Tell which axis is time: the one that differs from video to video."""
    first, second = (Counter(shape[axis] for shape in shapes.values()) for axis in (0, 1))
    usual = second.most_common(1)[0][1]
    if len(first) == 1 and usual <= len(shapes) / 2:
        channels = next(iter(shapes.values()))[0]
        guesses["axes"] = f"the first axis has {channels} entries in every file, the second differs"
        return replace(definition, axes="CT"), {key: (t, c) for key, (c, t) in shapes.items()}
    return definition, shapes


def _step(
    definition: Definition, document: Document, shapes: Mapping[str, tuple[int, int]], given: Given,
    guesses: dict[str, str],
) -> Definition:  # fmt: skip
    """Tell the time between two feature steps from lengths and durations, where it was not given."""
    if given.stride_frames or given.steps_per_second:
        return replace(definition, stride_frames=given.stride_frames, steps_per_second=given.steps_per_second)
    rows = [(steps, *_rates(document.entries[key], given)) for key, (steps, _) in shapes.items()]
    known = [(steps, seconds, fps) for steps, seconds, fps in rows if seconds]
    if not known:
        remedy = (
            "give a table of videos with the columns video,duration,fps: --set videos=FILE.csv; or say "
            "--set steps_per_second=N, or stride_frames=N and fps=N: durations are then those of the features"
        )
        raise InputError("no duration is stated, so that the feature step cannot be told", document.path, remedy)
    if all(fps for _, _, fps in known):
        clip = given.clip_frames or 0.0
        stride = _typical([(seconds * fps - clip) / steps for steps, seconds, fps in known if fps])
        if stride is not None:
            guesses["stride_frames"] = f"from the lengths, durations and fps of {len(known)} videos"
            return replace(definition, stride_frames=max(stride, 1.0))
    rate = guess_rate([steps for steps, _, _ in known], [seconds for _, seconds, _ in known])
    if rate is None:
        what = f"the steps of {len(known)} files have no stride in common"
        raise InputError(
            what, definition.features, "say --set stride_frames=N or steps_per_second=N; check durations and fps"
        )
    guesses["steps_per_second"] = (
        f"fitted to {len(known)} videos; say stride_frames and fps instead, where you know them"
    )
    return replace(definition, stride_frames=None, steps_per_second=rate)


def _rates(entry: Any, given: Given) -> tuple[float | None, float | None]:
    """Return an entry's seconds and frames a second, as far as it states them."""
    entry = entry if isinstance(entry, dict) else {}
    seconds, fps = entry.get("duration", entry.get("duration_second")), entry.get("fps", given.fps)
    numbers = [float(n) if is_number(n) and 0 < n <= MAX_SECONDS else None for n in (seconds, fps)]
    return numbers[0], numbers[1]


def _typical(values: list[float]) -> float | None:
    """Return the number that most values are near, whole where it is near a whole one; None where there is none."""
    middle = float(np.median(values))
    alike = np.mean(np.abs(np.array(values) / middle - 1) < ALIKE)
    if not alike > 0.5:  # nor where it is NaN
        return None
    for digits in (0, 1, 2):
        if (near := round(middle, digits)) and abs(middle / near - 1) < NEAR:
            return float(near)
    return float(f"{middle:.3g}")
