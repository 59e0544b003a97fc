"""Judge a claim by runs: reproduced, not reproduced, inconclusive (and how many runs more), or not run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tal_repro import thumos14
from tal_repro.paper.claims.derivation import Derivation
from tal_repro.paper.claims.found import Found
from tal_repro.paper.claims.judging import judge_measured
from tal_repro.paper.claims.measurements import READERS, train_seconds
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.paper.measured_tables import measured_tables, sweeps
from tal_repro.paper.statistics import Sample, mean_interval, runs_needed, welch
from tal_repro.published.table import Table
from tal_repro.runs.apart import others, pooled
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run

RUNS_WANTED = 5  # the paper's repetitions
CONFIDENCE = 0.9  # of the interval of a mean that must lie inside the band (two one-sided tests at 5 %)
TADTR_PERCENTS = (*range(1, 6), *range(10, 101, 5))
OTHER_PERCENTS = (10, 20, 40, 60, 80, 100)
NEED_NO_DATA = ("macs", "latency")
# no manifest of the authors' feature files is known: width and lengths are what could be compared
UNVERIFIED = "features unverified"
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


def measure(claim: Claim, runs: Runs, published: Mapping[str, Table]) -> Measured:
    """Return the measured verdict on `claim`."""
    if claim.nothing_to_run:
        return Measured("not run", f"nothing to run: {claim.nothing_to_run}")
    chosen = runs.of(claim.experiment, *claim.models)
    if not chosen:
        return Measured("not run", f"needs experiment {claim.experiment} of {', '.join(claim.models)}")
    real = chosen if claim.kind in NEED_NO_DATA else [run for run in chosen if not unlike_thumos14(run)]
    if not real:
        reasons = sorted({unlike_thumos14(run) for run in chosen})
        return Measured("not run", f"{_count(chosen)} cannot judge a claim about THUMOS14: {', '.join(reasons)}")
    engine = "upstream" if any(run.engine == "upstream" for run in real) else "native"
    of_engine = [run for run in real if run.engine == engine]
    kept = of_engine if claim.kind == "latency" else pooled(of_engine)  # times: readers choose the machine
    if claim.measure == "derivation":
        found = _by_derivation(claim, kept, published)
    else:
        found = _by_reading(claim, replace(runs, runs=tuple(_judging(runs))), kept)
    notes = others(of_engine, kept)
    if claim.kind not in NEED_NO_DATA:
        notes.append(UNVERIFIED)
    return replace(found, reason="; ".join([found.reason, *notes]))


def _judging(runs: Runs) -> list[Run]:
    """Return the runs that may judge claims about THUMOS14, and those that need no data."""
    free = [run for run in runs.runs if run.spec.data is None]
    return [*free, *pooled(run for run in runs.runs if run.spec.data is not None and not unlike_thumos14(run))]


def unlike_thumos14(run: Run) -> str:
    """Say why a run's mAP and times are not of the paper's data ("": as far as is known, they are)."""
    if run.synthetic:
        return "synthetic data"
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
    reader = READERS.get(name)
    found = reader(runs, chosen, option) if reader else None
    if found is None:
        return Measured("not run", f"{_count(chosen)} of {claim.experiment}, but none holds a usable value")
    if claim.gpu and not all(_is_gpu(claim.gpu, run.device) for run in found.runs):
        return _on_another_machine(claim, runs, found)
    return _judge(claim, found)


def _is_gpu(wanted: str, device: str) -> bool:
    return any(name in device for name in (HOPPER if wanted in HOPPER else (wanted,)))


def _on_another_machine(claim: Claim, runs: Runs, found: Found) -> Measured:
    """A time counts absolutely on the paper's GPU only; elsewhere as a ratio to another model on the same machine."""
    here = ", ".join(sorted({run.device for run in found.runs}))
    told = f"measured on {here}, printed for {claim.gpu}"
    if claim.measure == "latency_ratio":
        return _judge(claim, found)
    other = runs.of(claim.experiment, claim.ratio_to) if claim.ratio_to else []
    base = train_seconds(runs, [r for r in other if r.engine == found.runs[0].engine], "")
    wanted = printed_ratio(claim)
    same = base is not None and {r.device for r in base.runs} == {r.device for r in found.runs}
    if base is None or wanted is None or not same:
        return Measured("inconclusive", told, found.value, found.sample, found.runs)
    ratio = found.value / base.value
    inside = abs(ratio / wanted - 1) <= claim.relative
    told = f"ratio to {claim.ratio_to} {ratio:.2f}, printed {wanted:.2f} ± {100 * claim.relative:.0f} % ({told})"
    verdict = "reproduced" if inside else "not reproduced"
    return Measured(verdict, told, found.value, found.sample, (*found.runs, *base.runs))


