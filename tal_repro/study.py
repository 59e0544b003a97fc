"""READ FIRST: a study file (TOML) -> Study -> the list of RunSpecs that is its grid. Plans nothing, runs nothing."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

from tal_repro import thumos14
from tal_repro.engines.registry import ENGINES, engine_for, engine_version
from tal_repro.errors import InputError
from tal_repro.experiments import EXPERIMENTS, MEASURED, PLANNED, SWEPT, TIMING
from tal_repro.models.recipes import with_overrides
from tal_repro.models.registry import MODELS, model_entry, resolved
from tal_repro.runs.members import ADMITTED
from tal_repro.spec import (
    SCOPES,
    DataSpec,
    DeviceKind,
    Policy,
    Precision,
    RunSpec,
    SubsetSpec,
    Unit,
    canonical_json,
)
from tal_repro.study_checks import check_engines, check_fit, check_size, options_of, read_options
from tal_repro.study_file import Table, parse_table, read_table

if TYPE_CHECKING:
    from tal_repro.data.synthetic_config import SyntheticConfig

SHIPPED = Path(__file__).parent / "studies"
ADDED = "added"  # among the models of an experiment, and of [recipes]: all beyond the four
COUNTED_ON: Mapping[str, Any] = {"device_kind": "cpu", "precision": "fp32", "threads": 1}
SETTABLE = ("engine", "device", "precision", "threads", "repeats", "synthetic", "models")
MACHINE = "of the machine: jobs_per_gpu, hang_seconds, slurm.*"  # read by run.machine


@dataclass(frozen=True)
class Grid:
    """One [[experiments]] table: every combination of its lists is a run."""

    experiment: str
    scope: str
    models: tuple[str, ...]
    engines: tuple[str, ...]
    seeds: tuple[int, ...]
    percentages: tuple[float, ...]
    repeats: int  # subsets drawn at each percentage
    unit: str  # "" = the model's own: slices for TadTR, videos for the others
    policy: str
    feature_lengths: tuple[int, ...]
    device: str
    precision: str
    threads: int
    recipe: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Return how many runs it has, listing none."""
        swept = len(self.percentages) * self.repeats
        return len(self.models) * len(self.engines) * (swept or len(self.seeds))


@dataclass(frozen=True)
class Study:
    """A grid of runs and what planning it needs to know."""

    name: str
    title: str
    path: Path
    data: DataSpec
    synthesis: Mapping[str, Any]  # how to make the data set where it is a synthetic one that travels with the study
    grids: tuple[Grid, ...]
    recipes: Mapping[str, Mapping[str, Any]]  # model (`added`: each beyond the four) -> overrides
    alone: tuple[str, ...]  # experiments that have the device alone
    price_usd_per_hour: float
    price_source: str
    settings: tuple[str, ...]  # KEY=VALUE of the user that replaced the file's
    admits: tuple[str, ...]  # what readers may find otherwise than planned (engine, ...); such runs are kept apart
    run_seconds: Mapping[str, float]  # by kind of run (training, macs, ...) or model (its trainings); else published
    definition: Path | None = None  # of its data set, where that is one of the user's own

    @property
    def given(self) -> str:
        """Return what --study takes to find this study again."""
        return self.path.stem if self.path.parent == SHIPPED else str(self.path)

    def runs(self, scope: str = "full") -> list[RunSpec]:
        """Return the runs of a scope, each once, in the order of the file."""
        if scope not in SCOPES:
            raise InputError(f"unknown scope {scope!r}", self.path, f"use one of: {', '.join(SCOPES)}")
        scopes = SCOPES[: SCOPES.index(scope) + 1]
        runs = (run for grid in self.grids if grid.scope in scopes for run in self._runs_of(grid))
        return list({run.run_id: run for run in runs}.values())

    def _runs_of(self, grid: Grid) -> Iterator[RunSpec]:
        for engine in grid.engines:
            for model in grid.models:
                base = self._base(grid, model, engine_for(model, engine))
                for subset, seed in _subsets_and_seeds(grid, model):
                    yield dataclasses.replace(base, subset=subset, seed=seed)

    def _base(self, grid: Grid, model: str, engine: str) -> RunSpec:
        """Return the run that all runs of a grid under one model and engine are variations of."""
        recipe = _overrides(self.recipes, grid, model, engine)
        run = RunSpec(
            experiment=grid.experiment,
            model=model,
            engine=engine,  # type: ignore[arg-type]
            engine_version=engine_version(model, engine, grid.experiment),
            recipe=MappingProxyType(resolve_recipe(model, engine, recipe)),
            data=None if grid.experiment in MEASURED else self.data,
            feature_lengths=grid.feature_lengths,
            precision=grid.precision,  # type: ignore[arg-type]
            device_kind=grid.device,  # type: ignore[arg-type]
            threads=grid.threads,
            options=MappingProxyType(options_of(engine, grid.options)),
        )
        # a count is the same on every machine
        return dataclasses.replace(run, **COUNTED_ON) if grid.experiment == "macs" else run


