"""What every model must fulfil, one step after another with messages that teach: `models check` and the tests run it.

A step that needs the authors' checkout says so where there is none, instead of passing. The last steps train on a small
synthetic data set (`trial`); of the authors' code they ask what a witness saw of it (`evidence`): no patch is believed.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tal_repro import kit
from tal_repro.engines.macs_process import count_apart
from tal_repro.engines.registry import engine_version, engines_of, get_adapter
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry
from tal_repro.run.evidence import LEARNT, Undecided
from tal_repro.run.questions import QUESTIONS
from tal_repro.run.trial import BUDGET_S, DATA, DOCS, Trial, small, trials
from tal_repro.runs.record import RunRecord
from tal_repro.spec import canonical_json

Outcome = Literal["ok", "failed", "inconclusive", "not run"]
HOOKS = ("restrict(", "metrics(", "detections(", "add_losses(", "end_losses(")
EVENTS = ("run", "epoch", "train", "eval", "iteration")
MACS_LENGTH = 64
PHASES_TOLERANCE = 0.02


@dataclass(frozen=True)
class Finding:
    """One step of the contract: how it went, and what was seen or is to be done."""

    step: str
    outcome: Outcome
    message: str


def check_model(
    model: str,
    engine: str,
    settings: Mapping[str, Any] | None = None,
    train: bool = True,
    budget_s: float = BUDGET_S,
) -> Iterator[Finding]:
    """Yield the findings in order; nothing after the first step that did not pass, but all that a training shows.

    `settings` replace hyper-parameters of the small training; `budget_s`: what all trainings may take.
    """
    steps: list[tuple[str, Callable[[], str]]] = [
        ("registry", lambda: _registry(model, engine)),
        ("recipe", lambda: _recipe(model)),
    ]
    if engine == "upstream":
        steps += [("patches", lambda: _patches(model)), ("description", lambda: _description(model))]
        steps += [("checkout", lambda: _checkout(model)), ("libraries", lambda: _libraries(model))]
    steps += [("macs", lambda: _macs(model, engine))]
    for step, function in steps:
        if step == "checkout" and (missing := _missing_checkout(model)):
            yield Finding(step, "not run", missing)
            return
        finding = _step(step, function)
        yield finding
        if finding.outcome != "ok":
            return
    if train:
        yield from _training(model, engine, settings or {}, budget_s)


def _step(step: str, function: Callable[[], str]) -> Finding:
    try:
        return Finding(step, "ok", function())
    except Undecided as undecided:
        return Finding(step, "inconclusive", str(undecided))
    except InputError as error:
        return Finding(step, "failed", str(error))
    except Exception as error:  # an author's code may raise anything
        return Finding(step, "failed", f"{type(error).__name__}: {error}\n  remedy: see {DOCS}")


def _training(model: str, engine: str, settings: Mapping[str, Any], budget_s: float) -> Iterator[Finding]:
    """Yield what the last of the small trainings shows; an earlier one counts only where it breaks the contract.

    Which training that was, and what those before it had learnt, is said beside it. Where all is well the authors' code
    is then trained without its patches, too.
    """
    findings: list[Finding] = []
    tried: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for trial in trials(model, engine, settings, Path(scratch), budget_s):
                findings = [_told(finding, trial, tried) for finding in _judged(trial, model_entry(model).beyond)]
                tried.append(trial.tried)
                if any(finding.outcome == "failed" for finding in findings):
                    break
        except InputError as error:
            first, *rest = str(error).split("\n")
            said = f" [{_after(tried)}]" if tried else ""
            yield Finding("training", "failed", "\n".join([first + said, *rest]))
            return
        yield from findings
        if engine == "upstream" and all(finding.outcome == "ok" for finding in findings):
            yield _step("unpatched", lambda: _unpatched(model, trial, settings, Path(scratch)))


def _unpatched(model: str, trial: Trial, settings: Mapping[str, Any], scratch: Path) -> str:
    from tal_repro.run.twins import same_without_patches, some_videos

    assert trial.evidence is not None  # of the authors' code
    sizes = {**small(model, "upstream"), **settings}
    return same_without_patches(model, sizes, some_videos(trial.evidence), scratch / DATA, scratch)


def _told(finding: Finding, trial: Trial, before: Sequence[str]) -> Finding:
    """Let the first and the last finding of a training say which it was, and what was tried before it."""
    if finding.step not in ("training", "map"):
        return finding
    said = f"seed {trial.seed}, {trial.epochs} epochs"
    if before:
        said += f"; {_after(before)}"
    first, *rest = finding.message.split("\n")
    return dataclasses.replace(finding, message="\n".join([f"{first} [{said}]", *rest]))


def _after(before: Sequence[str]) -> str:
    return f"training {len(before) + 1}, after {len(before)} that learnt too little ({'; '.join(before)})"


def _judged(trial: Trial, must_learn: bool) -> Iterator[Finding]:
    yield _step("training", lambda: judge(trial.record))
    if trial.evidence is None:
        if must_learn:
            yield _step("map", lambda: _learnt(trial))
        return
    for name, question in QUESTIONS.items():
        yield _step(name, lambda question=question: question(trial.evidence))  # type: ignore[misc]


def _learnt(trial: Trial) -> str:
    said = f"{trial.best_map:.1%} (synthetic) after {trial.epochs} epochs"
    if trial.best_map < LEARNT:
        raise Undecided(f"{said}: whether it decodes rightly shows only above {LEARNT:.0%}; --set epochs=...")
    return said


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

    checkout = status(model)
    return "" if checkout.present else f"{checkout.problem}\n  remedy: {checkout.remedy}"


def _checkout(model: str) -> str:
    from tal_repro.engines.upstream.checkout import prepare

    return f"patched copy in {prepare(model).name}"


def _libraries(model: str) -> str:
    """Name the calls that today's libraries no longer know and the absent packages, before anything runs."""
    from tal_repro.engines.upstream.checkout import prepare
    from tal_repro.engines.upstream.library_calls import absent, describe, scan
    from tal_repro.engines.upstream.requirements import check_packages
    from tal_repro.engines.upstream.shims import needed

    extra = check_packages(model)
    tree = prepare(model)
    said = describe(scan(tree), {shim.name: shim.reason for shim in needed(model)}, absent(tree))
    return f"{extra} extra packages are here at their versions; {said}" if extra else said


def _macs(model: str, engine: str) -> str:
    from tal_repro.measure.macs import count_module, uncounted

    unsupported: Any
    if engine == "native":
        adapter = get_adapter(model, engine)
        module, inputs = adapter.build_for_macs(MACS_LENGTH), adapter.example_input(MACS_LENGTH)
        macs, _, unsupported = count_module(module, *inputs)
    else:
        counted: dict[str, Any] = count_apart(model, engine, MACS_LENGTH)
        macs, unsupported = counted["macs"], counted["unsupported_ops"]
    if not isinstance(macs, int) or macs <= 0:
        raise InputError("the module multiplies nothing", "build", f"return the whole model; see {DOCS}")
    warning = uncounted(unsupported)
    return f"{macs / 1e9:.3f} GMACs at {MACS_LENGTH} feature steps" + (f"; {warning}" if warning else "")


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
    return f"{metrics['optimizer_steps']} steps in {seconds['total']:.1f} s, scored {', '.join(selections)} (synthetic)"
