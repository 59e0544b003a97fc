"""Which finished runs are a study's: those that it plans, made from one state of its data. The rest is named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from tal_repro.errors import InputError
from tal_repro.runs.run import Run, Setting, setting_of
from tal_repro.spec import DATA_DIGITS, DataSpec, RunSpec, canonical_json

ADMITTED = {  # what a study may leave open -> the fields of a run that then need not be as planned
    "engine": ("engine", "engine_version"),
    "device": ("device_kind",),
    "precision": ("precision",),
    "threads": ("threads",),
}
OF_ENGINE = ("loader_workers",)  # hyper-parameters that one engine has and the other has not
_WORDS = {"engine_version": "engine version", "device_kind": "device"}


class LeftOut(NamedTuple):
    """A run that is not the study's, and why."""

    run_id: str
    reason: str


@dataclass(frozen=True)
class Planned:
    """A study as its readers need it: what it plans, and the data that it was started with last."""

    name: str
    data: DataSpec
    specs: Sequence[RunSpec]
    versions: Mapping[tuple[str, str, str], str]  # (model, engine, experiment) -> today's engine version
    admits: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)  # planned id -> data digest of the last start
    sets: Mapping[str, str] = field(default_factory=dict)  # layout -> digest of the whole set at the last start

    @cached_property
    def _ids(self) -> set[str]:
        return {spec.run_id for spec in self.specs}

    @cached_property
    def _alike(self) -> set[str]:
        """Return what of each planned run must be as planned."""
        return {_key(spec, self.admits) for spec in self.specs}

    @cached_property
    def _near(self) -> dict[tuple[Any, ...], RunSpec]:
        """Return the first planned run at each place of the grid, to say how a run there differs."""
        near: dict[tuple[Any, ...], RunSpec] = {}
        for spec in self.specs:
            near.setdefault(_place(spec), spec)
        return near

    def why_not(self, run: Run) -> str:
        """Say why a run is not one that this study plans ("": it is)."""
        spec = run.spec
        if spec.run_id in self._ids:
            return ""
        if spec.experiment == "released":
            return "" if _is_of(spec.data, self.data) else "other data"
        if self.admits and _key(spec, self.admits) in self._alike:
            today = self.versions.get((spec.model, spec.engine, spec.experiment))
            return "" if today in (None, spec.engine_version) else f"other engine version ({spec.engine_version})"
        near = self._near.get(_place(spec))
        if near is not None:
            return self._differences(run, near)
        if any(other.experiment == spec.experiment and other.model == spec.model for other in self.specs):
            return "not in the study's grid"
        return f"the study plans no {spec.experiment} of {spec.model}"

    def _differences(self, run: Run, near: RunSpec) -> str:
        planned = setting_of(near)
        open_fields = {name for admitted in self.admits for name in ADMITTED[admitted]}
        names = [name for name in planned.differences(run.setting) if name not in open_fields]
        return "other " + (", ".join(_words(name, run.setting, planned) for name in names) or "feature lengths")


def choose(runs: Iterable[Run], planned: Planned, chosen: Sequence[str] = ()) -> tuple[list[Run], list[LeftOut]]:
    """Split runs into the study's and the rest. Raise InputError where the study's are of several states of the data.

    `chosen`: digests (or their beginnings) of the states to keep.
    """
    members, left_out = [], []
    for run in runs:
        if reason := planned.why_not(run):
            left_out.append(LeftOut(run.run_id, reason))
        else:
            members.append(run)
    states = {run.run_id: _state(run, planned) for run in members}
    chosen = _as_sets(chosen, {run.run_id: states[run.run_id][1] for run in members}, planned.name)
    by_layout: dict[str, Counter[str]] = defaultdict(Counter)
    for layout, digest in states.values():
        by_layout[layout][digest] += 1
    kept = {layout: _keep(list(digests), chosen) for layout, digests in by_layout.items()}
    if unclear := [layout for layout, digests in kept.items() if len(digests) > 1]:
        raise _two_states(planned.name, {layout: by_layout[layout] for layout in unclear}, planned.sets)
    kept = _of_one_set(kept, members, states, chosen, planned.name)
    mine = [run for run in members if states[run.run_id][1] in kept[states[run.run_id][0]]]
    others = [run for run in members if states[run.run_id][1] not in kept[states[run.run_id][0]]]
    return mine, [*left_out, *(LeftOut(run.run_id, f"other data ({states[run.run_id][1]})") for run in others)]


def summary(left_out: Sequence[LeftOut]) -> list[str]:
    """Count runs that were left out by reason, the most frequent first."""
    counts = Counter(reason for _, reason in left_out)
    return [f"{number} run{'s' * (number != 1)} left out: {reason}" for reason, number in counts.most_common()]


def _state(run: Run, planned: Planned) -> tuple[str, str]:
    """Return the layout and the digest of the whole set that a run is of.

    A run whose own data has not changed since is of the set that the study was started with last.
    """
    digest = run.spec.data_digest[:DATA_DIGITS]
    if not digest:
        return "", ""
    layout, recorded = _recorded(run)
    if planned.digests.get(run.spec.run_id) == digest and layout in planned.sets:
        return layout, planned.sets[layout]
    return layout, recorded[:DATA_DIGITS] or digest


