"""(model, engine) -> adapter and its version. Adapters import heavy modules only when asked for."""

from __future__ import annotations

import hashlib
import importlib
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

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
    "upstream": ("tal_repro.engines.upstream.adapter", ()),
}
# A module with `adapter(model)` and `VERSION` that stands in for every engine: dress rehearsals, tests, chaos.
STAND_IN_VARIABLE = "TAL_REPRO_STAND_IN"
PATCHES = Path(__file__).parents[2] / "patches"


def get_adapter(model: str, engine: str) -> Adapter:
    """Return the adapter of a model under an engine; raise InputError for an unknown pair."""
    model_entry(model)
    adapter: Adapter = importlib.import_module(_module(engine)).adapter(model)
    return adapter


def warm_modules(engine: str) -> tuple[str, ...]:
    """Return what a worker imports once, before it forks runs of `engine`."""
    return (stand_in,) if (stand_in := os.environ.get(STAND_IN_VARIABLE)) else ENGINES[engine][1]


def engine_version(model: str, engine: str) -> str:
    """Return what pins the results of a pair, without importing torch: a version number, or commit and patch hash."""
    if stand_in := os.environ.get(STAND_IN_VARIABLE):
        return str(importlib.import_module(stand_in).VERSION)
    if engine == "native":
        return str(importlib.import_module("tal_repro.engines.native").NATIVE_VERSION)
    entry = model_entry(model)
    return f"{entry.commit[:12]}+{patch_hash(entry.name)}"


@cache
def patch_hash(model: str) -> str:
    """Hash the patches of a model by name and content (8 hex digits; 'unpatched' where there are none)."""
    patches = sorted((PATCHES / model).glob("*.patch"))
    if not patches:
        return "unpatched"
    digest = hashlib.sha256()
    for patch in patches:
        digest.update(patch.name.encode() + b"\0" + hashlib.sha256(patch.read_bytes()).digest())
    return digest.hexdigest()[:8]


def _module(engine: str) -> str:
    if stand_in := os.environ.get(STAND_IN_VARIABLE):
        return stand_in
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}", remedy=f"use one of: {', '.join(ENGINES)}")
    return ENGINES[engine][0]
