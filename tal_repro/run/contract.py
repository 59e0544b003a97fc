"""What every model must fulfil, one step after another with messages that teach: `models check` and the tests run it.

A step that needs the authors' checkout says so where there is none, instead of passing. The last step trains for two
epochs on a small synthetic data set.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tal_repro import kit
from tal_repro.engines.macs_process import count_apart
from tal_repro.engines.registry import engine_version, engines_of, get_adapter
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.spec import canonical_json

Outcome = Literal["ok", "failed", "not run"]
HOOKS = ("restrict(", "metrics(", "detections(", "add_losses(", "end_losses(")
EVENTS = ("run", "epoch", "train", "eval", "iteration")
MACS_LENGTH = 64
PERCENT = 60
PHASES_TOLERANCE = 0.02
LAST_LINES = 12
DOCS = "docs/adding-a-model.md"


@dataclass(frozen=True)
class Finding:
    """One step of the contract: how it went, and what was seen or is to be done."""

    step: str
    outcome: Outcome
    message: str


def check_model(
    model: str, engine: str, settings: Mapping[str, Any] | None = None, train: bool = True
) -> Iterator[Finding]:
    """Yield the findings in order; nothing after the first step that did not pass.

    `settings` replace hyper-parameters of the small training.
    """
    steps: list[tuple[str, Callable[[], str]]] = [
        ("registry", lambda: _registry(model, engine)),
        ("recipe", lambda: _recipe(model)),
    ]
    if engine == "upstream":
        steps += [("patches", lambda: _patches(model)), ("description", lambda: _description(model))]
        steps += [("checkout", lambda: _checkout(model))]
    steps += [("macs", lambda: _macs(model, engine))]
    if train:
        steps += [("training", lambda: _training(model, engine, settings or {}))]
    for step, function in steps:
        if step == "checkout" and (missing := _missing_checkout(model)):
            yield Finding(step, "not run", missing)
            return
        finding = _step(step, function)
        yield finding
        if finding.outcome != "ok":
            return


def _step(step: str, function: Callable[[], str]) -> Finding:
    try:
        return Finding(step, "ok", function())
    except InputError as error:
        return Finding(step, "failed", str(error))
    except Exception as error:  # an author's code may raise anything
        return Finding(step, "failed", f"{type(error).__name__}: {error}\n  remedy: see {DOCS}")


def _registry(model: str, engine: str) -> str:
    entry = model_entry(model)
    if engine not in engines_of(model):
        raise InputError(f"{model} has no {engine} engine", remedy=f"use --engine {engines_of(model)[0]}")
    if entry.unit not in ("video", "slice"):
        raise InputError(f"unit {entry.unit!r}", "tal_repro/models/registry.py", "use video or slice")
    version = engine_version(model, engine, "training")
    return f"{entry.title}, {entry.repository} at {entry.commit[:12]}, results of {version}"


def _recipe(model: str) -> str:
    recipe = model_entry(model).recipe
    values = dataclasses.asdict(recipe)
    canonical_json(values)  # JSON values only: they are part of a run's id
    hash(recipe)  # a list among them would not be; use a tuple
    for name in ("feature_dim", "num_classes", "epochs", "batch_size"):
        if not isinstance(values.get(name), int) or values[name] < 1:
            raise InputError(
                f"{name} = {values.get(name)!r}", "RECIPE", f"give a whole number of 1 or more; see {DOCS}"
            )
    return f"{len(values)} hyper-parameters"


def _patches(model: str) -> str:
    from tal_repro.engines.upstream.patches import model_patches

    folder = kit.patches(model)
    patches = model_patches(folder)
    text = "\n".join(
        line.decode(errors="replace")
        for patch in patches
        for change in patch.files
        for insertion in change.insertions
        for line in insertion.lines
    ).replace('"', "'")
    lacking = [f"{name}...)" for name in HOOKS if f"tal_hooks.{name}" not in text]
    lacking += [f"event('{kind}', ...)" for kind in EVENTS if f"event('{kind}'" not in text]
    if lacking:
        raise InputError(f"no patch calls tal_hooks.{', '.join(lacking)}", folder, f"see {DOCS}: patches")
    return f"{len(patches)} patches, insert-only"


def _description(model: str) -> str:
    get_adapter(model, "upstream")
    return "complete"


def _missing_checkout(model: str) -> str:
    from tal_repro.engines.upstream.checkout import status

    found = status(model)
    return "" if found.present else f"{found.problem}\n  remedy: {found.remedy}"


def _checkout(model: str) -> str:
    from tal_repro.engines.upstream.checkout import prepare

    return f"patched copy in {prepare(model).name}"


def _macs(model: str, engine: str) -> str:
    if engine == "native":
        from tal_repro.measure.macs import count_module

        adapter = get_adapter(model, engine)
        macs: object = count_module(adapter.build_for_macs(MACS_LENGTH), *adapter.example_input(MACS_LENGTH))[0]
    else:
        macs = count_apart(model, engine, MACS_LENGTH)["macs"]
    if not isinstance(macs, int) or macs <= 0:
        raise InputError("the module multiplies nothing", "build", f"return the whole model; see {DOCS}")
    return f"{macs / 1e9:.3f} GMACs at {MACS_LENGTH} feature steps"


def _training(model: str, engine: str, settings: Mapping[str, Any]) -> str:
    """Train through the command line, as a user would, in a process of its own."""
    wanted = {**_small(model, engine), **settings}
    words = [
        f"--set={key}={_toml(value)}" for key, value in wanted.items() if key not in ("feature_dim", "num_classes")
    ]
    with tempfile.TemporaryDirectory() as scratch:
        data = _small_data(Path(scratch) / "data", int(wanted["feature_dim"]))
        runs = Path(scratch) / "runs"
        command = [
            sys.executable,
            "-m",
            "tal_repro",
            "train",
            "--model",
            model,
            "--engine",
            engine,
            "--data",
            str(data),
        ]
        command += ["--percent", str(PERCENT), "--seed", "3", "--out", str(runs), *words]
        answer = subprocess.run(
            command,
            env=kit.child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        records = list(RunStore(runs).records())
        if answer.returncode != 0 or not records:
            tail = "\n".join(answer.stdout.splitlines()[-LAST_LINES:])
            raise InputError(f"exit code {answer.returncode}\n{tail}", "training", _remedy(tail))
        return judge(records[0])


def _remedy(tail: str) -> str:
    """Point to the shims where a training ended for what a library no longer has."""
    gone = ("No module named", "has no attribute", "Weights only load failed", "not compiled with CUDA")
    if any(words in tail for words in gone):
        return f"is there a shim for it? Add its name to SHIMS (tal-repro upstream diff all lists them); see {DOCS}"
    return f"see {DOCS}"


def judge(record: RunRecord) -> str:
    """Say what a small training showed; raise InputError where it breaks the contract."""
    metrics = record.metrics
    selections = sorted({row["selection"] for row in metrics["rows"]})
    if "last" not in selections:
        raise InputError(f"scored are {', '.join(selections) or 'none'}, not the last epoch", "metrics", f"see {DOCS}")
    if record.detections.empty:
        raise InputError("no detections", "metrics", "train longer (--set epochs=...), or the hook lacks them")
    seconds = metrics["seconds"]
    phases = sum(seconds.get(name, 0.0) for name in ("setup", "train", "eval", "checkpoint", "eval_after"))
    if abs(phases / seconds["total"] - 1) > PHASES_TOLERANCE and "upstream" in metrics:
        raise InputError(
            f"phases are {phases / seconds['total']:.1%} of the wall time", "timing", f"see {DOCS}: timing"
        )
    for one in metrics.get("upstream", {}).get("own_print", ()):
        if not one["agrees"]:
            raise InputError(
                f"the kit's mAP is {one['kit_map']:.4f}, its own print says {one['upstream_printed_map']:.4f}",
                "metrics",
                "PROTOCOL, or the times or labels that the hook is given, do not fit",
            )
    return f"{metrics['optimizer_steps']} steps in {seconds['total']:.1f} s, scored {', '.join(selections)} (synthetic)"


def _small(model: str, engine: str) -> dict[str, Any]:
    entry = model_entry(model)
    if "native" not in entry.engines:
        return {"feature_dim": entry.recipe.feature_dim, "epochs": 2}
    # TadTR's own code knows no width but 2048
    return {"feature_dim": 2048 if (engine, model) == ("upstream", "tadtr") else 16, **entry.recipe.small(model)}


def _small_data(out: Path, feature_dim: int) -> Path:
    from tal_repro.data.synthetic import write_synthetic
    from tal_repro.data.synthetic_config import SyntheticConfig

    # 20 test videos hold every class: TadTR's own evaluation needs that.
    return write_synthetic(out, SyntheticConfig(20, 20, feature_dim, 20, (20.0, 40.0), difficulty=0.1, seed=5))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        str([list(one) if isinstance(one, tuple) else one for one in value])
        if isinstance(value, list | tuple)
        else str(value)
    )