def printed_ratio(claim: Claim) -> float | None:
    """Return what the paper prints for a claim over what it prints for the model it is compared with elsewhere."""
    other = next((c for c in load_claims() if c.measure == "train_seconds" and c.models == (claim.ratio_to,)), None)
    return claim.numbers[0] / other.numbers[0] if other else None


def _judge(claim: Claim, found: Found) -> Measured:
    """Compare with the band: by the interval of the mean where runs repeat the number, else by the number itself."""
    low, high = claim.bounds
    sample = found.sample
    told = f"{found.note}; " if found.note else ""
    if not found.decided:
        value = found.value if math.isfinite(found.value) else None
        return Measured("inconclusive", found.note, value, sample, found.runs, found.further_runs)
    if claim.kind == "map" and sample is not None:
        return _judge_mean(claim, found, sample, low, high)
    inside = found.holds and low <= found.value <= high
    told += f"accepted {_band(low, high)}"
    return Measured("reproduced" if inside else "not reproduced", told, found.value, sample, found.runs)


def _judge_mean(claim: Claim, found: Found, sample: Sample, low: float, high: float) -> Measured:
    left, right = mean_interval(sample, CONFIDENCE)
    told = f"{found.note}; " if found.note else ""
    told += f"90 % interval of the mean {left:.2f} to {right:.2f} (n = {sample.n}), accepted {_band(low, high)}"
    told += _against_printed(claim, sample)
    if low <= left and right <= high and sample.n >= RUNS_WANTED:
        return Measured("reproduced", told, found.value, sample, found.runs)
    if right < low or left > high:
        return Measured("not reproduced", told, found.value, sample, found.runs)
    room = min(found.value - low, high - found.value)
    wanted = runs_needed(sample, room) if room > 0 and sample.n > 1 else RUNS_WANTED
    further = max(1, max(wanted, RUNS_WANTED) - sample.n)
    return Measured("inconclusive", f"{told}; {further} more runs", found.value, sample, found.runs, further)


def _against_printed(claim: Claim, sample: Sample) -> str:
    if len(claim.numbers) < 2 or sample.n < 2:
        return ""
    said = Sample(claim.numbers[0], claim.numbers[1], RUNS_WANTED)
    return f"; Welch against the printed mean p = {welch(said, sample):.2g}"


def _by_derivation(claim: Claim, chosen: list[Run], published: Mapping[str, Table]) -> Measured:
    """Put the measured tables through the derivation that reads the published ones."""
    if claim.experiment == "data_sweep" and (missing := _missing_sweep_runs(claim.models, chosen)):
        told = f"{missing} of the sweep's runs are missing"
        return Measured("inconclusive", told, runs=tuple(chosen), further_runs=missing)
    tables = {**published, **measured_tables(chosen)}
    if claim.experiment == "macs" and (absent := sorted(set(claim.models) - set(tables["gmacs"]["model"].tolist()))):
        return Measured("inconclusive", f"no MACs of {', '.join(absent)}", runs=tuple(chosen), further_runs=len(absent))
    judged = judge_measured(claim, DERIVATIONS[claim.id](tables), DERIVATIONS[claim.id](published))
    if judged.reading is None:
        return Measured(judged.verdict, judged.derivation.reason, runs=tuple(chosen), derivation=judged.derivation)
    told = f"{judged.derivation.reason}; judged by: {judged.reading.label}; accepted {_band(*claim.bounds)}"
    return Measured(
        judged.verdict, told, judged.reading.value, None, tuple(chosen), derivation=judged.derivation
    )  # fmt: skip


def _missing_sweep_runs(models: Iterable[str], chosen: list[Run]) -> int:
    points = sweeps(chosen)
    wanted = ((m, float(p)) for m in models for p in (TADTR_PERCENTS if m == "tadtr" else OTHER_PERCENTS))
    return sum(max(0, RUNS_WANTED - len(points.get(key, ()))) for key in wanted)


def _band(low: float, high: float) -> str:
    if math.isinf(low):
        return f"at most {high:g}"
    return f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"


def _count(runs: list[Run]) -> str:
    return f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
