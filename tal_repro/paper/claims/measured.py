"""Judge a claim by runs: reproduced, not, inconclusive (and how many runs more), not comparable here, or not run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tal_repro import thumos14
from tal_repro.models.registry import model_entry
from tal_repro.paper.claims.derivation import Derivation
from tal_repro.paper.claims.judging import TOO_MANY, interval_text, judge_reading, measured_reading
from tal_repro.paper.claims.means import RUNS_WANTED, further_runs, judge_mean, runs_wanted
from tal_repro.paper.claims.measurements import READERS, train_seconds
from tal_repro.paper.claims.observation import Observation
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.paper.measured_tables import measured_tables, sweeps
from tal_repro.paper.statistics import Sample, mean_interval, welch
from tal_repro.published.table import Table
from tal_repro.runs.apart import others, pooled
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run

TADTR_PERCENTS = (*range(1, 6), *range(10, 101, 5))
OTHER_PERCENTS = (10, 20, 40, 60, 80, 100)
NEED_NO_DATA = ("macs", "latency")
REPEATED = ("seconds", "latency", "hardware")  # in processes of their own
# no manifest of the authors' feature files is known: width and lengths are what could be compared
UNVERIFIED = "features unverified"
SYNTHETIC = "synthetic data"
HOPPER = ("H100", "H200", "H800", "H20", "GH200")  # a claim about an H100 is one about its generation


@dataclass(frozen=True)
class Measured:
    """What runs say about a claim."""

    verdict: str
    reason: str
    value: float | None = None
    sample: Sample | None = None
    runs: tuple[Run, ...] = ()
    further_runs: int | None = None
    derivation: Derivation | None = None
    unlike: tuple[str, ...] = ()  # why runs that there are cannot judge a claim about THUMOS14


def measure(claim: Claim, runs: Runs, published: Mapping[str, Table]) -> Measured:
    """Return the measured verdict on `claim`."""
    if claim.nothing_to_run:
        return Measured("not run", f"nothing to run: {claim.nothing_to_run}")
    chosen = runs.of(claim.experiment, *claim.models)
    if not chosen:
        return Measured("not run", f"needs experiment {claim.experiment} of {', '.join(claim.models)}")
    unlike = unlike_the_papers_network if claim.kind in NEED_NO_DATA else unlike_thumos14
    real = [run for run in chosen if not unlike(run)]
    if not real:
        reasons = sorted({unlike(run) for run in chosen})
        reason = f"{_count(chosen)} cannot judge a claim about THUMOS14: {', '.join(reasons)}"
        return Measured("not run", reason, unlike=tuple(reasons))
    engine = "upstream" if any(run.engine == "upstream" for run in real) else "native"
    of_engine = [run for run in real if run.engine == engine]
    kept = of_engine if claim.kind == "latency" else pooled(of_engine)  # times: readers choose the machine
    if claim.measure == "derivation":
        measured = _by_derivation(claim, kept, published)
    else:
        measured = _by_reading(claim, replace(runs, runs=tuple(_judging(runs))), kept)
    notes = others(of_engine, kept)
    if claim.kind not in NEED_NO_DATA:
        notes.append(UNVERIFIED)
    return replace(measured, reason="; ".join([measured.reason, *notes]))


def _judging(runs: Runs) -> list[Run]:
    """Return the runs that may judge claims about THUMOS14, and those that need no data."""
    free = [run for run in runs.runs if run.spec.data is None and not unlike_the_papers_network(run)]
    return [*free, *pooled(run for run in runs.runs if run.spec.data is not None and not unlike_thumos14(run))]


def unlike_the_papers_network(run: Run) -> str:
    """Say why counts or times are not of the paper's network ("": they are): it may be fitted to another set."""
    recipe = run.spec.recipe
    of_paper = {"feature_dim": thumos14.FEATURE_DIM, "num_classes": thumos14.CLASSES}
    if levels := getattr(model_entry(run.model).recipe, "levels", None):
        of_paper["levels"] = levels
    other = any(recipe.get(name, value) != value for name, value in of_paper.items())
    return "networks for other channels, classes or levels than THUMOS14's" if other else ""


