"""Reading checkpoint files without running what they may contain; between a path and `load_upstream_state`."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from tal_repro.errors import InputError


def read_checkpoint(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the content of a checkpoint file on the CPU, tensors and plain values only.

    A namespace of options, which upstreams store beside the weights, is the one class let through. Raises InputError
    for a file that is missing, damaged, or holds any other object.
    """
    where = Path(path)
    if not where.is_file():
        raise InputError("no such checkpoint", where)
    try:
        with _safe_globals():
            content = torch.load(where, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"refused: it is damaged, or holds more than tensors and plain values ({_first_line(error)})",
            where,
            "load it where you trust it and save its state_dict alone",
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise InputError(f"not a readable checkpoint ({_first_line(error)})", where) from None
    if not isinstance(content, dict):
        raise InputError(f"holds {type(content).__name__}, not a mapping of weights", where)
    return content


@contextmanager
def _safe_globals() -> Iterator[None]:
    manager: Any = torch.serialization.safe_globals([argparse.Namespace])
    with manager:
        yield


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