def _overrides(recipes: Mapping[str, Mapping[str, Any]], grid: Grid, model: str, engine: str) -> dict[str, Any]:
    """Return what replaces a model's hyper-parameters: [recipes] are of trainings; measurements take their own."""
    if grid.experiment not in MEASURED:
        of_added = recipes.get(ADDED, {}) if model_entry(model).beyond else {}
        return {**of_added, **recipes.get(model, {}), **grid.recipe}
    return dict(grid.recipe) if engine == "native" else {}


def resolve_recipe(model: str, engine: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return every hyper-parameter of a run as plain values (native's draws do not depend on its worker count)."""
    recipe = dataclasses.asdict(resolved(model, overrides))
    if engine == "native":
        default = getattr(model_entry(model).recipe, "loader_workers", None)
        if (workers := recipe.pop("loader_workers", None)) != default:
            remedy = "give it in the [experiments.recipe] of an experiment of the upstream engine"
            raise InputError(f"loader_workers = {workers!r}: the native engine has no loader workers", None, remedy)
    return recipe


def _subsets_and_seeds(grid: Grid, model: str) -> Iterator[tuple[SubsetSpec | None, int]]:
    """Yield (subset, training seed): repeat k of a sweep draws subset k and trains with seed k."""
    unit = grid.unit or model_entry(model).unit
    whole = SubsetSpec(unit=unit, percent=100.0)  # type: ignore[arg-type]
    if grid.experiment in MEASURED:
        yield from ((None, seed) for seed in grid.seeds)
    elif grid.experiment not in SWEPT:
        yield from ((whole, seed) for seed in grid.seeds)
    else:
        for percent in grid.percentages:
            for repeat in range(grid.repeats):
                partial = SubsetSpec(unit, grid.policy, percent, repeat)  # type: ignore[arg-type]
                yield (whole if percent == 100 else partial), repeat


def find_study(name_or_path: str) -> Path:
    """Return the file of a shipped study ("paper") or of one's own (a path)."""
    if name_or_path.endswith(".toml"):
        return Path(name_or_path)
    path = SHIPPED / f"{name_or_path}.toml"
    if "/" in name_or_path or not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise InputError(f"no study {name_or_path!r}", remedy=f"use one of: {shipped}; or the path of a .toml file")
    return path


def load_study(
    name_or_path: str, settings: Mapping[str, str] | None = None, text: bytes | None = None, where: str | None = None
) -> Study:
    """Read and check a study; `settings` (engine, device, ...) replace the file's for every experiment.

    `text`: the study as it was kept (`where`), in place of the file as it is now.
    """
    path = find_study(name_or_path) if text is None else _kept_path(name_or_path)
    top = read_table(path) if text is None else parse_table(text, where or str(path))
    top.expect("schema", ("tal-repro/study/1",))
    defaults = top.table("defaults")
    data = top.table("data")
    synthesis = data.table("synthesis")
    made = _read_synthesis(synthesis.values, path)
    cost = top.table("cost")
    seconds = cost.table("run_seconds")
    recipes = top.table("recipes")
    overrides = _read_settings(settings or {})
    synthetic, every_model = overrides.pop("synthetic", False), overrides.pop("models", "") == "all"
    grids = [_read_grid(table, defaults, overrides, every_model) for table in top.tables("experiments")]
    study = Study(
        name=top.text("name"),
        title=top.text("title", ""),
        path=path,
        data=_read_data(data, synthesis.values, synthetic),
        synthesis=MappingProxyType(synthesis.values),
        grids=tuple(grid for grid in grids if grid.models),
        recipes={model: recipes.table(model).values for model in _recipe_names(recipes)},
        alone=tuple(defaults.choices("alone", PLANNED, TIMING)),
        price_usd_per_hour=cost.number("price_usd_per_hour", 0.0, low=0),
        price_source=cost.text("price_source", "none given"),
        settings=tuple(f"{key}={value}" for key, value in (settings or {}).items()),
        admits=tuple(top.choices("admits", tuple(ADMITTED), ())),
        run_seconds={kind: seconds.number(kind, low=0.001) for kind in seconds.values},
        definition=_definition(data, path),
    )
    if unknown := sorted(set(seconds.values) - {"training", *MEASURED, *MODELS}):
        allowed = f"use: training, {', '.join(MEASURED)}, or a model for its trainings"
        raise seconds.error(unknown[0], seconds.values[unknown[0]], allowed)
    for table in (top, defaults, data, cost):
        table.reject_unknown()
    check_size([grid.size for grid in study.grids], f"{path}: experiments")
    _check_policies(study)
    _check_recipes(study, made)
    return study


def _kept_path(given: str) -> Path:
    """Return the file that a kept study was read from, which need not be there any more."""
    return Path(given) if given.endswith(".toml") else SHIPPED / f"{given}.toml"


def _read_data(data: Table, synthesis: Mapping[str, Any], synthetic: bool) -> DataSpec:
    """Return the declared data set; `synthetic`: the user runs the study on synthetic data in its place."""
    version = data.text("version", "")
    if synthesis:  # a synthetic set is declared by its recipe, so that planning needs no data
        version = "synthesis-" + hashlib.sha256(canonical_json(synthesis).encode()).hexdigest()[:12]
    name, made_up = data.text("name"), data.flag("synthetic", bool(synthesis))
    known = thumos14.ANNOTATION_HASH if name == thumos14.NAME and not made_up else ""
    declared = DataSpec(name, version, data.text("annotation_hash", known), made_up)
    if synthetic and not declared.synthetic:
        return DataSpec(f"synthetic-{declared.name}", "at hand", "", synthetic=True)
    return declared


def _definition(data: Table, path: Path) -> Path | None:
    """Return the file that defines the data set, relative to the study's folder; None where the study names none."""
    given = data.text("definition", "")
    return path.absolute().parent / given if given else None


def _read_settings(settings: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(settings) - set(SETTABLE))
    if unknown:
        raise InputError(f"unknown setting {unknown[0]!r}", "--set", f"use one of: {', '.join(SETTABLE)}; {MACHINE}")
    table: dict[str, Any] = dict(settings)
    for name in ("threads", "repeats"):
        if name in table:
            if not str(table[name]).isdecimal():
                raise InputError(f"{name} = {table[name]!r}", "--set", "use a whole number of 1 or more")
            table[name] = int(table[name])
    if "synthetic" in table:
        if table["synthetic"] not in ("true", "false"):
            raise InputError(f"synthetic = {table['synthetic']!r}", "--set", "use true or false")
        table["synthetic"] = table["synthetic"] == "true"
    if table.get("models", "all") not in ("all", "study"):
        raise InputError(f"models = {table['models']!r}", "--set", "use all, or study (those that the study names)")
    if "engine" in table:
        table["engines"] = str(table.pop("engine")).split(",")
    return table


def _read_grid(table: Table, defaults: Table, settings: Mapping[str, Any], every_model: bool) -> Grid:
    """Read one [[experiments]] table; a key it lacks comes from [defaults], a setting of the user replaces both."""
    experiment = table.choice("experiment", PLANNED)
    for name, value in settings.items():
        if name != "repeats" or "repeats" in table.values:
            table.values[name] = value
    measured = experiment in MEASURED
    swept = experiment in SWEPT
    engines = tuple(ENGINES)
    grid = Grid(
        experiment=experiment,
        scope=table.choice("scope", SCOPES, "core"),
        models=tuple(_with_added(table, every_model)),
        engines=tuple(table.choices("engines", engines, defaults.choices("engines", engines, ["native"]))),
        seeds=(0,) if swept or not EXPERIMENTS[experiment].seeded else tuple(table.integers("seeds", [0], low=0)),
        percentages=tuple(table.percentages("percentages")) if swept else (),
        repeats=table.integer("repeats", 1, low=1) if swept else 1,
        unit=table.choice("unit", ("", *get_args(Unit)), "") if swept else "",
        policy=table.choice("policy", get_args(Policy), "uniform") if swept else "uniform",
        feature_lengths=tuple(table.integers("feature_lengths", low=1)) if measured else (),
        device=table.choice("device", get_args(DeviceKind), defaults.choice("device", get_args(DeviceKind), "cpu")),
        precision=table.choice(
            "precision", get_args(Precision), defaults.choice("precision", get_args(Precision), "fp32")
        ),
        threads=table.integer("threads", defaults.integer("threads", 1, low=1), low=1),
        recipe=MappingProxyType(table.table("recipe").values),
        options=MappingProxyType(read_options(table, experiment)),
    )
    table.reject_unknown()
    check_engines(table, experiment, grid.engines)
    if not grid.engines:
        raise table.error("engines", [], f"name at least one of: {', '.join(engines)}")
    if grid.precision != "fp32" and "upstream" in grid.engines:
        where = f"{table.where}.precision"
        raise InputError("the authors' code knows fp32 only", where, "engine = native for bf16 (--set engine=native)")
    return grid


def _with_added(table: Table, every_model: bool) -> list[str]:
    """Return a grid's models: for the word `added` those that you added; with `models=all` those shipped, too."""
    names = table.texts("models", [model for model, entry in MODELS.items() if every_model or entry.by_default])
    added = [model for model, entry in MODELS.items() if entry.beyond and (every_model or entry.by_default)]
    return _models(table, [model for name in names for model in (added if name == ADDED else [name])])


def _recipe_names(table: Table) -> list[str]:
    _models(table, [name for name in table.values if name != ADDED])
    return list(table.values)


def _models(table: Table, names: list[str]) -> list[str]:
    for name in names:
        if name not in MODELS:
            raise InputError(f"unknown model {name!r}", table.where, f"use one of: {', '.join(MODELS)}")
    return names


def _check_policies(study: Study) -> None:
    for index, grid in enumerate(study.grids):
        if grid.policy == "published" and study.data.synthetic:
            where = f"{study.path}: experiments[{index}].policy"
            raise InputError("the published subsets are of the real THUMOS14", where, "use another policy: uniform")


def _read_synthesis(synthesis: Mapping[str, Any], path: Path) -> SyntheticConfig | None:
    if not synthesis:
        return None
    from tal_repro.data.synthetic_config import synthetic_config

    return synthetic_config(synthesis, f"{path}: data.synthesis")


def _check_recipes(study: Study, made: SyntheticConfig | None) -> None:
    """Raise InputError for a wrong hyper-parameter when the study is read, and not in its runs."""
    for model, overrides in study.recipes.items():
        if model == ADDED:
            continue  # each that a grid has is checked below, with its own
        with _recipe_of(study, model):
            with_overrides(model_entry(model).recipe, dict(overrides))
    for grid in study.grids:
        for model in grid.models:
            with _recipe_of(study, model):
                for engine in {engine_for(model, name) for name in grid.engines}:
                    recipe = resolve_recipe(model, engine, _overrides(study.recipes, grid, model, engine))
                    canonical_json(recipe)
                    if made and grid.experiment not in MEASURED:
                        check_fit(recipe, made)


@contextmanager
def _recipe_of(study: Study, model: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(error.what, f"{study.path}: recipe of {model}", error.remedy) from None
