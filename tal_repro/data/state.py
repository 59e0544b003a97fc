"""The state of a data set: what every video is, as digests. A run's data digest is made of the videos that it reads.

Values count, not files: features packed or stored otherwise are the same. A file is read again only where its size,
times or inode changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tal_repro.data.dataset import CLIP_FRAMES, DataSet, Video
from tal_repro.data.definition import read_definition
from tal_repro.data.fingerprint import in_threads
from tal_repro.data.store import FeatureStore
from tal_repro.errors import InputError
from tal_repro.files import is_own_there, write_whole
from tal_repro.untrusted import read_json_object

CACHE_SCHEMA = "tal-repro/feature-digests/1"
STATE_SCHEMA = "tal-repro/data-state/1"
SYNTHETIC_FILE = "synthetic.json"
ROW_DIGITS = 16  # of a part of a video
BYTES_AT_ONCE = 1 << 24

Stat = tuple[int, int, int, int]  # size, modified (ns), changed (ns), inode
Progress = Callable[[int, int], None]


class VideoState(NamedTuple):
    """Digests of what is learnt or scored of a video, of its rates and duration, and of its feature values."""

    annotations: str
    fps: str  # of frames and of feature steps
    duration: str
    features: str


@dataclass(frozen=True)
class DataState:
    """A data set in one layout as it is now. `generator`: names a synthetic set that is as it was made.

    `rates` (video -> frames and feature steps a second) and `stated` (what its definition says) are in no digest: they
    name what changed, where digests tell that something did.
    """

    layout: str
    name: str
    annotation_hash: str
    classes: tuple[str, ...]
    dim: int
    videos: Mapping[str, VideoState]
    generator: str = ""
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    stated: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return the digest of the whole set (hex)."""
        return self.digest_of(self.videos)

    def digest_of(self, video_ids: Iterable[str], facts: Sequence[Any] = ()) -> str:
        """Return the digest of some videos and of other facts that decide a run's numbers (hex).

        A synthetic set that is as it was made is named by its generator, not by its values, whose last bits depend on
        the machine.
        """
        rows = sorted((key, *(self.videos[key] if not self.generator else ())) for key in set(video_ids))
        text = json.dumps([self.layout, self.classes, self.generator, list(facts), rows], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": STATE_SCHEMA, "layout": self.layout, "digest": self.digest, "generator": self.generator,
            "classes": list(self.classes), "stated": dict(self.stated),
            "videos": {key: [*row, *self.rates.get(key, ())] for key, row in self.videos.items()},
        }  # fmt: skip


def read_state(
    dataset: DataSet, store: FeatureStore, cache: Path | None = None, progress: Progress | None = None
) -> DataState:
    """Return the state of a data set; read the features of files that changed since `cache` was written."""
    with_features = [video for video in dataset.videos.values() if video.id in store.video_ids_set]
    hashed = _feature_digests(store, [video.id for video in with_features], cache, progress)
    videos = {
        video.id: _video_state(video, dataset, hashed.get(video.id, "no features"))
        for video in sorted(dataset.videos.values(), key=lambda video: video.id)
    }
    state = DataState(
        dataset.layout, dataset.name, dataset.annotation_hash, dataset.classes, store.dim, videos,
        rates={key: (video.fps, video.feature_fps) for key, video in dataset.videos.items()},
        stated=read_definition(dataset.root).stated if dataset.defined else {},
    )  # fmt: skip
    return replace(state, generator=_pristine(dataset, state))


def _annotations(video: Video, dataset: DataSet) -> str:
    actions = [
        [dataset.classes[label], round(1000 * start), round(1000 * end)]
        for label, (start, end) in zip(video.labels.tolist(), video.segments_s.tolist(), strict=True)
    ]
    ambiguous = [[round(1000 * bound) for bound in segment] for segment in video.ambiguous_s.tolist()]
    return _hash([video.subset, sorted(actions), sorted(ambiguous) if video.subset == "test" else []])


