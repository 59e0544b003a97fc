"""Draw the training units of a run: which videos or slices, under which policy. A subset file replays a draw."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tal_repro.data.dataset import DataSet
from tal_repro.data.subset_file import Subset
from tal_repro.data.windows import DEFAULT, Slicing, training_windows
from tal_repro.errors import InputError
from tal_repro.published.load import FOLDER, load_table
from tal_repro.published.schema import SCHEMAS
from tal_repro.spec import Policy, Unit, check_percent

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


# Of policy all-classes: 10 % of THUMOS14's videos takes about 10^5 draws. CELLS bounds the memory of one batch.
MOST_DRAWS, CELLS = 5_000_000, 2_000_000
_POLICY_STREAM = {"uniform": 1, "all-classes": 2, "stratified": 3, "nested": 4}

Membership = npt.NDArray[np.bool_]  # [units, classes]


def training_units(dataset: DataSet, unit: Unit, slicing: Slicing = DEFAULT) -> dict[str, list[int]]:
    """Return unit id -> the class index of each action in it, sorted by id; units without action are left out."""
    if unit == "video":
        return {video.id: video.labels.tolist() for video in dataset.train}
    return _slices(dataset, slicing)


@lru_cache(maxsize=2)  # a sweep draws many subsets of one data set; a DataSet is never changed
def _slices(dataset: DataSet, slicing: Slicing) -> dict[str, list[int]]:
    return {window.slice_id: window.labels.tolist() for window in training_windows(dataset, slicing)}


def units_at(percent: float, total: int) -> int:
    """Return how many of `total` units a percentage means: rounded to the nearest, halves up, exactly."""
    return int((Decimal(str(percent)) * total / 100).to_integral_value(ROUND_HALF_UP))


def draw_subset(
    dataset: DataSet,
    unit: Unit,
    policy: Policy,
    percent: float,
    seed: int,
    *,
    model: str | None = None,
    slicing: Slicing = DEFAULT,
    published_csv: str | Path = PUBLISHED_CSV,
) -> Subset:
    """Draw the training units of a run; the same arguments and annotations give the same ids.

    uniform: without looking at classes (the paper). all-classes: redrawn until every class is there (its
    siblings). stratified: every class in proportion. nested: of one seed, a smaller percentage is part of a
    larger. published: run number `seed` of the splits that ActionFormer or TemporalMaxer (`model`) was swept on.
    Raise InputError for zero units, or where a policy cannot be met.
    """
    check_percent(percent, "percent")
    if seed < 0:
        raise InputError(f"seed = {seed}", None, "use a whole number from 0")
    units = training_units(dataset, unit, slicing)
    if not units:
        raise InputError(f"no training {unit} holds an action", dataset.root, "check it: tal-repro data verify DIR")
    if policy == "published":
        ids = published_ids(units, unit, percent, seed, model or PUBLISHED_MODELS[0], Path(published_csv), dataset.root)
        return Subset(unit, policy, percent, seed, ids)
    number = units_at(percent, len(units))
    if number == 0:
        least = 50 / len(units)
        raise InputError(
            f"{percent:g} % of {len(units)} training {unit}s is none", dataset.root, f"use at least {least:.3g} %"
        )
    names = list(units)
    chosen = _draw(policy, list(units.values()), number, percent, seed, len(dataset.classes), dataset)
    return Subset(unit, policy, percent, seed, tuple(sorted(names[index] for index in chosen)))


def describe_subset(dataset: DataSet, subset: Subset) -> dict[str, int]:
    """Count what a subset holds: units, videos, instances (of slices: as cut) and classes."""
    units = training_units(dataset, subset.unit)
    unknown = [unit_id for unit_id in subset.ids if unit_id not in units]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(subset.ids)} training units are not in this data set, the first: {unknown[0]}",
            dataset.root,
            "draw the subset from the data set it is used with",
        )
    labels = [label for unit_id in subset.ids for label in units[unit_id]]
    videos = {unit_id.split("_window_")[0] for unit_id in subset.ids}
    return {
        "units": len(subset.ids),
        "videos": len(videos),
        "instances": len(labels),
        "classes": len(set(labels)),
        "units_total": len(units),
        "classes_total": len(dataset.classes),
    }


def _draw(
    policy: Policy,
    labels: list[list[int]],
    number: int,
    percent: float,
    seed: int,
    classes: int,
    dataset: DataSet,
) -> list[int]:
    stream = (seed, _POLICY_STREAM[policy])
    if policy == "nested":  # one order a seed, cut at the percentage
        return _first_of_shuffled(len(labels), number, np.random.default_rng(stream))
    rng = np.random.default_rng((*stream, round(percent * 1_000_000)))
    if policy == "uniform":
        return _first_of_shuffled(len(labels), number, rng)
    members = np.zeros((len(labels), classes), dtype=bool)
    for unit, unit_labels in enumerate(labels):
        members[unit, unit_labels] = True
    members = members[:, members.any(axis=0)]
    if policy == "stratified":
        return _stratified(members, number, rng)
    return _all_classes(members, number, rng, dataset)


def _first_of_shuffled(total: int, number: int, rng: np.random.Generator) -> list[int]:
    return [int(unit) for unit in rng.permutation(total)[:number]]


def _all_classes(members: Membership, number: int, rng: np.random.Generator, dataset: DataSet) -> list[int]:
    """Redraw uniformly until every class is there: exactly the uniform distribution over such subsets."""
    remedy = "raise the percentage, or use policy stratified"
    if number * int(members.sum(axis=1).max()) < members.shape[1]:
        raise InputError(f"{number} units cannot hold all {members.shape[1]} classes", dataset.root, remedy)
    weights = members.astype(np.float32)
    done, at_once = 0, 64
    while done < MOST_DRAWS:
        at_once = max(1, min(2 * at_once, CELLS // len(members)))
        done += at_once
        keys = rng.random((at_once, len(members)), dtype=np.float32)
        chosen = np.argpartition(keys, number - 1, axis=1)[:, :number]
        drawn = np.zeros((at_once, len(members)), dtype=np.float32)
        np.put_along_axis(drawn, chosen, np.float32(1), axis=1)
        complete = np.flatnonzero(((drawn @ weights) > 0).all(axis=1))
        if len(complete):
            return [int(unit) for unit in chosen[complete[0]]]
    raise InputError(
        f"none of {done} draws of {number} units held all {members.shape[1]} classes", dataset.root, remedy
    )


def _stratified(members: Membership, number: int, rng: np.random.Generator) -> list[int]:
    """Share units out over strata (a unit's rarest class): in proportion, each at least once where it fits."""
    rarest = np.where(members, members.sum(axis=0), len(members) + 1).argmin(axis=1)
    strata = [np.flatnonzero(rarest == stratum) for stratum in np.unique(rarest)]
    sizes = np.array([len(stratum) for stratum in strata])
    shares = sizes / sizes.sum() * number
    least = 1 if number >= len(strata) else 0
    parts = np.maximum(np.floor(shares).astype(int), least)
    ties = rng.random(len(strata)) * 1e-6
    while parts.sum() != number:
        step = 1 if parts.sum() < number else -1
        open_parts = parts < sizes if step > 0 else parts > least
        gain = np.where(open_parts, step * (shares - parts) + ties, -np.inf)
        parts[int(np.argmax(gain))] += step
    picks = [rng.permutation(stratum)[:part] for stratum, part in zip(strata, parts, strict=True)]
    return [int(index) for pick in picks for index in pick]
