"""The adapter of a model beyond the four: everything its description file (tal_repro/engines/added/) leaves out.

A description holds plain values (RECIPE, LAYOUT, PROTOCOL, SHIMS) and two functions, `train(job)` and `build(tree)`;
what else it may hold, `tal_repro.engines.upstream.description` says and checks.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from tal_repro.engines.adapter import FULL_SIZE, Recipe
from tal_repro.engines.upstream import shims
from tal_repro.engines.upstream.adapter import UpstreamAdapter
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.engines.upstream.description import DOCS, check_description
from tal_repro.engines.upstream.requirements import check_packages
from tal_repro.errors import InputError
from tal_repro.models.recipes import with_overrides
from tal_repro.models.registry import model_entry

if TYPE_CHECKING:
    from tal_repro.engines.adapter import RunContext
    from tal_repro.engines.upstream.job import Job


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
        self.set_up(job)
        self.description.train(job)
        if not any(selection == "last" for selection, _ in job.chosen):
            why = "train longer (its script may leave out the first epochs), or mend the hooks"
            raise InputError("no evaluation was recorded", self.description.__file__, f"{why}; {DOCS}: metrics")

    def set_up(self, job: Job) -> None:
        """Give the scripts the variables that the description says, and their own layout of the data."""
        job.environment = getattr(self.description, "ENVIRONMENT", {})
        if hasattr(self.description, "lay_out"):
            self.description.lay_out(job.layout, job.work)

    def build_for_macs(self, length: int) -> Any:
        """Return the authors' model in evaluation mode, as a module from features and lengths to outputs."""
        check_packages(self.model)
        tree = prepare(self.model)
        shims.install(self.model)
        if str(tree) not in sys.path:
            sys.path.insert(0, str(tree))
        return self.description.build(tree).eval()

    def build_for_timing(self, length: int, recipe: Recipe = FULL_SIZE) -> Any:
        """Return what `build` returns: what is in it is timed."""
        return self.build_for_macs(length)

    def postprocessing(self) -> None:
        """Return None: a description has no post-processing of its own to time."""

    def example_input(self, length: int, recipe: Recipe = FULL_SIZE) -> tuple[Any, ...]:
        """Return features [1, C, length] and lengths [1]."""
        import torch

        generator = torch.Generator().manual_seed(0)
        return torch.rand(1, self.description.RECIPE.feature_dim, length, generator=generator), torch.tensor([length])


def adapter(model: str) -> UpstreamAdapter:
    """Return the upstream adapter of `model`: one of the four's, or that of a model that was added."""
    if model_entry(model).adapter:
        return AddedAdapter(model)
    return UpstreamAdapter(model)
