"""Runs of one experiment and model that were made under different settings are never averaged: one setting leads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tal_repro.runs.run import Run, Setting

WORDS = {"engine_version": "engine version", "device_kind": "device"}


def apart(runs: Iterable[Run]) -> dict[Setting, list[Run]]:
    """Group runs by setting, the leading one first: the authors' code, then most runs, then GPU, then float32."""
    groups: dict[Setting, list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.setting].append(run)

    def rank(setting: Setting) -> tuple[bool, int, bool, bool, Setting]:
        lesser = setting.engine != "upstream", setting.device_kind != "cuda", setting.precision != "fp32"
        return lesser[0], -len(groups[setting]), lesser[1], lesser[2], setting

    return {setting: groups[setting] for setting in sorted(groups, key=rank)}


def pooled(runs: Iterable[Run], *, one_engine: bool = False) -> list[Run]:
    """Return, of each experiment, model and engine, the runs of the leading setting: those that may be averaged.

    `one_engine`: of each experiment and model, where a table has one line for both engines.
    """
    groups: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        groups["" if one_engine else run.engine, *_subject(run)].append(run)
    return [run for group in groups.values() for run in _leading(group)]


def _subject(run: Run) -> tuple[str, ...]:
    """Return what runs are of, whatever their setting; what an ablation varies is its subject."""
    varied = (run.unit, run.policy, str(run.spec.recipe.get("budget"))) if run.experiment == "ablation" else ()
    return run.experiment, run.model, *varied


def _leading(runs: list[Run]) -> list[Run]:
    """Return the runs of the leading setting. Whole trainings belong to it, too: they are drawn under no policy."""
    groups = apart(runs)
    lead = next(iter(groups))
    if not lead.policy:
        lead = next((other for other in groups if other.policy and other._replace(policy="") == lead), lead)
    return [run for run in runs if run.setting in (lead, lead._replace(policy=""))]


def others(runs: Iterable[Run], kept: Iterable[Run]) -> list[str]:
    """Say which runs were not averaged with those kept: "2 runs of tadtr apart: threads 2"."""
    runs, ids = list(runs), {run.run_id for run in kept}
    leading = {(run.engine, *_subject(run)): run.setting for run in runs if run.run_id in ids}
    notes: dict[str, int] = defaultdict(int)
    for run in runs:
        lead = leading.get((run.engine, *_subject(run)))
        if run.run_id in ids or lead is None:
            continue
        names = lead.differences(run.setting)
        what = ", ".join(WORDS.get(n, n) + _value(n, run.setting) for n in names)
        notes[f"of {run.experiment} of {run.model} shown apart, not averaged with the others: {what}"] += 1
    return [f"{count} run{'s' * (count != 1)} {what}" for what, count in notes.items()]


def processors(runs: Iterable[Run]) -> str:
    """Say where runs were made by processors of several kinds, which round otherwise ("": one kind, or unknown)."""
    kinds: dict[str, int] = defaultdict(int)
    for run in runs:
        cpu = run.system.get("cpu")
        if isinstance(cpu, dict) and (kind := cpu.get("torch_instructions") or cpu.get("instructions")):
            kinds[str(kind)] += 1
    if len(kinds) < 2:
        return ""
    counts = ", ".join(f"{count} with {kind}" for kind, count in sorted(kinds.items()))
    return f"processors of {len(kinds)} kinds made these runs ({counts}), which round differently: docs/running.md"


def _value(name: str, setting: Setting) -> str:
    value = getattr(setting, name)
    return f" {value}" if name not in ("recipe", "data", "options") else ""
