"""The models of the study, by name: one line each. Needs no torch; builders are imported when called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tal_repro.errors import InputError
from tal_repro.models import recipes
from tal_repro.models.native_recipe import NativeRecipe
from tal_repro.models.recipe_checks import check_recipe
from tal_repro.thumos14 import PROTOCOL

TADTR_STRIDE_FRAMES = 8


@dataclass(frozen=True)
class Reported:
    """Which of a training's mAPs its authors report, and what the training time of Table 2 is of."""

    selection: str = "last"  # or "best-on-test"
    weights: str = "ema"  # or "raw"
    protocol: str = PROTOCOL
    timed_phases: tuple[str, ...] = ("train", "checkpoint", "reported_eval")  # of a run's seconds
    published: tuple[tuple[str, float, str], ...] = ()  # beyond the four: protocol, average mAP in percent, source


TRAINING_ALONE = Reported(timed_phases=("train", "checkpoint"))


@dataclass(frozen=True)
class ModelEntry:
    """What the kit knows of a model before anything is built."""

    name: str
    title: str
    recipe: Any  # a NativeRecipe; of a model of its authors' code alone, its description's own dataclass
    feature_stride_frames: int  # frames per feature step
    unit: str  # what a training unit is: "video" or "slice"
    repository: str  # owner/name of the authors' code
    commit: str
    submodule: str  # folder under third_party/
    licence: str
    paper: str
    reported: Reported = Reported()
    crops_reach_out: bool = True  # a training crop also counts what lies half a clip beyond its ends
    unread: tuple[str, ...] = ()  # fields of its recipe's class that are of its siblings: setting them is refused
    adapter: str = ""  # module of a model of its authors' code alone: its recipe, and how that code is run
    own: str = ""  # module of a native model of one's own: its recipe and network
    by_default: bool = True  # in the place of the word `added` of a study; else only under --set models=all

    @property
    def engines(self) -> tuple[str, ...]:
        """Return the engines that run it, its first choice first."""
        return ("upstream",) if self.adapter else ("native",) if self.own else ("native", "upstream")

    @property
    def beyond(self) -> bool:
        """Tell a model that the paper knows nothing of."""
        return bool(self.adapter or self.own)

    @property
    def shipped(self) -> bool:
        """Tell the paper's models and the later ones that come with the kit from those that you added."""
        return not (self.beyond and self.by_default)

    @property
    def layout(self) -> Literal["actionformer", "tadtr"]:
        """Return whose arrangement of the data its features lie in."""
        return "tadtr" if self.feature_stride_frames == TADTR_STRIDE_FRAMES else "actionformer"


def added(
    name: str, title: str, repository: str, commit: str, licence: str, unit: str = "video", by_default: bool = True
) -> ModelEntry:
    """Return the entry of a model beyond the four; tal_repro/engines/added/<name>.py describes it."""
    module = f"tal_repro.engines.added.{name}"
    # Its top level holds plain values alone (no torch, nothing of the kit), so that this import is quick and ends.
    remedy = "import torch, the authors' packages and the kit's within train and build; see docs/adding-a-model.md"
    description = _read(module, remedy)
    stride_frames = TADTR_STRIDE_FRAMES if description.LAYOUT == "tadtr" else 4
    folder = repository.rpartition("/")[2].removesuffix(".git")
    default = Reported()
    reported = Reported(
        getattr(description, "SELECTION", default.selection),
        getattr(description, "WEIGHTS", default.weights),
        getattr(description, "PROTOCOL", default.protocol),
        published=tuple((name, *value) for name, value in getattr(description, "PUBLISHED", {}).items()),
    )
    return ModelEntry(
        name, title, description.RECIPE, stride_frames, unit, repository, commit, folder, licence, "", reported,
        adapter=module, by_default=by_default,
    )  # fmt: skip


def own(name: str, title: str, licence: str = "yours", paper: str = "") -> ModelEntry:
    """Return the entry of a native model of one's own; tal_repro/models/own/<name>.py holds its recipe and network.

    All else follows from the recipe. Raises InputError naming the file where it cannot be read or has none.
    """
    module = f"tal_repro.models.own.{name}"
    file = _read(module, "import torch within build; see docs/adding-a-native-model.md")
    recipe = getattr(file, "RECIPE", None)
    if not isinstance(recipe, NativeRecipe):
        what = "RECIPE is no recipe of the native engine"
        raise InputError(what, _file(module), "RECIPE = Recipe(), a frozen dataclass that inherits OwnRecipe")
    slices = recipe.samples == "slices"
    weights = "ema" if recipe.ema_decay > 0 else "raw"
    reported = Reported("last", weights, getattr(file, "PROTOCOL", PROTOCOL))
    stride_frames = TADTR_STRIDE_FRAMES if slices else 4
    return ModelEntry(name, title, recipe, stride_frames, recipe.unit, "", "", "", licence, paper, reported, own=module)


