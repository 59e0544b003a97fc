"""The state of a run after an epoch, written whole or not at all: from it a killed run goes on, bit for bit.

A checkpoint is bound to its run, to the data it was trained on, and to its own content by a digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tal_repro.errors import InputError

FORMAT = 2
REFUSED = "refused_checkpoint.pt"  # a checkpoint that no run may go on from, kept beside the failed run's log
REMEDY = f"start the run again: it trains from its first epoch (this file is kept beside its log as {REFUSED})"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path` (tensors and plain values only): written beside, fsynced, renamed."""
    discard_leftovers(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    content = _on_cpu(state)
    try:
        with beside.open("wb") as stream:
            torch.save({"format": FORMAT, "digest": content_digest(content), **content}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except RuntimeError as error:
        # torch, on its way out, complains of the archive that a full disk kept it from writing
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    finally:
        beside.unlink(missing_ok=True)


def load_checkpoint(path: Path, run_id: str, data_digest: str = "") -> dict[str, Any] | None:
    """Read the checkpoint of a run (None: there is none); raise InputError unless it is a whole one of this run.

    `weights_only`: nothing in the file is executed.
    """
    discard_leftovers(path)
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling damaged bytes raises nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(f"not a checkpoint ({reason})", path, REMEDY) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError("not a checkpoint of this kit's version", path, REMEDY)
    del state["format"]
    if state.get("run_id") != run_id:
        raise InputError(f"belongs to run {state.get('run_id')}, not {run_id}", path, REMEDY)
    if state.get("data_digest", "") != data_digest:
        raise InputError(f"was trained on other data ({state['data_digest']}, not {data_digest})", path, REMEDY)
    if state.pop("digest", "") != content_digest(state):
        raise InputError("was changed after it was written: its content is not that of its digest", path, REMEDY)
    return state


def check_state(state: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
    """Raise ValueError naming what no training under a recipe of so many epochs could have left."""
    done, steps, rows = state["epochs_done"], state["optimizer_steps"], state["epoch_rows"]
    if not (isinstance(done, int) and 1 <= done <= epochs):
        raise ValueError(f"epochs_done = {done!r} of {epochs}")
    if steps != done * steps_per_epoch:
        raise ValueError(f"optimizer_steps = {steps!r} after {done} epochs of {steps_per_epoch}")
    if len(rows) != done:
        raise ValueError(f"{len(rows)} epoch_rows of {done} epochs")
    for weights in ("raw", "ema"):
        scored = any(row.get(f"map_{weights}", "") != "" for row in rows)
        if scored and not all(weights in state["selections"][which] for which in ("last", "best")):
            raise ValueError(f"selections without the {weights} weights, which were evaluated")
    for name in ("model", "ema"):
        tensors = [value for value in state[name].values() if value.is_floating_point()]
        if tensors and not any(value.any() for value in tensors):
            raise ValueError(f"every weight of {name!r} is zero")
        if not all(value.isfinite().all() for value in tensors):
            raise ValueError(f"weights of {name!r} are not finite")


@contextmanager
def kept_when_refused(path: Path) -> Iterator[None]:
    """Set the checkpoint aside where it is refused: a failed run loses its checkpoint, and this one may be of worth."""
    try:
        yield
    except InputError:
        with contextlib.suppress(OSError):
            path.replace(path.with_name(REFUSED))
        raise


def content_digest(value: Any) -> str:
    """Return the SHA-256 of nested tensors and plain values, by their places."""
    digest = hashlib.sha256()
    for place, item in _leaves(value, ""):
        if isinstance(item, Tensor):
            digest.update(f"{place}:{item.dtype}{tuple(item.shape)}\n".encode())
            digest.update(item.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(f"{place}={item!r}\n".encode())
    return digest.hexdigest()


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{place}/{key!r}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{place}/{index}")
    else:
        yield place, value


def _on_cpu(value: Any) -> Any:
    """Copy what lies on a GPU to the host once: it is both hashed and written."""
    if isinstance(value, Mapping):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_cpu(item) for item in value)
    return value.cpu() if isinstance(value, Tensor) else value


def discard_leftovers(path: Path) -> None:
    """Remove half-written checkpoints of killed processes."""
    if path.parent.is_dir():
        for leftover in path.parent.glob(f".{path.name}.*.tmp"):
            leftover.unlink(missing_ok=True)


def random_state() -> dict[str, Any]:
    """Return the state of torch's generators, of which dropout, drop path and input noise draw."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """Set torch's generators to a saved state."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