def _video_state(video: Video, dataset: DataSet, features: str) -> VideoState:
    rates: list[Any] = [video.fps, video.feature_fps, video.feature_stride_frames]
    if video.clip_frames != CLIP_FRAMES:
        rates.append(video.clip_frames)
    if dataset.defined and video.slice_stride_frames != video.feature_stride_frames:
        rates.append(["slices", video.slice_stride_frames])
    return VideoState(_annotations(video, dataset), _hash(rates), _hash(video.duration_s), features)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()[:ROW_DIGITS]


def _feature_digests(
    store: FeatureStore, video_ids: Sequence[str], cache: Path | None, progress: Progress | None
) -> dict[str, str]:
    known = _read_cache(cache, store.reading)
    stats = {path: _stat(path) for path in {store.file_of(key) for key in video_ids}}
    fresh = {str(path): list(stat) for path, stat in stats.items()}
    current = {path for path, stat in fresh.items() if known["files"].get(path) == stat}
    digests = {}
    for key in video_ids:
        place = str(store.file_of(key))
        if place in current and isinstance(digest := known["digests"].get(f"{place}\n{key}"), str):
            digests[key] = digest
    left = [key for key in video_ids if key not in digests]
    for key, digest in zip(left, in_threads(lambda key: hash_values(store.values(key)), left), strict=True):
        digests[key] = digest
        if progress:
            progress(len(digests) - len(video_ids) + len(left), len(left))
    if left and cache is not None:
        for path, stat in stats.items():  # a file that changed while it was read is not known
            if list(_stat(path)) != list(stat):
                raise InputError("changed while it was read", path, "let the copying end, then start again")
        content = {
            "schema": CACHE_SCHEMA, "reading": store.reading, "files": fresh,
            "digests": {f"{store.file_of(key)}\n{key}": digest for key, digest in digests.items()},
        }  # fmt: skip
        _write_cache(cache, content)
    return digests


def hash_values(values: np.ndarray) -> str:
    """Hash a [T, C] array by type, shape and values in row order (16 hex digits)."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    rows = max(1, BYTES_AT_ONCE // max(1, values.shape[1] * values.itemsize))
    for start in range(0, len(values), rows):
        digest.update(np.ascontiguousarray(values[start : start + rows]).data)
    return digest.hexdigest()[:ROW_DIGITS]


def _stat(path: Path) -> Stat:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path, "restore the file") from None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _read_cache(cache: Path | None, reading: str) -> dict[str, Any]:
    """Return what is known of files; nothing where the cache is missing, spoilt, or of values read otherwise."""
    empty: dict[str, Any] = {"files": {}, "digests": {}}
    if cache is None:
        return empty
    try:
        content = read_json_object(cache)
    except InputError:
        return empty
    whole = all(isinstance(content.get(name), dict) for name in empty) and content.get("reading", "") == reading
    return content if content.get("schema") == CACHE_SCHEMA and whole else empty


def _write_cache(cache: Path, content: Mapping[str, Any]) -> None:
    """Keep the digests where that can be done; else the next start reads the features once more."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_whole(cache, json.dumps(content, indent=0).encode(), durable=False)
    except OSError:
        return


def read_generator(dataset: DataSet) -> dict[str, Any]:
    """Return what a synthetic set says of how it was made; {} where nothing does. Raises InputError for a bad file."""
    path = dataset.root / SYNTHETIC_FILE
    again = "the set is then known by its values; or make it anew: tal-repro data synth"
    if not dataset.synthetic or not is_own_there(path, again):
        return {}
    return read_json_object(path, remedy=f"remove it: {again}")


def _pristine(dataset: DataSet, state: DataState) -> str:
    """Name the generator of a synthetic set whose every value is as it was made ("": it is none, or was altered)."""
    made = read_generator(dataset)
    digests = made.pop("digests", {})
    if not isinstance(digests, dict) or digests.get(dataset.layout) != state.digest:
        return ""
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:ROW_DIGITS]
