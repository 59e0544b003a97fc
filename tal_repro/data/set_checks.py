"""What would make a training on a defined set wrong or pointless: for `data describe`, `data verify`, `study new`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from tal_repro.annotations import Problem
from tal_repro.data.dataset import DataSet
from tal_repro.data.endings import without_features
from tal_repro.data.feature_formats import read_shape
from tal_repro.data.fingerprint import in_threads
from tal_repro.data.geometry import check_geometry
from tal_repro.data.layouts import Layout, find_layout
from tal_repro.data.state import hash_values
from tal_repro.data.store import open_layout
from tal_repro.errors import InputError
from tal_repro.untrusted import refuse_all, short


def require_sound(dataset: DataSet) -> None:
    """Raise InputError that names what is wrong with a defined set; only headers of its files are read."""
    layout = find_layout(dataset.root)
    ids = [video.id for video in dataset.videos.values() if video.has_features]
    widths = {video_id: width for video_id, (_, width) in shapes_of(layout, ids).items()}
    errors = [problem for problem in set_problems(dataset, layout, widths) if problem.severity == "error"]
    if errors:
        refuse_all((f"{error.where}: {error.what}" for error in errors), dataset.root, errors[0].remedy)


def shapes_of(layout: Layout, video_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return (T, C) of each file by its header; one that cannot be read is left out, and told with its length."""

    def shape(video_id: str) -> tuple[int, int] | None:
        try:
            return read_shape(layout, video_id)
        except InputError:
            return None

    shapes = in_threads(lambda key: (key, shape(key)), list(video_ids))
    return {video_id: shape for video_id, shape in shapes if shape is not None}


def usual_width(widths: Mapping[str, int]) -> int:
    """Return the channels that most files have."""
    return Counter(widths.values()).most_common(1)[0][0]


def set_problems(
    dataset: DataSet, layout: Layout, widths: Mapping[str, int], hashed: bool = False
) -> Iterator[Problem]:
    """Yield every problem with its remedy; `hashed` reads every value, to find one video under two ids."""
    lengths = {video.id: video.feature_length for video in dataset.videos.values() if video.has_features}
    dim = usual_width(widths) if widths else 0
    digests = {}
    if hashed:
        store = open_layout(layout)
        ids = [key for key in lengths if widths.get(key) == dim]
        digests = dict(zip(ids, in_threads(lambda key: hash_values(store.values(key)), ids), strict=True))
    yield from check_geometry(dataset, lengths, widths=widths, digests=digests, layout=layout)
    for video_id, width in widths.items():
        if width != dim:
            what = f"{width} channels, most videos have {dim}: features of another extractor"
            yield Problem("error", str(layout.feature_file(video_id)), video_id, what, "extract it with the others'")
    used = [*dataset.train, *dataset.test]
    if dataset.videos and not lengths:
        error = without_features(layout, dataset.videos)
        yield Problem("error", str(layout.feature_folder), "features", error.what, error.remedy or "")
    elif absent := [video.id for video in used if not video.has_features]:
        what = f"{len(absent)} annotated videos have no features, the first: {absent[0]}"
        remedy = "extract them, or leave the videos out of a copy"
        yield Problem("error", str(layout.feature_folder), "features", what, remedy)
    yield from split_problems(dataset, layout)


def split_problems(dataset: DataSet, layout: Layout) -> Iterator[Problem]:
    """Yield what is wrong with who is trained and tested on."""
    file = str(layout.annotation_file)
    for side, videos in (("train", dataset.train), ("test", dataset.test)):
        if not videos:
            yield Problem("error", file, side, f"no {side} video holds an action", "see [splits]")
    if len(dataset.train) == 1:
        what = "one training video: nothing can be learnt of how videos differ"
        yield Problem("error", file, "train", what, "annotate more, or cut it into several")
    trained = {label for video in dataset.train for label in video.labels.tolist()}
    tested = {label for video in dataset.test for label in video.labels.tolist()}
    for label in sorted(tested - trained):
        what = f"{short(dataset.classes[label])} is tested and never trained: its AP will be 0"
        yield Problem("error", file, "classes", what, "train on a video of it, or leave the class out of a copy")
