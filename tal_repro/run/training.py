"""One training of one model on a data folder, outside any study: what is asked for in, its RunSpec out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro.data import draw_subset, open_features, read_subset
from tal_repro.data.windows import Slicing
from tal_repro.engines.registry import engine_version
from tal_repro.errors import InputError
from tal_repro.machine.host import threads
from tal_repro.measure.trace import INTERVAL_S
from tal_repro.models.registry import model_entry
from tal_repro.run.datasets import dataset_of
from tal_repro.spec import DataSpec, RunSpec, SubsetSpec, check_percent
from tal_repro.study import resolve_recipe

if TYPE_CHECKING:
    from tal_repro.data import DataSet
    from tal_repro.spec import Precision


def plan_training(
    model: str,
    data_dir: Path,
    engine: str,
    share: float | Path,
    seed: int,
    overrides: dict[str, Any],
    trace: bool = False,
    precision: Precision = "fp32",
) -> RunSpec:
    """Return the specification of one training run on a data folder; its width and classes follow the data.

    `share`: a percentage of the model's own units, drawn uniformly with `seed`, or a subset file.
    """
    if not isinstance(share, Path):
        check_percent(share, "--percent")
    if engine == "upstream" and precision != "fp32":
        raise InputError("the authors' code knows float32 only", "--precision", "leave it out, or --engine native")
    entry = model_entry(model)
    dataset = dataset_of(data_dir, model)
    fitted = {
        "feature_dim": open_features(data_dir, dataset.layout).dim,
        "num_classes": len(dataset.classes),
        **overrides,
    }
    try:
        recipe = resolve_recipe(model, engine, fitted)
    except InputError as error:
        raise InputError(error.what, "--set", error.remedy) from None
    unit: Any = entry.unit
    units = (
        read_drawn(share, dataset, model, recipe)
        if isinstance(share, Path)
        else SubsetSpec(unit, "uniform", share, seed)
    )
    return RunSpec(
        experiment="training",  # of nobody's study
        model=model,
        engine=engine,  # type: ignore[arg-type]
        engine_version=engine_version(model, engine, "training"),
        recipe=recipe,
        data=DataSpec(dataset.name, dataset.version, dataset.annotation_hash, dataset.synthetic),
        subset=units,
        seed=seed,
        device_kind="cuda" if has_cuda() else "cpu",
        threads=threads(),
        precision=precision,
        options={"interval_s": INTERVAL_S} if trace else {},
    )


def read_drawn(path: Path, dataset: DataSet, model: str, recipe: dict[str, Any]) -> SubsetSpec:
    """Return how the units of a subset file are drawn; InputError unless this data set draws them again.

    A run is identified, and can be repeated, by how its units are drawn; a list made by hand cannot.
    """
    subset = read_subset(path)
    slicing = Slicing.of(recipe)
    drawn = draw_subset(dataset, subset.unit, subset.policy, subset.percent, subset.seed, model=model, slicing=slicing)
    if drawn.ids != subset.ids:
        foreign = sorted(set(subset.ids) ^ set(drawn.ids))
        raise InputError(
            f"its ids are not what its policy, percentage and seed draw for {model} from {dataset.root} "
            f"({len(foreign)} differ, the first: {foreign[0]})",
            path,
            "draw it from the data set it is used with: tal-repro subset --out FILE",
        )
    return SubsetSpec(subset.unit, subset.policy, subset.percent, subset.seed)


def has_cuda() -> bool:
    """Tell whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()
