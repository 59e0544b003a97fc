"""(model, engine) -> adapter and its version. Adapters import heavy modules only when asked for."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro import kit
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from tal_repro.engines.adapter import Adapter

# engine -> module whose `adapter(model)` returns the Adapter, and the modules a warm worker imports beforehand
ENGINES: dict[str, tuple[str, tuple[str, ...]]] = {
    "native": (
        "tal_repro.engines.native.adapter",
        ("torch", "numpy", "pandas", "tal_repro.models", "tal_repro.engines.native.adapter"),
    ),
    "upstream": ("tal_repro.engines.upstream.added", ()),
}
# A module with `adapter(model)` and `VERSION` that stands in for every engine: dress rehearsals, tests, chaos.
STAND_IN_VARIABLE = "TAL_REPRO_STAND_IN"
PINS = Path(__file__).parent / "upstream" / "pins.json"  # the patch hash of each model, for an installed wheel


def get_adapter(model: str, engine: str) -> Adapter:
    """Return the adapter of a model under an engine; raise InputError for an unknown pair."""
    _check_pair(model, engine)
    adapter: Adapter = importlib.import_module(_module(engine)).adapter(model)
    return adapter


def engines_of(model: str) -> tuple[str, ...]:
    """Return the engines that run a model: both for the four, one of them for a model beyond."""
    return model_entry(model).engines


def engine_for(model: str, engine: str) -> str:
    """Return the engine `wanted` where it runs the model, else the one that does: no experiment goes without it."""
    return engine if engine in engines_of(model) else engines_of(model)[0]


def warm_modules(engine: str) -> tuple[str, ...]:
    """Return what a worker imports once, before it forks runs of `engine`."""
    return (stand_in,) if (stand_in := os.environ.get(STAND_IN_VARIABLE)) else ENGINES[engine][1]


def engine_version(model: str, engine: str, experiment: str) -> str:
    """Return what pins the results of a pair in an experiment, without importing torch.

    Native: a version number of the experiment's kind; upstream: commit and patch hash.
    """
    if stand_in := os.environ.get(STAND_IN_VARIABLE):
        return str(importlib.import_module(stand_in).VERSION)
    _check_pair(model, engine)
    if engine == "native":
        version = str(importlib.import_module("tal_repro.engines.native").native_version(experiment))
        return f"{version}+{own_digest(own)}" if (own := model_entry(model).own) else version
    from tal_repro.engines.upstream.identity import upstream_version

    return upstream_version(model, patch_hash(model))


@cache
def own_digest(module: str) -> str:
    """Hash the file of a native model of one's own, as parsed: a change of it gives other runs."""
    from tal_repro.engines.upstream.identity import DIGITS, module_digest

    return module_digest(module)[:DIGITS]


@cache
def patch_hash(model: str) -> str:
    """Hash the patches of a model, and the lock of its extra packages, by name and content (8 hex digits).

    'unpatched' where there are none.

    An installed wheel holds no patches: it reads the hash that `make docs` wrote into the package.
    """
    if kit.checkout() is None:
        return str(json.loads(PINS.read_text(encoding="utf-8")).get(model, "unpatched"))
    folder = kit.patches(model)
    patches = [*sorted(folder.glob("*.patch")), *folder.glob(kit.MODEL_LOCK)]
    if not patches:
        return "unpatched"
    digest = hashlib.sha256()
    for patch in patches:
        digest.update(patch.name.encode() + b"\0" + hashlib.sha256(patch.read_bytes()).digest())
    return digest.hexdigest()[:8]


def _check_pair(model: str, engine: str) -> None:
    """Raise InputError for an unknown model or engine, or an engine that does not run the model."""
    engines = engines_of(model)
    if engine in ENGINES and engine not in engines and not os.environ.get(STAND_IN_VARIABLE):
        raise InputError(f"{model} has no {engine} engine", remedy=f"use --engine {engines[0]}")


def _module(engine: str) -> str:
    if stand_in := os.environ.get(STAND_IN_VARIABLE):
        return stand_in
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}", remedy=f"use one of: {', '.join(ENGINES)}")
    return ENGINES[engine][0]
