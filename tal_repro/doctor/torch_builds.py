"""The torch builds the kit locks: read from env/torch_builds.py, as setup does before the kit is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from tal_repro import kit
from tal_repro.errors import InputError


class Build(Protocol):
    """One locked build of torch (env/torch_builds.py)."""

    torch: str
    cuda: str
    driver: str
    capability: tuple[int, int]
    locks: tuple[str, ...]


def builds() -> dict[str, Build]:
    """Return the builds by the name that TORCH takes."""
    found: dict[str, Build] = _module().BUILDS
    return found


def choose(driver: str, capabilities: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """Return the build for a driver and its GPUs, and why ("" where none fits)."""
    name, reason = _module().choose(driver, capabilities)
    return str(name), str(reason)


def refusal(name: str, driver: str, capabilities: Sequence[tuple[int, int]]) -> str:
    """Say why a build does not run under a driver and on its GPUs ("" where it does)."""
    return str(_module().refusal(builds()[name], driver, capabilities))


@cache
def _module() -> Any:
    path = kit.require_checkout("choosing a build of torch") / "env" / "torch_builds.py"
    spec = importlib.util.spec_from_file_location("tal_repro_torch_builds", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError("is missing", path, "run the kit from its repository: make setup")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
