"""Times against a model that only sleeps, memory against allocations of known size, and lengths that do not fit."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tal_repro.engines.adapter import RunContext
from tal_repro.errors import InputError
from tal_repro.measure.latency import Effort, Subject, largest_length, measure_inference, measure_subjects
from tal_repro.measure.linearity import linearity, linearity_of
from tal_repro.measure.memory import PeakMemory, available_mib, memory_guard
from tal_repro.run.experiments import run_inference
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

QUICK = Effort(min_samples=3, min_seconds=0.0, max_samples=3, max_warmup=2)


class Sleeper(nn.Module):
    """Takes `ms_per_step` times the length, and `build_ms` to be made, of real time or of a made-up clock's."""

    def __init__(
        self, ms_per_step: float = 1.0, build_ms: float = 0.0, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__()
        sleep(build_ms / 1000)
        self.ms_per_step, self.sleep = ms_per_step, sleep
        self.took: list[tuple[int, float]] = []

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        assert not self.training
        start = time.perf_counter()
        self.sleep(self.ms_per_step * int(lengths[0]) / 1000)
        self.took.append((int(lengths[0]), 1000 * (time.perf_counter() - start)))
        return features


def example_input(length: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, 1, length), torch.tensor([length])


class MadeUpClock:
    """A clock that moves only when slept on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MadeUpClock:
    made = MadeUpClock()
    monkeypatch.setattr("tal_repro.measure.latency.time", made)
    return made


def test_times_are_the_clocks_to_the_last_digit(clock: MadeUpClock) -> None:
    def build() -> Sleeper:
        return Sleeper(0.5, 60.0, clock.sleep)

    rows = list(measure_inference(build, example_input, [20, 400, 3000], "cpu", effort=QUICK))
    timed = {(row["quantity"], row["feature_length"], row["sample"]): row["value"] for row in rows}
    assert timed["build_ms", 0, 0] == pytest.approx(60)
    for length in (20, 400, 3000):
        assert timed["first_call_ms", length, 0] == pytest.approx(length / 2)
        assert [timed["latency_ms", length, sample] for sample in range(3)] == pytest.approx([length / 2] * 3)
    assert linearity_of(rows).slope_ms_per_step == pytest.approx(0.5)


def test_measuring_ends_by_samples_and_seconds(clock: MadeUpClock) -> None:
    effort = Effort(min_samples=2, min_seconds=1.0, max_samples=20, max_warmup=1)
    rows = measure_inference(lambda: Sleeper(1.0, 0, clock.sleep), example_input, [10, 100, 2000], "cpu", effort=effort)
    taken = Counter(row["feature_length"] for row in rows if row["quantity"] == "latency_ms")
    assert taken == {10: 20, 100: 10, 2000: 2}  # the most; a second; the least


def test_a_sleeping_model_is_timed_to_one_percent() -> None:
    """Each time is compared with the model's own clock: a busy machine wakes sleepers late, and both see it."""
    made: list[Sleeper] = []

    def build() -> Sleeper:
        made.append(Sleeper(build_ms=60))
        return made[-1]

    lengths = [20, 80]
    rows = list(measure_inference(build, example_input, lengths, "cpu", effort=QUICK))
    for length in lengths:
        timed = [r["value"] for r in rows if (r["quantity"], r["feature_length"]) == ("latency_ms", length)]
        own = [ms for steps, ms in made[0].took if steps == length][-len(timed) :]
        excess = [value - ms for value, ms in zip(timed, own, strict=True)]
        assert min(excess) >= 0
        assert min(excess) <= 0.01 * length + 1
        assert min(timed) >= length
    assert next(r["value"] for r in rows if r["quantity"] == "build_ms") >= 60
    assert sum(r["quantity"] == "collection_ms" for r in rows) == 3


@pytest.mark.parametrize(("steady", "unsettled"), [(True, []), (False, [10, 20])])
def test_calls_that_never_agree_are_said_not_to_be_warm(clock: MadeUpClock, steady: bool, unsettled: list[int]) -> None:
    class Uneven(Sleeper):
        calls = 0

        def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
            self.calls += 1
            self.ms_per_step = 1.0 if steady or self.calls % 2 else 2.0
            return super().forward(features, lengths)

    effort = Effort(min_samples=2, min_seconds=0, max_samples=2, max_warmup=5)
    rows = list(measure_inference(lambda: Uneven(1.0, 0, clock.sleep), example_input, [10, 20], "cpu", effort=effort))
    assert [row["feature_length"] for row in rows if row["quantity"] == "warmup_unsettled"] == unsettled
    assert sum(row["quantity"] == "latency_ms" for row in rows) == 4  # they are timed all the same


def test_every_sample_is_kept_and_models_and_lengths_alternate(clock: MadeUpClock) -> None:
    def build() -> Sleeper:
        return Sleeper(0.01, 0, clock.sleep)

    effort = Effort(min_samples=10, min_seconds=0.0, max_samples=10, max_warmup=1)
    subjects = [Subject(name, build, example_input, (10, 20)) for name in ("a", "b")]
    rows = list(measure_subjects(subjects, "cpu", effort=effort))
    samples = [(name, row["feature_length"], row["sample"]) for name, row in rows if row["quantity"] == "latency_ms"]
    assert sorted(samples) == sorted((n, length, i) for n in "ab" for length in (10, 20) for i in range(10))
    first_round = samples[:4]
    assert len({(name, length) for name, length, _ in first_round}) == 4  # each once before any twice
    assert [s[:2] for s in samples[:4]] != [s[:2] for s in samples[4:8]] or [s[:2] for s in samples[4:8]] != [
        s[:2] for s in samples[8:12]
    ]
    again = [
        (n, r["feature_length"], r["sample"])
        for n, r in measure_subjects(subjects, "cpu", effort=effort)
        if r["quantity"] == "latency_ms"
    ]
    assert again == samples  # the order is drawn from the seed


def test_model_post_and_all_are_told_apart(clock: MadeUpClock) -> None:
    def post(model: Any, outputs: Tensor, inputs: Any) -> None:
        assert outputs.shape == inputs[0].shape
        clock.sleep(0.03)

    def lowest(include: str) -> tuple[str, float]:
        subject = Subject("a", lambda: Sleeper(1.0, 0, clock.sleep), example_input, (100,), post)
        rows = [row for _, row in measure_subjects([subject], "cpu", include=include, effort=QUICK)]
        (quantity,) = {row["quantity"] for row in rows if row["quantity"].endswith("latency_ms")}
        return quantity, min(row["value"] for row in rows if row["quantity"] == quantity)

    found = {include: lowest(include) for include in ("model", "post", "all")}
    assert [quantity for quantity, _ in found.values()] == ["latency_ms", "post_latency_ms", "full_latency_ms"]
    for include, ms in {"model": 100, "post": 30, "all": 130}.items():
        assert found[include][1] == pytest.approx(ms)


class Hog(nn.Module):
    """Allocates `mib_per_step` for each step, and touches it."""

    def __init__(self, mib_per_step: float) -> None:
        super().__init__()
        self.mib_per_step = mib_per_step

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        return torch.ones(int(self.mib_per_step * 2**18 * int(lengths[0])))[:1]


def test_peak_memory_is_reset_before_each_length() -> None:
    rows = list(measure_inference(lambda: Hog(1.0), example_input, [40, 80, 160], "cpu", effort=QUICK))
    peaks = {r["feature_length"]: r["value"] for r in rows if r["quantity"] == "peak_memory_mib"}
    for length, mib in peaks.items():
        assert mib == pytest.approx(length, rel=0.05, abs=1)


@pytest.mark.skipif(available_mib() is None, reason="the guard needs /proc: run it on Linux")
def test_a_length_beyond_memory_is_a_limit_and_the_sweep_goes_on() -> None:
    too_long = int(4 * available_mib())  # type: ignore[operator]
    subject = Subject("hog", lambda: Hog(1.0), example_input, (10, too_long, 20))
    rows = [row for _, row in measure_subjects([subject], "cpu", effort=QUICK)]
    limits = [row["feature_length"] for row in rows if row["quantity"] == "out_of_memory"]
    measured = {row["feature_length"] for row in rows if row["quantity"] == "latency_ms"}
    assert (limits, measured) == ([too_long], {10, 20})
    assert torch.ones(2**18).sum() == 2**18  # the guard is gone with the measurement


def test_the_guard_leaves_ordinary_work_alone() -> None:
    with memory_guard(0.5), PeakMemory("cpu") as peak:
        block = torch.ones(50 * 2**18)
    assert peak.mib == pytest.approx(50, rel=0.1)
    assert block.numel() == 50 * 2**18


def test_other_errors_are_not_taken_for_limits() -> None:
    class Broken(nn.Module):
        def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        list(measure_inference(Broken, example_input, [10], "cpu", effort=QUICK))


def test_bisection_finds_the_largest_length() -> None:
    asked: list[int] = []

    def fits(length: int) -> bool:
        asked.append(length)
        return length <= 12345

    found, capped = largest_length(fits, 100, 10**6)
    assert 12345 * 0.99 <= found <= 12345
    assert not capped
    assert len(asked) < 20
    assert largest_length(lambda length: True, 100, 5000) == (5000, True)
    assert largest_length(lambda length: length <= 100, 100, 5000) == (100, False)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="no input length"):
        list(measure_inference(Sleeper, example_input, [], "cpu"))
    subject = Subject("a", Sleeper, example_input, (1,))
    with pytest.raises(InputError, match="no post-processing"):
        list(measure_subjects([subject], "cpu", include="all"))
    with pytest.raises(InputError, match="include"):
        list(measure_subjects([subject], "cpu", include="nothing"))


