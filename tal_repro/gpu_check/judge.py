"""What the evidence of a card shows, as findings: fine, to be minded, or in the way. Pure functions of evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tal_repro.doctor.finding import Finding, fail, ok, warn
from tal_repro.engines.upstream.checkout import GET
from tal_repro.gpu_check.evidence import NATIVE, Evidence
from tal_repro.models.registry import MODELS, OF_AUTHORS
from tal_repro.run.room import MOST_PACKED, Card, Host, lacks, room

PRODUCT_ERROR = 1e-5  # float32 sums of 2048 terms differ by 3e-7; TensorFloat-32 by 3e-4
SCORE_DIFFERENCE = 1e-3  # between two devices' float32, through a whole network
MISSED_SHARE = 0.05  # of the sampler's ticks
FROM_THERE = "read its message; the same step is: tal-repro bench attribution --model {} --engine {} --data DIR"


def findings(evidence: Evidence, models: Sequence[str], on_gpu: bool) -> Iterator[Finding]:
    """Judge all that was done; `models`: whose authors' code is there, `on_gpu`: not a rehearsal on a CPU."""
    yield _product(evidence)
    for model, entry in MODELS.items():
        if "native" in entry.engines:
            yield _native(evidence, model)
    yield _detections(evidence)
    for model in OF_AUTHORS:
        yield _authors(evidence, model, model in models)
    if on_gpu:
        yield from _counters(evidence)
    yield _sampler(evidence)


