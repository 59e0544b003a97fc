"""What patched upstream code and our own engine call while they run: events as JSON lines, and the wanted subset.

This path is frozen into the patches. Standard library only; every function is a no-op unless the kit drives the
process, which it says by two environment variables.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TextIO

EVENTS_VARIABLE = "TAL_REPRO_EVENTS"  # path of the JSON-lines file to append to
SUBSET_VARIABLE = "TAL_REPRO_SUBSET"  # path of a subset file {unit, policy, percent, seed, ids}

KINDS = ("run", "epoch", "train", "eval", "checkpoint", "iteration")


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


def metrics(index: int, values: Mapping[str, Any]) -> None:
    """Record the losses or mAP values of epoch `index`."""
    event("epoch", "metrics", index, values)


def keep(unit_id: str) -> bool:
    """Tell whether a training video or slice belongs to the run's subset (always, when the kit is not driving)."""
    wanted = _subset()
    return wanted is None or unit_id in wanted


def kept(unit_ids: Iterable[str]) -> list[str]:
    """Return the ids that belong to the run's subset, in their order."""
    return [unit_id for unit_id in unit_ids if keep(unit_id)]


def reset() -> None:
    """Forget the files read from the environment (for tests, and after a fork)."""
    if _events.cache_info().currsize and (stream := _events()) is not None:
        stream.close()
    _events.cache_clear()
    _subset.cache_clear()


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
    """Turn anything with `.item()` (a 0-d tensor or numpy scalar) into a plain number."""
    if isinstance(value, Mapping):
        return {key: _number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_number(item) for item in value]
    return value.item() if hasattr(value, "item") else value
