"""What patched upstream code and our own engine call while they run: events as JSON lines, and the wanted subset.

This path is frozen into the patches. Standard library only; every function is a no-op unless the kit drives the
process, which it says by environment variables.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TextIO, TypeVar

EVENTS_VARIABLE = "TAL_REPRO_EVENTS"  # path of the JSON-lines file to append to
SUBSET_VARIABLE = "TAL_REPRO_SUBSET"  # path of a subset file {unit, policy, percent, seed, ids}
DETECTIONS_VARIABLE = "TAL_REPRO_DETECTIONS"  # folder for the detections of each evaluation, one CSV file each
SETTINGS_VARIABLE = "TAL_REPRO_SETTINGS"  # JSON of what the scripts' own configuration cannot be told
SLICE_MARK = "_window_"  # TadTR names a slice <video>_window_<first step>_<last step>

T = TypeVar("T")
_sums: dict[str, Any] = {}
_counts: dict[str, int] = {}

KINDS = ("run", "subset", "epoch", "train", "eval", "checkpoint", "iteration")


def event(kind: str, phase: str, index: int | None = None, values: Mapping[str, Any] | None = None) -> None:
    """Record that `kind` (run, epoch, train, eval, checkpoint, iteration) is at its `phase` (start, end)."""
    stream = _events()
    if stream is None:
        return
    line: dict[str, Any] = {"time": time.time(), "kind": kind, "phase": phase}
    if index is not None:
        line["index"] = index
    if values:
        line["values"] = {key: _number(value) for key, value in values.items()}
    stream.write(json.dumps(line) + "\n")
    # Iterations come by the thousand: they ride along with the next phase event instead of costing a write each.
    if kind != "iteration":
        stream.flush()


def metrics(index: int, values: Mapping[str, Any], weights: str = "") -> None:
    """Record the losses or mAP values of epoch `index`.

    `weights` ("raw" or "ema") tells the evaluations of an epoch apart where the authors' loop makes several.
    """
    event("epoch", "metrics", index, {**values, "weights": weights} if weights else values)


def add_losses(losses: Mapping[str, Any]) -> None:
    """Add one iteration's losses (0-d tensors) to the epoch's mean, without waiting for a GPU."""
    if _events() is None:
        return
    for name, value in losses.items():
        plain = value.detach() if hasattr(value, "detach") else value
        _sums[name] = _sums[name] + plain if name in _sums else plain
        _counts[name] = _counts.get(name, 0) + 1


def end_losses(index: int) -> None:
    """Record the mean of the losses added since the last call as those of epoch `index`."""
    means = {name: _number(total) / _counts[name] for name, total in _sums.items()}
    _sums.clear()
    _counts.clear()
    if means:
        metrics(index, means)


def keep(unit_id: str) -> bool:
    """Tell whether a training video or slice (by its own id or its video's) belongs to the run's subset.

    Always true when the kit is not driving.
    """
    wanted = _subset()
    return wanted is None or unit_id in wanted or unit_id.partition(SLICE_MARK)[0] in wanted


def restrict(units: Iterable[T], name_of: Callable[[T], str] = str) -> list[T]:
    """Return the training units that belong to the run's subset, in their order, and record their ids.

    Raises ValueError naming a wanted id that is not among the units: a run never trains on less than it says.
    """
    everything = list(units)
    wanted = _subset()
    if wanted is None:
        return everything
    kept = [unit for unit in everything if keep(name_of(unit))]
    used = [name_of(unit) for unit in kept]
    absent = sorted(wanted.difference(used, (name.partition(SLICE_MARK)[0] for name in used)))
    if absent:
        what = "units of the subset are not in the training data as upstream reads it, the first:"
        raise ValueError(f"{len(absent)} of {len(wanted)} {what} {absent[0]}")
    event("subset", "used", values={"ids": used})
    return kept


def detections(index: int, columns: Mapping[str, Sequence[Any]], weights: str = "") -> None:
    """Write the detections of epoch `index` (columns video_id, start_s, end_s, label, score).

    Three upstreams call every evaluation -1: those are numbered in their order. `weights`: as `metrics` was given.
    """
    folder = os.environ.get(DETECTIONS_VARIABLE)
    if not folder:
        return
    if index < 0:
        index = len([name for name in os.listdir(folder) if name.endswith(".csv")])  # noqa: PTH208
    names = ("video_id", "start_s", "end_s", "label", "score")
    path = os.path.join(folder, f"epoch_{index:04d}{weights and '-' + weights}.csv")  # noqa: PTH118
    with open(path + ".part", "w", encoding="utf-8", newline="") as stream:  # noqa: PTH123
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        given = {name: columns[name] for name in names}
        # Single precision in full: its shortest decimal is another number, on the other side of a tIoU at times.
        given |= {name: [float(value) for value in columns[name]] for name in ("start_s", "end_s", "score")}
        writer.writerows(zip(*given.values(), strict=True))
    os.replace(path + ".part", path)  # noqa: PTH105


def setting(name: str, default: T) -> T:
    """Return what a run's recipe says of `name`, where the authors' configuration has no word for it; else `default`.

    Give the authors' own value as the default: it holds where the kit is not driving.
    """
    told: dict[str, T] = json.loads(os.environ.get(SETTINGS_VARIABLE) or "{}")
    return told.get(name, default)


def reset() -> None:
    """Forget the files read from the environment (for tests, and after a fork)."""
    if _events.cache_info().currsize and (stream := _events()) is not None:
        stream.close()
    _events.cache_clear()
    _subset.cache_clear()
    _sums.clear()
    _counts.clear()


@cache
def _events() -> TextIO | None:
    path = os.environ.get(EVENTS_VARIABLE)
    return open(path, "a", encoding="utf-8") if path else None  # noqa: PTH123 (lives as long as the process)


@cache
def _subset() -> frozenset[str] | None:
    path = os.environ.get(SUBSET_VARIABLE)
    if not path:
        return None
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123
        return frozenset(json.load(stream)["ids"])


def _number(value: Any) -> Any:
    """Turn anything with `.tolist()` (a tensor, an array, a numpy scalar) into plain numbers."""
    if isinstance(value, Mapping):
        return {key: _number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_number(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