def unlike_thumos14(run: Run) -> str:
    """Say why a run's mAP and times are not of the paper's data ("": as far as is known, they are)."""
    if run.synthetic:
        return SYNTHETIC
    if run.derived:
        return "derived features"
    data = run.spec.data
    if data is None or data.annotation_hash != thumos14.ANNOTATION_HASH:
        return "not THUMOS14, by its annotations"
    if run.data.get("feature_dim") != thumos14.FEATURE_DIM or run.data.get("thumos14_unlike_lengths") != 0:
        return "other features than the paper's (width or lengths)"
    return ""


def _by_reading(claim: Claim, runs: Runs, chosen: list[Run]) -> Measured:
    name, _, option = claim.measure.partition(":")
    here = [run for run in chosen if _of_class(claim, run)]
    reader = READERS.get(name)
    observation = (reader(runs, here, option) or reader(runs, chosen, option)) if reader else None
    if observation is None:
        return Measured("not run", f"{_count(chosen)} of {claim.experiment}, but none holds a usable value")
    if not all(_of_class(claim, run) for run in observation.runs):
        return _on_another_machine(claim, runs, observation)
    return _judge(claim, observation)


def _of_class(claim: Claim, run: Run) -> bool:
    """Say whether a run is of the class of machine that a claim is about; a processor beside its GPU is."""
    beside = claim.measure == "cpu_against_gpu" and "NVIDIA" not in run.device
    return not claim.gpu or beside or _is_gpu(claim.gpu, run.device)


def _is_gpu(gpu: str, device: str) -> bool:
    return any(name in device for name in (HOPPER if gpu in HOPPER else (gpu,)))


def _on_another_machine(claim: Claim, runs: Runs, observation: Observation) -> Measured:
    """A claim about a machine is judged on its class only; elsewhere the ratio to another model is told, no verdict."""
    devices = ", ".join(sorted({run.device for run in observation.runs}))
    notes = [f"measured on {devices}, printed for {claim.gpu}", *filter(None, [observation.note])]
    other = runs.of(claim.experiment, claim.ratio_to) if claim.ratio_to else []
    base = train_seconds(runs, [r for r in other if r.engine == observation.runs[0].engine], "")
    if base and {r.device for r in base.runs} == {r.device for r in observation.runs}:
        ratio = observation.value / base.value
        notes.append(f"on one machine {ratio:.2f} times {claim.ratio_to}'s, {printed_ratio(claim)}")
    return Measured("not comparable here", "; ".join(notes), observation.value, observation.sample, observation.runs)


def printed_ratio(claim: Claim) -> str:
    """Write what the paper prints for a claim over what it prints for the model it is compared with ("": with none)."""
    other = next((c for c in load_claims() if c.measure == "train_seconds" and c.models == (claim.ratio_to,)), None)
    if other is None:
        return ""
    machines = "" if other.gpu == claim.gpu else " (of two machines)"
    return f"printed {claim.numbers[0] / other.numbers[0]:.2f} times{machines}"


def _judge(claim: Claim, observation: Observation) -> Measured:
    """Judge by the mean where runs repeat the number, else by the number itself."""
    sample = observation.sample
    note = f"{observation.note}; " if observation.note else ""
    if not observation.decided:
        value = observation.value if math.isfinite(observation.value) else None
        return Measured("inconclusive", observation.note, value, sample, observation.runs, observation.further_runs)
    if sample is not None:
        return _judge_mean(claim, observation, sample, note)
    if missing := _missing_processes(claim, observation):
        note += f"needs {runs_wanted(claim)} processes; at least {missing} more"
        return Measured("inconclusive", note, observation.value, sample, observation.runs, missing)
    inside = observation.holds and claim.bounds[0] <= observation.value <= claim.bounds[1]
    note += f"accepted {interval_text(*claim.bounds, claim.unit)}"
    return Measured("reproduced" if inside else "not reproduced", note, observation.value, sample, observation.runs)


