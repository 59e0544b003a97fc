"""Importing upstream's packages side by side: each has a top package called `libs`, and wants modules nobody built."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch


@contextmanager
def checkout(folder: Path, packages: tuple[str, ...], stubs: dict[str, types.ModuleType]) -> Iterator[None]:
    """Import from `folder` inside the block: `stubs` stand in, and modules of `packages` are forgotten afterwards."""
    if not any(folder.glob("*.py")):
        raise SystemExit(
            f"{folder} holds no source: run `make submodules`, or give --upstream DIR with the four checkouts"
        )
    saved = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update(stubs)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n.split(".")[0] in packages]:
            del sys.modules[name]
        for name, module in saved.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def nms_stub() -> types.ModuleType:
    """Return a module `nms_1d_cpu`: upstream's compiled extension if it is installed, else its soft-NMS in numpy."""
    try:
        return importlib.import_module("nms_1d_cpu")
    except ImportError:
        module: Any = types.ModuleType("nms_1d_cpu")
        module.softnms = _soft_nms
        return module  # type: ignore[no-any-return]


def _soft_nms(
    segs: torch.Tensor, scores: torch.Tensor, dets: torch.Tensor, iou_threshold: float, sigma: float, min_score: float,
    method: int,
) -> torch.Tensor:  # fmt: skip
    """Select the best, decay the rest by exp(-iou^2 / sigma), drop what falls below min_score; Gaussian only."""
    assert method == 2, "only the Gaussian form is used on THUMOS14"
    rows = np.concatenate([segs.numpy(), scores.numpy()[:, None]], axis=1).astype(np.float32)
    order, out = np.arange(len(rows)), dets.numpy()
    done, alive = 0, len(rows)
    while done < alive:
        best = done + int(rows[done:alive, 2].argmax())
        rows[[done, best]], order[[done, best]] = rows[[best, done]], order[[best, done]]
        out[done] = rows[done]
        start, end, _ = rows[done]
        rest = rows[done + 1 : alive]
        shared = np.maximum(np.float32(0), np.minimum(end, rest[:, 1]) - np.maximum(start, rest[:, 0]))
        tiny = np.float32(1e-6)
        iou = shared / ((end - start + tiny) + (rest[:, 1] - rest[:, 0] + tiny) - shared)
        rest[:, 2] *= np.exp(-(iou * iou) / np.float32(sigma))
        done += 1
        place = done
        while place < alive:  # the last one takes the place of a dropped one
            low = np.flatnonzero(rows[place:alive, 2] < np.float32(min_score))
            if not len(low):
                break
            place += int(low[0])
            alive -= 1
            rows[place], order[place] = rows[alive], order[alive]
    return torch.from_numpy(order[:alive].copy())
