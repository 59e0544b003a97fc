"""The training units that upstream is asked for, and those it used: they must be the same, or the run fails."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro.data.dataset import LayoutName
from tal_repro.engines.native.limits import check_features, check_units, check_values
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.data import Video
    from tal_repro.engines.adapter import RunContext

MARK = "_window_"  # TadTR names a slice <video>_window_<first step>_<last step>
NAMED = 5


def asked_units(run: RunContext, layout: LayoutName, batch_size: int) -> tuple[str, ...]:
    """Return the units upstream must use; raise InputError where they cannot be trained on.

    Of videos that TadTR cuts into slices, those without a single slice to train on are left out (and said).
    """
    from tal_repro.data import load_dataset, open_features
    from tal_repro.data.geometry import require_geometry
    from tal_repro.data.layouts import find_layout
    from tal_repro.data.subsets import training_units
    from tal_repro.data.windows import Slicing

    if run.data_dir is None:
        return ()
    dataset = load_dataset(run.data_dir, layout)
    if (kind := find_layout(run.data_dir, layout)).definition.file_type == "npz":
        remedy = "convert them: numpy.save('ID.npy', numpy.load('ID.npz')['feats'])"
        raise InputError("features are .npz, the authors' code reads .npy", kind.feature_folder, remedy)
    require_geometry(dataset, open_features(run.data_dir, layout), run.subset_ids)
    if not run.subset_ids:
        _read_all(run.data_dir, layout, [*dataset.train, *dataset.detected])
        return ()
    unit = run.spec.subset.unit if run.spec.subset else "video"
    slicing = Slicing.of(run.spec.recipe)
    known = training_units(dataset, unit, slicing)
    absent = [unit_id for unit_id in run.subset_ids if unit_id not in known]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(run.subset_ids)} training units are not in this data set, the first: {absent[0]}",
            run.data_dir,
            "draw the subset from the data set it is used with",
        )
    videos = {unit_id.partition(MARK)[0] for unit_id in run.subset_ids}
    used = [video for video in dataset.train if video.id in videos]
    check_features(used)
    if layout == "actionformer":
        check_features(dataset.detected)  # upstream would leave such videos out without a word
    _read_all(run.data_dir, layout, [*used, *dataset.detected])
    if layout == "tadtr" and unit == "video":
        return _with_slices(run.subset_ids, training_units(dataset, "slice", slicing), batch_size)
    check_units(len(run.subset_ids), batch_size, unit)
    return run.subset_ids


def _read_all(root: Path, layout: LayoutName, videos: Iterable[Video]) -> None:
    from tal_repro.data import open_features

    check_values(open_features(root, layout), [video.id for video in videos if video.has_features])


def write_asked(asked: Collection[str], run: RunContext, path: Path) -> Path | None:
    """Write what the hooks are to restrict training to, where that is not the run's own subset file."""
    if set(asked) == set(run.subset_ids):
        return None
    path.write_text(json.dumps({"ids": sorted(asked)}) + "\n", encoding="utf-8")
    return path


def check_used(asked: Collection[str], used: Collection[str]) -> None:
    """Raise InputError unless upstream trained on exactly the units asked for (or all the slices of those videos)."""
    if not asked:
        return
    names = set(used) if set(used) & set(asked) else {name.partition(MARK)[0] for name in used}
    missing, surplus = sorted(set(asked) - names), sorted(names - set(asked))
    if missing or surplus:
        parts = [f"{what} {', '.join(ids[:NAMED])}" for what, ids in (("without", missing), ("and on", surplus)) if ids]
        raise InputError(f"upstream trained {' '.join(parts)}", "subset", "see the log; the run does not count")


def _with_slices(videos: Collection[str], slices: Collection[str], batch_size: int) -> tuple[str, ...]:
    cut = [name.partition(MARK)[0] for name in slices]
    kept = tuple(video for video in videos if video in set(cut))
    if without := sorted(set(videos) - set(kept)):
        print(f"# no slice of these videos holds an action: {', '.join(without)}", flush=True)
    check_units(sum(name in set(kept) for name in cut), batch_size, "slice")
    return kept
