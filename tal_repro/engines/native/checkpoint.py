"""The state of a run after an epoch, written whole or not at all: from it a killed run goes on, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from tal_repro.errors import InputError

FORMAT = 1
_REMEDY = "delete the file; the run then starts from its first epoch"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path` (tensors and plain values only): written beside, fsynced, renamed."""
    discard_leftovers(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as stream:
            torch.save({"format": FORMAT, **state}, stream)
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


def load_checkpoint(path: Path, run_id: str) -> dict[str, Any] | None:
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
        raise InputError(f"not a checkpoint ({reason})", path, _REMEDY) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError("not a checkpoint of this kit's version", path, _REMEDY)
    if state.get("run_id") != run_id:
        raise InputError(f"belongs to run {state.get('run_id')}, not {run_id}", path, _REMEDY)
    return state


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