LENGTHS = (100, 200, 400, 800, 1600, 3200)


@pytest.fixture
def noise() -> Iterator[np.ndarray]:
    yield 1 + 0.005 * np.random.default_rng(0).standard_normal(len(LENGTHS))


def test_a_line_is_linear_to_the_last_digit() -> None:
    found = linearity({n: 5 + 0.25 * n for n in LENGTHS})
    assert (found.slope_ms_per_step, found.intercept_ms, found.r2) == pytest.approx((0.25, 5, 1))
    assert (found.verdict, found.degrees_of_freedom) == ("linear", 4)


def test_curves_are_called_by_name_though_their_r2_is_high(noise: np.ndarray) -> None:
    def verdict(times: Any) -> str:
        return linearity(dict(zip(LENGTHS, times, strict=True))).verdict

    x = np.array(LENGTHS, dtype=float)
    parabola = x + x**2 / 3200
    assert linearity(dict(zip(LENGTHS, parabola, strict=True))).r2 > 0.95
    assert verdict(parabola * noise) == "superlinear"
    assert verdict(np.sqrt(x) * noise) == "sublinear"
    assert verdict((3 + 0.1 * x) * noise) == "linear"
    assert verdict(np.array([5.0, 1.0, 4.0, 2.0, 6.0, 3.0])) == "scattered"


