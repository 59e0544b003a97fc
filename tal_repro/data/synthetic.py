"""Make a synthetic THUMOS14 of any size in a folder: what `tal-repro data synth`, the demo and the tests run on."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from tal_repro.data.dataset import LayoutName
from tal_repro.data.synthetic_annotations import invent_videos
from tal_repro.data.synthetic_config import SyntheticConfig, SyntheticVideo, read_class_facts
from tal_repro.data.synthetic_features import World, feature_chunks, feature_steps, make_world
from tal_repro.data.synthetic_layouts import synthetic_layout, write_annotations, write_features
from tal_repro.data.workplace import require_room
from tal_repro.errors import InputError
from tal_repro.files import write_json
from tal_repro.untrusted import read_json_object

GENERATOR_VERSION = 1  # raised whenever the same configuration gives other data
NEW_SECONDS = 2.0  # a folder younger than that may be about to be locked
LEAST_STEPS = feature_steps(5, 24)  # of a video: none is shorter or has fewer frames a second

LayoutChoice = Literal["both", "actionformer", "tadtr", "annotations"]
Progress = Callable[[int, int], None]


def write_synthetic(
    out: str | Path,
    config: SyntheticConfig,
    layout: LayoutChoice = "both",
    progress: Progress | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a synthetic data set into a new or empty folder; a failure or interrupt leaves nothing there.

    Layout "annotations" writes both layouts without features. `progress(done, total)` is called after each video.
    `notes` (file name -> JSON value) lie in the folder from the moment that it appears.
    Same config, same bytes (features: on the same numpy and kind of processor; elsewhere equal to rounding).
    """
    target = Path(out)
    classes = tuple(fact.name for fact in read_class_facts(config.classes))
    annotations_only = layout == "annotations"
    names: list[LayoutName] = [layout] if layout in ("actionformer", "tadtr") else ["actionformer", "tadtr"]
    _check_target(target)
    if not annotations_only:  # the least possible first: inventing many videos takes a while
        _check_space(target, config, LEAST_STEPS * (config.train_videos + config.test_videos), names)
    videos = invent_videos(config)
    if not annotations_only:
        rows = sum(feature_steps(video.duration_s, video.fps) for video in videos)
        _check_space(target, config, rows, names)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear(target)
        building = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
        held = os.open(building, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"cannot be made ({error.strerror})", target, "choose a folder you may write to") from None
    try:
        _lock(held)
        _write_all(building, config, videos, classes, names, annotations_only, progress)
        _record_digests(building, [] if annotations_only else names)
        for name, value in (notes or {}).items():
            write_json(building / name, value)
        building.chmod(0o755)
        if target.exists():
            target.rmdir()  # empty: checked above; fails where somebody has just put a file there
        building.replace(target)
    except BaseException as error:
        shutil.rmtree(building, ignore_errors=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot be written ({error.strerror})", target, "free space, then run it again") from None
        raise
    finally:
        os.close(held)
    return target


def _prefix(target: Path) -> str:
    return f".{target.name}.tal-repro-synth-"


def _lock(descriptor: int) -> bool:
    """Lock a folder while its data set is built; where folders cannot be locked it is nobody's to clear away."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _clear(target: Path) -> None:
    """Remove what killed commands left of this data set: hidden folders that nobody holds."""
    for stale in target.parent.glob(f"{glob.escape(_prefix(target))}*"):
        with contextlib.suppress(OSError):  # somebody else's
            descriptor = os.open(stale, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if time.time() - os.fstat(descriptor).st_mtime > NEW_SECONDS and _lock(descriptor):
                    shutil.rmtree(stale, ignore_errors=True)
            finally:
                os.close(descriptor)


def _write_all(
    root: Path,
    config: SyntheticConfig,
    videos: list[SyntheticVideo],
    classes: tuple[str, ...],
    names: list[LayoutName],
    annotations_only: bool,
    progress: Progress | None,
) -> None:
    version = f"synthetic {GENERATOR_VERSION}, seed {config.seed}, difficulty {config.difficulty:g}"
    layouts = [synthetic_layout(root, name) for name in names]
    for layout in layouts:
        write_annotations(layout, videos, classes, version)
    settings = {**asdict(config), "seconds": list(config.seconds)}
    write_json(root / "synthetic.json", {"synthetic": True, "generator": GENERATOR_VERSION, **settings})
    if annotations_only:
        return
    world: World = make_world(config, classes)
    for layout in layouts:
        layout.feature_folder.mkdir(parents=True)
    for done, video in enumerate(videos, start=1):
        write_features(layouts, video, feature_chunks(config, world, video))
        if progress:
            progress(done, len(videos))


def _record_digests(root: Path, names: list[LayoutName]) -> None:
    """Note what the values are, so that a set that is as it was made is known by its generator on any machine."""
    from tal_repro.data.annotations import load_dataset
    from tal_repro.data.state import read_state
    from tal_repro.data.store import open_features

    digests = {name: read_state(load_dataset(root, name), open_features(root, name)).digest for name in names}
    path = root / "synthetic.json"
    write_json(path, {**read_json_object(path), "digests": digests})


def _check_target(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InputError("is not a folder", target, "name a new folder")
    if target.is_dir() and not os.access(target, os.R_OK | os.W_OK | os.X_OK):
        raise InputError("the folder may not be entered", target, "name a new folder")
    if target.is_dir() and any(os.scandir(target)):
        raise InputError("the folder is not empty", target, "name a new folder; nothing is overwritten")


def _check_space(target: Path, config: SyntheticConfig, rows: int, names: list[LayoutName]) -> None:
    """Refuse before the first byte what will not fit on the disk: `rows` features in each layout."""
    needed = int(rows * config.feature_dim * 4 * sum({"actionformer": 1.0, "tadtr": 0.5}[name] for name in names))
    require_room(target, needed, "use fewer or shorter videos, a smaller --feature-dim, or one --layout")
