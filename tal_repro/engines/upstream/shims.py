"""Shims: functions that replace some of upstream's before its code is imported, where a patch that only inserts lines
cannot do it. No shim changes the mathematics.

Each shim says which models need it and why; each was found by removing it and reading the first error. None edits a
file. They make code of 2023 run on today's numpy, pandas, torch and without compiled extensions.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tal_repro.models.registry import model_entry

PYRAMID = ("actionformer", "tridet", "temporalmaxer")
TADTR = ("tadtr",)
WEIGHTS_VARIABLE = "TAL_REPRO_WEIGHTS"  # "raw": evaluate the raw weights where upstream evaluates the EMA


@dataclass(frozen=True)
class Shim:
    """One replacement, the models whose code needs it, the reason, and what it could do to a number.

    `severity` is one of `paper.changes.SEVERITIES`.
    """

    name: str
    models: tuple[str, ...]
    reason: str
    install: Callable[[], None]
    severity: str = "low"


def compiled_nms() -> None:
    from tal_repro.detection.nms import nms, softnms

    _module("nms_1d_cpu", nms=nms, softnms=softnms)


def compiled_roi_align() -> None:
    from tal_repro.models.roi_align import backward, forward

    _module("models.ops.roi_align.Align1D", forward=forward, backward=backward)


def joblib_workers() -> None:
    import joblib

    joblib.parallel_config(backend="sequential")


def numpy_float() -> None:
    import numpy as np

    vars(np)["float"] = float


def pandas_drop_axis() -> None:
    import pandas as pd

    drop = pd.DataFrame.drop

    def drop_with_positional_axis(table: Any, labels: Any = None, axis: Any = 0, **rest: Any) -> Any:
        return drop(table, labels, axis=axis, **rest)

    pd.DataFrame.drop = drop_with_positional_axis  # type: ignore[method-assign,assignment]


def numpy_aliases() -> None:
    import numpy as np

    gone = {"int": int, "bool": bool, "object": object, "str": str, "long": int, "complex": complex, "Inf": np.inf}
    gone |= {"NaN": np.nan, "float_": np.float64, "product": np.prod}
    for name, stand_in in gone.items():
        vars(np).setdefault(name, stand_in)


def torch_six() -> None:
    import collections.abc
    import math

    classes = {"string_classes": (str, bytes), "int_classes": int, "container_abcs": collections.abc}
    _module("torch._six", inf=math.inf, nan=math.nan, **classes)


def cuda_synchronize() -> None:
    import torch

    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda device=None: None


def torch_load() -> None:
    import torch

    load = torch.load

    def load_own_checkpoint(file: Any, map_location: Any = None, **rest: Any) -> Any:
        # The launcher is only ever given checkpoints that this run wrote (the adapter checks their hashes).
        if callable(map_location):
            map_location = "cuda:0" if torch.cuda.is_available() else "cpu"
        rest["weights_only"] = False
        found = load(file, map_location=map_location, **rest)
        if os.environ.get(WEIGHTS_VARIABLE) == "raw" and isinstance(found, dict) and "state_dict_ema" in found:
            found["state_dict_ema"] = found["state_dict"]
        return found

    torch.load = load_own_checkpoint  # type: ignore[assignment]


def torchvision_stub() -> None:
    _module("torchvision", __version__="0.0")


def tensorboard_stub() -> None:
    class SummaryWriter:
        """Accept and forget what upstream logs: the events and the log file hold it."""

        def __init__(self, *arguments: Any, **named: Any) -> None: ...

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *arguments, **named: None

    _module("torch.utils.tensorboard", SummaryWriter=SummaryWriter)


SHIMS: tuple[Shim, ...] = (
    Shim(
        "compiled_nms", PYRAMID, "the C++ extension nms_1d_cpu is replaced by the kit's own NMS", compiled_nms, "medium"
    ),
    Shim(
        "compiled_roi_align",
        TADTR,
        "its CUDA source needs THC headers that torch no longer has",
        compiled_roi_align,
        "medium",
    ),
    Shim("joblib_workers", PYRAMID, "fresh worker processes would lack these shims", joblib_workers, "timing"),
    Shim("numpy_float", ("actionformer", "temporalmaxer", "tadtr"), "np.float left numpy in 1.24", numpy_float),
    Shim("pandas_drop_axis", TADTR, "DataFrame.drop takes its axis by name since pandas 2", pandas_drop_axis),
    Shim("cuda_synchronize", PYRAMID, "called every few iterations, also where there is no CUDA", cuda_synchronize),
    Shim("torch_load", (*PYRAMID, *TADTR), "torch 2.6 refuses upstream's own pickled checkpoints", torch_load),
    Shim("torchvision_stub", TADTR, "imported for 3-D inputs that features never take", torchvision_stub),
    Shim("numpy_aliases", (), "np.int, np.bool, np.Inf and others left numpy in 1.24 and 2.0", numpy_aliases),
    Shim("torch_six", (), "torch._six left torch in 1.13", torch_six),
    Shim("tensorboard_stub", ("actionformer", "temporalmaxer"), "a log writer the kit does not need", tensorboard_stub),
)

# Always on for a model beyond the four: they only add what a library no longer has, or mend a call that fails.
ALWAYS = ("numpy_float", "numpy_aliases", "pandas_drop_axis", "cuda_synchronize", "torch_load", "torch_six")


def needed(model: str) -> list[Shim]:
    """Return the shims that a model's code needs, in the order they are installed."""
    module = model_entry(model).adapter
    description = importlib.import_module(module) if module else None
    wanted = (*ALWAYS, *getattr(description, "SHIMS", ())) if description else ()
    return [*(shim for shim in SHIMS if model in shim.models or shim.name in wanted), *own(description, model)]


def own(description: Any, model: str) -> list[Shim]:
    """Return the shims that the description of a model beyond the four brings itself, named by their functions."""
    return [
        Shim(install.__name__, (model,), (install.__doc__ or "").strip().partition("\n")[0].rstrip("."), install)
        for install in getattr(description, "OWN_SHIMS", ())
    ]


def install(model: str) -> None:
    """Install the shims of a model; must run before its code is imported."""
    for shim in needed(model):
        shim.install()


def _module(name: str, **members: Any) -> None:
    """Put a module of that name where `import` looks first, unless a real one was loaded."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules.setdefault(name, module)
