"""Reading checkpoint files without running what they may contain; between a path and `load_upstream_state`."""

from __future__ import annotations

import argparse
import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from tal_repro.errors import InputError


def read_checkpoint(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the content of a checkpoint file on the CPU, tensors and plain values only.

    What upstreams store beside the weights is let through as plain values: a namespace of options, TadTR's EasyDict of
    settings (as an ordered dictionary; the package is not imported) and numpy's scalars (a best mAP). Raises InputError
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


class _Dtype:
    """Stand in for numpy's dtype: its code, and nothing that could be called."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = code if isinstance(code, str) else ""

    def __setstate__(self, state: object) -> None:
        """Forget the byte order: every file of an upstream is little-endian."""


def _scalar(dtype: object = None, content: object = b"") -> float | int | None:
    """Return a numpy scalar as a plain number, None for what is none."""
    form = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i"}.get(dtype.code if isinstance(dtype, _Dtype) else "")
    if form is None or not isinstance(content, bytes) or len(content) != struct.calcsize(form):
        return None
    number: float | int = struct.unpack(form, content)[0]
    return number


def _encode(text: object = "", encoding: object = "latin1") -> bytes | None:
    """Stand in for the function by which old pickles spell bytes."""
    return text.encode("latin1", errors="replace") if isinstance(text, str) else None


# The names that upstreams' checkpoints hold beside tensors -> what is made of them here.
_STAND_INS = (
    (argparse.Namespace, "argparse.Namespace"),
    (OrderedDict, "easydict.EasyDict"),
    (_Dtype, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    (_encode, "_codecs.encode"),
)


@contextmanager
def _safe_globals() -> Iterator[None]:
    manager: Any = torch.serialization.safe_globals(list(_STAND_INS))
    with manager:
        yield


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:160]