def step_mib(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Return what each training took of the card above what was taken before, by engine and model."""
    before = _before(evidence)
    mib: dict[str, dict[str, float]] = {}
    for name, line in evidence.lines.items():
        who, _, model = name.partition(" ")
        seen = evidence.during(name, "gpu_memory_mib")
        engine = {NATIVE: "native", "authors": "upstream"}.get(who, "")
        if engine and model and seen and "problem" not in line and max(seen) > before:
            mib.setdefault(engine, {})[model] = round(max(seen) - before, 1)
    return mib


def rooms(steps: dict[str, dict[str, float]], card: Card, here: Host) -> Iterator[Finding]:
    """Say for each engine whether 2, 3 and 4 of its largest training fit on the card and the machine around it."""
    for engine, whose in (("upstream", "the authors' code"), ("native", "native engine")):
        name, by_model = f"room, {whose}", steps.get(engine, {})
        if not by_model:
            yield warn(name, "not known: no training step was measured", "leave jobs_per_gpu at 1")
            continue
        model, mib = max(by_model.items(), key=lambda pair: pair[1])
        each = [(jobs, lacks(jobs, card, mib, here)) for jobs in range(2, MOST_PACKED + 1)]
        text = "; ".join(f"{jobs} {'do not fit (' + lack + ')' if lack else 'fit'}" for jobs, lack in each)
        what = f"the largest step ({model}) takes {mib / 1024:.1f} of {card.total_mib / 1024:.1f} GiB: {text}"
        jobs, figures = room(card, mib, here), {f"{name}_mib": value for name, value in by_model.items()}
        if jobs > 1:
            yield ok(name, what, jobs=jobs, **figures)
        else:
            yield warn(name, what, "leave jobs_per_gpu at 1", jobs=jobs, **figures)


def _product(evidence: Evidence) -> Finding:
    name, line = "product", evidence.lines.get("product")
    if line is None or "problem" in line:
        return fail(name, _problem(evidence, line), "check the driver (nvidia-smi) and the torch build: make doctor")
    error = float(line["relative_error"])
    what = f"a float32 product is {error:.0e} from the CPU's"
    if error < PRODUCT_ERROR:
        return ok(name, what, relative_error=error)
    remedy = "unset what allows TensorFloat-32 (TORCH_ALLOW_TF32_CUBLAS_OVERRIDE); else do not trust this card"
    return fail(name, what, remedy, relative_error=error)


def _native(evidence: Evidence, model: str) -> Finding:
    name = f"{NATIVE} {model}"
    line = evidence.lines.get(name)
    if line is None or "problem" in line:
        return fail(name, _problem(evidence, line), FROM_THERE.format(model, "native"))
    return ok(name, f"a training step takes {line['step_ms']:.0f} ms", step_ms=line["step_ms"])


def _detections(evidence: Evidence) -> Finding:
    """Judge decoding and NMS: what a network on the card makes of an input beside what it makes of it on the CPU."""
    own = {name.removeprefix(NATIVE).strip(): line for name, line in evidence.lines.items() if name.startswith(NATIVE)}
    lines = {model: line for model, line in own.items() if line.get("score_difference") is not None}
    if not lines:
        return fail("detections", "no model came as far as its detections", "mend what failed above")
    worst = max(lines, key=lambda model: float(lines[model]["score_difference"]))
    far = float(lines[worst]["score_difference"])
    counts = ", ".join(f"{model} {line['detections']}" for model, line in lines.items())
    what = f"after NMS: {counts}; the best scores differ from the CPU's by {far:.0e} at most ({worst})"
    if far < SCORE_DIFFERENCE:
        return ok("detections", what, score_difference=far)
    return fail("detections", what, "do not trust this card's results before the reason is known")


def _authors(evidence: Evidence, model: str, there: bool) -> Finding:
    name = f"authors {model}"
    line = evidence.lines.get(name)
    if not there:
        return warn(name, "not tried: the authors' code is not here", f"{GET}; in a container: TARGET=upstream")
    if line is None or "problem" in line:
        outcome = fail if MODELS[model].by_default else warn  # the study runs it only where it is asked for
        return outcome(name, _problem(evidence, line), FROM_THERE.format(model, "upstream"))
    return ok(name, f"a training step takes {line['step_ms']:.0f} ms", step_ms=line["step_ms"])


def _counters(evidence: Evidence) -> Iterator[Finding]:
    """Judge NVML's counters: does each move when the card works?"""
    busy = evidence.samples.get("gpu_percent", [])
    slice_or_driver = "a MIG slice tells less than a whole card; else update the driver"
    if not busy:
        yield warn("utilisation", "NVML tells none", f"traces will lack it; {slice_or_driver}")
    elif max(busy) <= 0:
        yield warn("utilisation", "stayed at 0 % while the card worked", "traces would be wrong: update the driver")
    else:
        yield ok("utilisation", f"up to {max(busy):.0f} % while the models trained", gpu_percent=max(busy))
    steps = step_mib(evidence)
    if steps:
        yield ok("card memory", f"rises and falls with {sum(map(len, steps.values()))} trainings")
    else:
        yield warn("card memory", "NVML does not tell what a training takes", slice_or_driver)
    joules = evidence.sampler.get("energy_joules", {})
    joules = float(joules.get("gpu", 0.0)) if isinstance(joules, dict) else 0.0
    if joules > 0:
        seconds = float(evidence.sampler.get("seconds", 0.0)) or 1.0
        yield ok("energy", f"{joules:.0f} J in {seconds:.0f} s, {joules / seconds:.0f} W", joules=joules)
    else:
        yield warn("energy", "the card counts none", "energy and carbon of runs on it will be told as not counted")


def _sampler(evidence: Evidence) -> Finding:
    name, answer = "sampler", evidence.sampler
    if answer.get("error") or not answer.get("samples"):
        said = str(answer.get("error") or "it took no sample")
        return fail(name, said, "traces (Figure 6) cannot be taken: read the message; see nvidia-smi")
    taken, missed = int(answer["samples"]), int(answer.get("missed", 0))
    what = f"{taken} samples, {missed} missed, {answer.get('own_cpu_percent_of_one_core', 0.0):.1f} % of a core"
    if errors := answer.get("gpu_errors"):
        return warn(name, f"{what}; NVML: {', '.join(errors)}", "those columns will have gaps")
    if missed > MISSED_SHARE * (taken + missed):
        return warn(name, what, "the machine is busy, or has few cores: traces will have gaps")
    return ok(name, what, samples=taken, missed=missed)


def _before(evidence: Evidence) -> float:
    """Return what was taken of the card before anything of ours ran (0 where that was not seen)."""
    starts = [line["started"] for line in evidence.lines.values() if "started" in line]
    first = min(starts, default=0.0)
    times, used = evidence.samples.get("unix_time", []), evidence.samples.get("gpu_memory_mib", [])
    return min((mib for at, mib in zip(times, used, strict=False) if at < first), default=0.0)


def _problem(evidence: Evidence, line: dict[str, Any] | None) -> str:
    """Return a task's own words; of one that was not reached those of the process that ended before it."""
    answer = line or evidence.lines.get(NATIVE) or {}
    return str(answer.get("problem") or "its process told nothing of it")