CURVES = {
    "n^1.1": lambda n: n**1.1,
    "n^1.2": lambda n: n**1.2,
    "n log n": lambda n: n * math.log(n),
    "n^0.8": lambda n: n**0.8,
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    "lengths", [(100, 200, 400, 800), (100, 1000, 10000, 30000), (1000, 2000, 3000, 4000), LENGTHS]
)
def test_a_curve_is_never_linear_though_nothing_is_significant(curve: str, lengths: tuple[int, ...]) -> None:
    found = linearity({n: CURVES[curve](n) for n in lengths})
    sign = "sublinear" if curve == "n^0.8" else "superlinear"
    assert found.r2 > 0.95
    assert found.verdict in (["undecided", sign] if len(lengths) == 4 else [sign])
    assert linearity({n: CURVES["n^1.1"](n) ** (1 / 1.1) for n in lengths}).verdict == "linear"


def test_a_line_with_the_noise_of_times_is_linear() -> None:
    lengths = [100 * 2**i for i in range(8)]
    draw = np.random.default_rng(0)
    found = [
        linearity({n: (5 + 0.25 * n) * (1 + 0.02 * draw.standard_normal()) for n in lengths}).verdict for _ in range(40)
    ]
    assert found[0] == "linear"
    assert found.count("linear") >= 24
    assert found.count("superlinear") + found.count("sublinear") <= 2


def test_few_lengths_are_undecided_and_nothing_is_nan_in_json() -> None:
    for count in (1, 2, 3):
        found = linearity({n: 1.0 * n for n in LENGTHS[:count]})
        assert found.verdict == "undecided"
        assert all(v is None or v == v for v in found.to_json().values())


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_run_is_timed_in_the_precision_it_is_recorded_under(
    precision: Any, kind: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()

    class Watched(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            result = super().forward(input)
            seen.add(result.dtype)
            return result

    options = {"effort": {**vars(QUICK), "min_seconds": 0.0}}
    spec = RunSpec("inference", "tadtr", "native", "1", {}, feature_lengths=(4,), options=options, precision=precision)
    adapter: Any = SimpleNamespace(
        build_for_timing=lambda length, recipe: Watched(3, 2),
        example_input=lambda length, recipe: (torch.rand(length, 3),),
    )
    run_inference(RunContext(spec, RunStore(tmp_path).writer(spec), None, "cpu"), adapter)
    assert seen == {kind}


def test_a_run_of_a_study_keeps_its_linearity(
    clock: MadeUpClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec("inference", "tadtr", "native", "1", {}, feature_lengths=LENGTHS, options={"effort": vars(QUICK)})
    writer = RunStore(tmp_path).writer(spec)
    adapter: Any = SimpleNamespace(
        build_for_timing=lambda length, recipe: Sleeper(0.25, 10.0, clock.sleep),
        example_input=lambda length, recipe: example_input(length),
    )
    run_inference(RunContext(spec, writer, None, "cpu"), adapter)
    kept = json.loads(writer.paths.details.read_text())["linearity"]
    assert (kept["verdict"], kept["lengths"]) == ("linear", 6)
    assert len(kept["residual_signs"]) == 6
    assert (kept["slope_ms_per_step"], kept["r2"]) == pytest.approx((0.25, 1))