def _missing_processes(claim: Claim, observation: Observation) -> int:
    """Return how many more processes a time needs on the machine that has fewest."""
    if claim.kind not in REPEATED:
        return 0
    return max(0, runs_wanted(claim) - min(Counter(run.device for run in observation.runs).values()))


def _judge_mean(claim: Claim, observation: Observation, sample: Sample, note: str) -> Measured:
    left, right = mean_interval(sample)
    note += (
        f"90 % interval of the mean {left:.4g} to {right:.4g} {claim.unit} (n = {sample.n}); claimed "
        f"{interval_text(*claim.bounds, claim.unit)}, margin {claim.margin:g} {claim.unit}"
        f"{_against_printed(claim, sample)}"
    )
    verdict, further = judge_mean(claim, sample), None
    if verdict == "reproduced" and claim.cannot_settle:
        return Measured("inconclusive", f"{note}; {claim.cannot_settle}", observation.value, sample, observation.runs)
    if verdict == "inconclusive":
        further = further_runs(claim, sample)
        note += f"; {TOO_MANY if further is None else f'{further} more runs'}"
    return Measured(verdict, note, observation.value, sample, observation.runs, further)


def _against_printed(claim: Claim, sample: Sample) -> str:
    if claim.kind != "map" or len(claim.numbers) < 2 or sample.n < 2:
        return ""
    said = Sample(claim.numbers[0], claim.numbers[1], RUNS_WANTED)
    return f"; Welch against the printed mean p = {welch(said, sample):.2g}"


def _by_derivation(claim: Claim, chosen: list[Run], published: Mapping[str, Table]) -> Measured:
    """Put the measured tables through the derivation that reads the published ones."""
    if claim.experiment == "data_sweep" and (missing := _missing_sweep_runs(claim.models, chosen)):
        note = f"{missing} of the sweep's runs are missing"
        return Measured("inconclusive", note, runs=tuple(chosen), further_runs=missing)
    tables = {**published, **measured_tables(chosen)}
    if claim.experiment == "macs" and (absent := sorted(set(claim.models) - set(tables["gmacs"]["model"].tolist()))):
        return Measured("inconclusive", f"no MACs of {', '.join(absent)}", runs=tuple(chosen), further_runs=len(absent))
    derivation = DERIVATIONS[claim.id](tables)
    reading = measured_reading(claim, derivation, DERIVATIONS[claim.id](published))
    if reading is None:
        reason = f"{derivation.reason}; such runs leave it open, however many they are"
        return Measured("inconclusive", reason, runs=tuple(chosen), derivation=derivation)
    verdict, how, further = judge_reading(claim, reading.value, *_repeats(claim, chosen))
    reason = f"{derivation.reason}; judged by: {reading.label}; {how}"
    return Measured(verdict, reason, reading.value, None, tuple(chosen), further, derivation)


def _repeats(claim: Claim, chosen: list[Run]) -> tuple[int, int]:
    """Return the runs at the sweep's point with fewest, and how many points there are."""
    counts = [len(group) for (model, _), group in sweeps(chosen).items() if model in claim.models]
    return min(counts, default=0), len(counts)


def sweep_points(models: Iterable[str]) -> list[tuple[str, float]]:
    """Return the points (model, percentage) of the published sweeps of some models."""
    return [(m, float(p)) for m in models for p in (TADTR_PERCENTS if m == "tadtr" else OTHER_PERCENTS)]


def _missing_sweep_runs(models: Iterable[str], chosen: list[Run]) -> int:
    points = sweeps(chosen)
    return sum(max(0, RUNS_WANTED - len(points.get(point, ()))) for point in sweep_points(models))


def _count(runs: list[Run]) -> str:
    return f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