def _recorded(run: Run) -> tuple[str, str]:
    """Return the layout and the digest of the set that a run was made from, as its data.json says.

    Its status says so, too, but no digest would tell that somebody had changed that.
    """
    status = run.record.status
    layout, recorded = (str(run.data.get(name) or status.get(name) or "") for name in ("layout", "data_set"))
    return layout, recorded


def _of_one_set(
    kept: dict[str, list[str]],
    members: Sequence[Run],
    states: Mapping[str, tuple[str, str]],
    chosen: Sequence[str],
    study: str,
) -> dict[str, list[str]]:
    """Return the states to keep, all of one set: layouts whose annotations differ are of two, one of them is chosen."""
    annotations: dict[str, str] = {}
    for run in members:
        layout, digest = states[run.run_id]
        if layout not in annotations and digest in kept[layout] and _recorded(run)[1].startswith(digest):
            annotations[layout] = str(run.data.get("annotation_hash") or "")
    known = {layout: annotated for layout, annotated in annotations.items() if annotated}
    if len(set(known.values())) < 2:
        return kept
    meant = {annotated for layout, annotated in known.items() if set(kept[layout]) & set(chosen)}
    if len(meant) != 1:
        sets = ", ".join(f"{kept[layout][0]} ({layout}'s layout)" for layout in known)
        what = f"the finished runs of study {study} are of {len(set(known.values()))} data sets with other annotations"
        remedy = f"say which one is meant: --data-digest {kept[next(iter(known))][0]}"
        raise InputError(f"{what}: {sets}", "--results", remedy)
    return {layout: digests if known.get(layout, "") in {"", *meant} else [] for layout, digests in kept.items()}


def _as_sets(chosen: Sequence[str], sets: Mapping[str, str], study: str) -> list[str]:
    """Return the digests of whole sets that were chosen: by their own beginning, or by that of a run's data digest."""
    known: set[str] = set()
    for beginning in chosen:
        named = {digest for digest in sets.values() if digest.startswith(beginning)}
        named |= {digest for name, digest in sets.items() if name.partition("-")[2].startswith(beginning) and digest}
        if not named or not beginning:
            there = ", ".join(sorted({digest for digest in sets.values() if digest})) or "no data"
            raise InputError(
                f"no run of study {study} is of data {beginning!r}", "--data-digest", f"runs are here of: {there}"
            )
        known |= named
    return sorted(known)


def _keep(digests: list[str], chosen: Sequence[str]) -> list[str]:
    named = [digest for digest in digests if any(digest.startswith(beginning) for beginning in chosen)]
    return named or digests


def _two_states(study: str, unclear: Mapping[str, Counter[str]], latest_sets: Mapping[str, str]) -> InputError:
    states = [
        f"{digest} ({number} run{'s' * (number != 1)}, {layout}'s layout)"
        for layout, digests in unclear.items()
        for digest, number in digests.most_common()
    ]
    what = f"the finished runs of study {study} are of {len(states)} states of its data: {', '.join(states)}"
    layout, digests = next(iter(unclear.items()))
    latest = latest_sets.get(layout, next(iter(digests)))
    return InputError(what, "--results", f"say which one is meant; that of the last start: --data-digest {latest}")


def _key(spec: RunSpec, admits: tuple[str, ...]) -> str:
    """Return what of a specification must be as planned where a study leaves fields open."""
    open_fields = {"data_digest", *(name for admitted in admits for name in ADMITTED[admitted])}
    plain = {name: value for name, value in spec.to_json().items() if name not in open_fields}
    if "engine" in admits:
        plain["recipe"] = {name: value for name, value in plain["recipe"].items() if name not in OF_ENGINE}
    return canonical_json(plain)


def _place(spec: RunSpec) -> tuple[Any, ...]:
    """Return where in a grid a run stands: what is not a setting."""
    subset = spec.subset
    drawn = (subset.percent, subset.seed if subset.percent != 100 else 0) if subset else None
    return spec.experiment, spec.model, spec.seed, drawn


def _is_of(data: DataSpec | None, declared: DataSpec) -> bool:
    if data is None or data.synthetic != declared.synthetic:
        return False
    return data.name == declared.name and declared.annotation_hash in ("", data.annotation_hash)


def _words(name: str, setting: Setting, planned: Setting) -> str:
    """Name what differs in a setting, with the value where it is short."""
    if name in ("data", "options"):
        return name
    if name == "recipe":
        return f"recipe ({', '.join(_changed(setting.recipe, planned.recipe))})"
    return f"{_WORDS.get(name, name)} ({getattr(setting, name) or 'none'})"


def _changed(recipe: str, planned: str) -> list[str]:
    import json

    here, there = json.loads(recipe), json.loads(planned)
    names = sorted(name for name in {*here, *there} if here.get(name) != there.get(name))
    return [*names[:4], *([f"{len(names) - 4} more"] if len(names) > 4 else [])]