def _read(module: str, remedy: str) -> Any:
    """Import a file that a user wrote: any command would end in a traceback otherwise."""
    try:
        return importlib.import_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        what = f"cannot be read ({reason})"
        raise InputError(what, _file(module), remedy) from None


def _file(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


ENTRIES = (
    ModelEntry(
        "tadtr", "TadTR", recipes.TADTR, 8, "slice", "xlliu7/TadTR",
        "983ae14bcec8d764c5fc916700f1a5dade403b92", "TadTR", "Apache-2.0", "Liu et al., TIP 2022",
        Reported("best-on-test", "raw", "tadtr-210"),
    ),
    ModelEntry(
        "actionformer", "ActionFormer", recipes.ACTIONFORMER, 4, "video", "happyharrycn/actionformer_release",
        "b91ef518e70330b94f5d116f07fe51bcd4c59844", "ActionFormer", "MIT", "Zhang et al., ECCV 2022",
        TRAINING_ALONE, unread=("trident_bins", "iou_weight_power", "cost_class", "cost_iou"),
    ),
    ModelEntry(
        "tridet", "TriDet", recipes.TRIDET, 4, "video", "dingfengshi/TriDet",
        "cbbee1c5e9a9a7cf8248d6c2536d847f5281b1f1", "TriDet", "none at this commit", "Shi et al., CVPR 2023",
        TRAINING_ALONE, crops_reach_out=False,
        unread=("attention_heads", "attention_window", "cost_class", "cost_iou"),
    ),
    ModelEntry(
        "temporalmaxer", "TemporalMaxer", recipes.TEMPORALMAXER, 4, "video", "TuanTNG/TemporalMaxer",
        "4030cdfc8b5f3670b7ebf9f89436c2a0997581bd", "TemporalMaxer", "none", "Tang et al., 2023",
        Reported("best-on-test"),
        unread=(
            "stem_blocks", "attention_heads", "attention_window", "mlp_dim", "drop_path", "trident_bins",
            "iou_weight_power",
        ),
    ),
    added(
        "dyfadet", "DyFADet", "yangle15/DyFADet-pytorch",
        "f645cafd50f9a4414bbb83e4b5e5bcb5eed04ae2", "none", "video", by_default=False,
    ),
    added(
        "tetad", "TE-TAD", "Dotori-HJ/TE-TAD",
        "74eda3b6005664f13cc3fe82057ff67e87621c5a", "Apache-2.0", "video", by_default=False,
    ),
    # Models beyond the four, a line each: tal-repro models new NAME --repository URL --commit SHA writes it.
    # Native models of your own, a line each: own("mine", "Mine"), with tal_repro/models/own/mine.py.
)  # fmt: skip
MODELS = {entry.name: entry for entry in ENTRIES}
OF_STUDY = tuple(name for name, entry in MODELS.items() if not entry.beyond)  # the paper's, which both engines run
OF_AUTHORS = tuple(name for name, entry in MODELS.items() if "upstream" in entry.engines)  # whose code can be run


def model_entry(name: str) -> ModelEntry:
    """Return the entry of `name`; raise InputError naming the known models."""
    if name not in MODELS:
        raise InputError(f"unknown model {name!r}", remedy=f"use one of: {', '.join(MODELS)}")
    return MODELS[name]


def resolved(name: str, overrides: Mapping[str, Any]) -> Any:
    """Return a model's recipe with fields replaced; raise InputError for what its network or training cannot use."""
    entry = model_entry(name)
    recipe = recipes.with_overrides(entry.recipe, dict(overrides))
    if "native" in entry.engines:
        check_recipe(name, recipe)
    for field in entry.unread:
        value, default = getattr(recipe, field), getattr(entry.recipe, field)
        if value != default:
            what = f"{field} = {value!r}: {entry.title} has no such part, nothing would read it"
            raise InputError(what, f"recipe of {name}", f"leave it out (its default is {default!r})")
    return recipe
