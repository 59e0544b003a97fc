"""The adapter of a model beyond the four: everything its description file (tal_repro/engines/added/) leaves out.

A description holds plain values (RECIPE, LAYOUT, PROTOCOL, SHIMS) and two functions: `train(job)` and `build(tree)`.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.detection.protocols import PROTOCOLS
from tal_repro.engines.upstream import shims
from tal_repro.engines.upstream.adapter import UpstreamAdapter
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.errors import InputError
from tal_repro.models.recipes import with_overrides
from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from tal_repro.engines.adapter import RunContext
    from tal_repro.engines.upstream.job import Job

LAYOUTS = ("actionformer", "tadtr")
NEEDED_FIELDS = ("feature_dim", "num_classes", "epochs", "batch_size")
DOCS = "see docs/adding-a-model.md"


class AddedAdapter(UpstreamAdapter):
    """Run a model beyond the four by its authors' code, as its description file says."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.description = importlib.import_module(model_entry(model).adapter)
        check_description(self.description)
        self.layout = self.description.LAYOUT
        self.protocol = self.description.PROTOCOL

    def recipe(self, run: RunContext) -> Any:
        """Return the run's recipe as the description's own class."""
        return with_overrides(self.description.RECIPE, dict(run.spec.recipe))

    def run_scripts(self, job: Job) -> None:
        """Let the description run the authors' scripts; the last checkpoint must have been evaluated."""
        self.description.train(job)
        if not any(selection == "last" for selection, _ in job.chosen):
            raise InputError("no evaluation was recorded", self.description.__file__, f"{DOCS}: metrics")

    def build_for_macs(self, length: int) -> Any:
        """Return the authors' model in evaluation mode, as a module from features and lengths to outputs."""
        tree = prepare(self.model)
        shims.install(self.model)
        if str(tree) not in sys.path:
            sys.path.insert(0, str(tree))
        return self.description.build(tree).eval()

    def build_for_timing(self, length: int) -> Any:
        """Return what `build` returns: what is in it is timed."""
        return self.build_for_macs(length)

    def postprocessing(self) -> None:
        """Return None: a description has no post-processing of its own to time."""

    def example_input(self, length: int) -> tuple[Any, ...]:
        """Return features [1, C, length] and lengths [1]."""
        import torch

        generator = torch.Generator().manual_seed(0)
        return torch.rand(1, self.description.RECIPE.feature_dim, length, generator=generator), torch.tensor([length])


def check_description(description: Any) -> None:
    """Raise InputError naming what a description file lacks or gets wrong."""
    where = Path(description.__file__)
    recipe = getattr(description, "RECIPE", None)
    if not dataclasses.is_dataclass(recipe) or isinstance(recipe, type):
        raise InputError("RECIPE is not an instance of a frozen dataclass", where, DOCS)
    for name in NEEDED_FIELDS:
        if not isinstance(getattr(recipe, name, None), int):
            raise InputError(f"RECIPE has no whole number {name!r}", where, f"{DOCS}: recipe")
    for name, allowed in (("LAYOUT", LAYOUTS), ("PROTOCOL", tuple(PROTOCOLS))):
        if getattr(description, name, None) not in allowed:
            raise InputError(
                f"{name} = {getattr(description, name, None)!r}", where, f"use one of: {', '.join(allowed)}"
            )
    known = [shim.name for shim in shims.SHIMS]
    for name in getattr(description, "SHIMS", ()):
        if name not in known:
            raise InputError(f"unknown shim {name!r}", where, f"use of: {', '.join(known)}")
    for name in ("train", "build"):
        if not callable(getattr(description, name, None)):
            raise InputError(f"no function {name!r}", where, DOCS)


def adapter(model: str) -> UpstreamAdapter:
    """Return the upstream adapter of `model`: one of the four's, or that of a model that was added."""
    if model_entry(model).adapter:
        return AddedAdapter(model)
    return UpstreamAdapter(model)
