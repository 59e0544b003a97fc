"""The measured verdicts: what counts as reproduced, what never can, and how many runs are still needed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import A10, CPU, REAL, SYNTHETIC, finish, measured, row, seal, trace, training, writer_of

from tal_repro.models.recipes import TADTR
from tal_repro.paper.claims.measured import OTHER_PERCENTS, TADTR_PERCENTS, Measured, measure
from tal_repro.paper.claims.statements import load_claims
from tal_repro.published.load import load_published
from tal_repro.runs.load import NO_RUNS, Runs, computed, load_runs
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec, SubsetSpec

CLAIMS = {claim.id: claim for claim in load_claims()}
PUBLISHED = load_published()


def _measure(claim_id: str, root: Path) -> Measured:
    return computed(load_runs(root), lambda runs: measure(CLAIMS[claim_id], runs, PUBLISHED))[0]


def _baselines(root: Path, model: str, maps: list[float], **options: object) -> None:
    for seed, value in enumerate(maps):
        training(root, model, value, experiment="baseline", seed=seed, synthetic=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_without_runs_nothing_is_run(claim) -> None:  # type: ignore[no-untyped-def]
    result = measure(claim, NO_RUNS, PUBLISHED)
    assert result.verdict == "not run" and result.reason and result.runs == ()


@pytest.mark.parametrize("claim_id", [c.id for c in CLAIMS.values() if c.kind not in ("macs", "latency")])
def test_synthetic_runs_judge_no_claim_about_thumos14(claim_id: str, demo_runs: Runs) -> None:
    assert measure(CLAIMS[claim_id], demo_runs, PUBLISHED).verdict == "not run"


def test_five_runs_inside_the_band_reproduce(tmp_path: Path) -> None:
    _baselines(tmp_path, "tadtr", [55.2, 55.4, 55.6, 55.3, 55.5])
    for claim_id in ("T2.5", "A2", "A5"):
        result = _measure(claim_id, tmp_path)
        assert result.verdict == "reproduced", result.reason
        assert result.sample is not None and result.sample.n == 5
        assert len(result.runs) == 5


def test_runs_outside_the_band_do_not_reproduce(tmp_path: Path) -> None:
    _baselines(tmp_path, "tadtr", [50.2, 50.4, 50.6, 50.3, 50.5])
    assert _measure("T2.5", tmp_path).verdict == "not reproduced"


def test_too_few_or_too_scattered_runs_say_how_many_more(tmp_path: Path) -> None:
    _baselines(tmp_path / "few", "tadtr", [55.4, 55.5])
    few = _measure("T2.5", tmp_path / "few")
    assert few.verdict == "inconclusive" and few.further_runs is not None and few.further_runs >= 3
    _baselines(tmp_path / "wide", "tadtr", [54.1, 56.8, 54.3, 56.6, 54.8])
    wide = _measure("T2.5", tmp_path / "wide")
    assert wide.verdict == "inconclusive" and wide.further_runs is not None
    assert f"{wide.further_runs} more runs" in wide.reason
    _baselines(tmp_path / "wild", "tadtr", [50.5, 60.3, 53.0, 58.9, 55.3])
    wild = _measure("T2.5", tmp_path / "wild")
    assert (wild.verdict, wild.further_runs) == ("inconclusive", None)
    assert "no affordable number of runs" in wild.reason


def test_seconds_count_absolutely_on_the_papers_gpu_only(tmp_path: Path) -> None:
    _baselines(tmp_path / "two", "tadtr", [55.0, 55.2], seconds=430.0, machine=A10)
    two = _measure("T2.1", tmp_path / "two")
    assert (two.verdict, two.further_runs) == ("inconclusive", 1)  # three processes at least
    _baselines(tmp_path / "a10", "tadtr", [55.0, 55.2, 55.1], seconds=430.0, machine=A10)
    assert _measure("T2.1", tmp_path / "a10").verdict == "reproduced"
    _baselines(tmp_path / "cpu", "tadtr", [55.0, 55.2, 55.1], seconds=430.0, machine=CPU)
    elsewhere = _measure("T2.1", tmp_path / "cpu")
    assert elsewhere.verdict == "not comparable here" and "printed for A10" in elsewhere.reason


def test_seconds_need_repetition(tmp_path: Path) -> None:
    for seed, seconds in enumerate((100.0, 240.0, 430.0, 620.0, 745.0)):
        training(tmp_path, "tadtr", 55.0, experiment="baseline", seed=seed, synthetic=False, seconds=seconds,
                 machine=A10)  # fmt: skip
    assert _measure("T2.1", tmp_path).verdict == "inconclusive"


def test_tadtrs_time_by_its_authors_code_says_that_a_kernel_is_another(tmp_path: Path) -> None:
    for engine in ("native", "upstream"):
        for seed in range(2):
            training(
                tmp_path / engine, "tadtr", 55.0, experiment="baseline", seed=seed, synthetic=False, seconds=430.0,
                machine=A10, engine=engine,
            )  # fmt: skip
    assert "same GPU, different kernel" in _measure("T2.1", tmp_path / "upstream").reason
    assert "different kernel" not in _measure("T2.1", tmp_path / "native").reason


def test_elsewhere_seconds_are_a_ratio_on_one_machine_and_no_verdict(tmp_path: Path) -> None:
    _baselines(tmp_path, "actionformer", [66.0, 66.1], seconds=100.0)
    _baselines(tmp_path, "tridet", [68.0, 68.1], seconds=200.0)
    _baselines(tmp_path, "tadtr", [55.0, 55.1], seconds=60.0)
    result = _measure("T2.2", tmp_path)
    assert result.verdict == "not comparable here"
    assert "on one machine 2.00 times actionformer's, printed 0.75 times" in result.reason
    assert "0.60 times actionformer's, printed 0.49 times (of two machines)" in _measure("T2.1", tmp_path).reason


def test_upstream_runs_are_judged_before_native_ones(tmp_path: Path) -> None:
    _baselines(tmp_path, "tadtr", [40.0] * 5, engine="native")
    _baselines(tmp_path, "tadtr", [55.2, 55.4, 55.6, 55.3, 55.5], engine="upstream")
    assert _measure("T2.5", tmp_path).verdict == "reproduced"


def test_settings_are_read_from_the_recipe(tmp_path: Path) -> None:
    recipe = {"epochs": TADTR.epochs, "train_overlap": TADTR.train_overlap}
    _baselines(tmp_path, "tadtr", [55.0], recipe=recipe)
    assert _measure("T1.1", tmp_path).verdict == "reproduced"
    assert _measure("T1.6", tmp_path).value == 75
    assert _measure("T1.2", tmp_path).verdict == "not run"


def test_a_sweep_in_full_goes_through_the_published_derivations(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    published = PUBLISHED["learning_curves"].where(model="tadtr")
    for percent, mean in zip(published["train_percent"], published["map_mean"], strict=True):
        for seed in range(5):
            training(tmp_path, "tadtr", mean + random.normal(0, 0.1), percent=percent, seed=seed, synthetic=False)
    for claim_id in ("E1", "E2", "E3", "E6", "D3", "G1"):
        result = _measure(claim_id, tmp_path)
        assert result.verdict in ("reproduced", "not reproduced"), result.reason
        assert result.derivation is not None and len(result.runs) == 120
    assert _measure("E1", tmp_path).verdict == "reproduced"
    assert _measure("F4", tmp_path).verdict == "inconclusive"  # not identified there either


def test_half_a_sweep_says_how_many_runs_are_missing(tmp_path: Path) -> None:
    training(tmp_path, "tadtr", 35.0, percent=10, synthetic=False)
    assert _measure("E1", tmp_path).further_runs == 5 * len(TADTR_PERCENTS) - 1
    assert len(TADTR_PERCENTS) == 24 and len(OTHER_PERCENTS) == 6


def _gmacs(root: Path, model: str, slope: float) -> None:
    measured(root, "macs", model, [row("gmacs", length, slope * length) for length in (200, 1000, 3000)])


@pytest.mark.parametrize(("slope", "verdict"), [(0.003, "reproduced"), (0.03, "not reproduced")])
def test_macs_need_no_data_and_tadtr_must_be_lowest(tmp_path: Path, slope: float, verdict: str) -> None:
    for model in ("actionformer", "tridet", "temporalmaxer"):
        _gmacs(tmp_path, model, 0.02)
    assert _measure("C7", tmp_path).verdict == _measure("C8", tmp_path).verdict == "inconclusive"
    _gmacs(tmp_path, "tadtr", slope)
    assert _measure("C7", tmp_path).verdict == "reproduced"
    assert _measure("C8", tmp_path).verdict == verdict


def test_inference_claims(tmp_path: Path) -> None:
    lengths = [length for length in (100, 1000, 3000, 30000) for _ in range(3)]
    times = [row("latency_ms", length, 0.0012 * length, sample) for sample, length in enumerate(lengths)]
    slow = [row("latency_ms", 30000, 1000.0, sample, "ms") for sample in range(3)]
    for seed in range(3):
        built = [row("build_ms", 0, 2400 + seed), row("collection_ms", 0, 290 + seed)]
        measured(tmp_path, "inference", "tadtr", [*times, *built], A10, seed=seed)
        measured(tmp_path, "inference", "actionformer", slow, A10, seed=seed)
    for claim_id in ("C1", "C2", "C4", "C5", "C10"):
        assert _measure(claim_id, tmp_path).verdict == "reproduced", claim_id
    assert _measure("C10", tmp_path).value == pytest.approx(100 * 291 / (291 + 36), rel=1e-3)
    elsewhere = _measure("C3", tmp_path)  # ActionFormer's second is a V100S's
    assert (elsewhere.verdict, elsewhere.value) == ("not comparable here", 1.0)
    assert "ratio to TadTR 27.8 on one machine" in elsewhere.reason
    assert _measure("C6", tmp_path).verdict == "not run"
    for seed in range(3):
        measured(tmp_path, "inference", "tadtr", [row("latency_ms", 3000, 3.9)], CPU, seed=seed)
    assert _measure("C6", tmp_path).verdict == "reproduced"
    assert "NVIDIA A10" in _measure("C1", tmp_path).reason  # not a line through two machines


def test_iterations_of_one_process_do_not_repeat_a_time(tmp_path: Path) -> None:
    times = [row("latency_ms", 30000, 35.0 + sample, sample) for sample in range(50)]
    measured(tmp_path, "inference", "tadtr", times, A10)
    result = _measure("C2", tmp_path)
    assert result.verdict == "inconclusive" and result.sample is not None and result.sample.n == 1


def test_ratios_have_an_interval_and_say_when_the_machine_was_not_quiet(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for model, ms in (("tadtr", 35.0), ("actionformer", 1000.0)):
        times = ms * (1 + 0.01 * draw.standard_normal(20))
        record = measured(
            tmp_path, "inference", model, [row("latency_ms", 30000, t, i) for i, t in enumerate(times)], A10
        )
    reason = _measure("C3", tmp_path).reason
    assert re.search(r"ratio to TadTR 28\.\d on one machine \(95 % interval 2[78]\.\d to 2[89]", reason), reason
    _add_details(record, surroundings={"doubtful": ["others use 60 % of the CPU"]})
    assert "the machine was not quiet (others use 60 % of the CPU)" in _measure("C3", tmp_path).reason


def test_a_processor_is_compared_with_a_gpu_one_to_one(tmp_path: Path) -> None:
    measured(tmp_path, "inference", "tadtr", [row("latency_ms", 3000, 4.0, i) for i in range(5)], A10)
    for seed, (name, ms) in enumerate((("a CPU, 2 cores", 6.0), ("b CPU, 64 cores", 600.0))):  # no median of both
        writer = RunStore(tmp_path).writer(RunSpec("inference", "tadtr", "native", "1", {}, seed=seed))
        writer.write_json("system", {"machine": name, "device": {"name": "cpu"}})
        writer.write_measurements([row("latency_ms", 3000, ms, i) for i in range(5)])
        writer.finish()
    result = _measure("C6", tmp_path)
    assert (result.value, result.verdict, result.further_runs) == (1.5, "inconclusive", 2)
    assert "a CPU, 2 cores (1 threads) over NVIDIA A10, at length 3000; 95 % interval 1.5 to 1.5" in result.reason
    assert len(result.runs) == 2


def test_a_processor_against_another_gpu_than_the_papers_is_a_ratio_and_no_verdict(tmp_path: Path) -> None:
    for seed in range(3):
        for machine, ms in (("NVIDIA H200", 1.0), (CPU, 60.0)):
            measured(tmp_path, "inference", "tadtr", [row("latency_ms", 3000, ms)], machine, seed=seed)
    result = _measure("C6", tmp_path)
    assert (result.verdict, result.value) == ("not comparable here", 60.0)
    assert "over NVIDIA H200" in result.reason and "printed for A10" in result.reason


def test_times_at_other_threads_are_another_setting(tmp_path: Path) -> None:
    for threads, models in ((1, {"tadtr": 70.0}), (2, {"tadtr": 35.0, "actionformer": 700.0})):
        for model, ms in models.items():
            writer = RunStore(tmp_path).writer(
                RunSpec("inference", model, "native", "1", {}, feature_lengths=(30000,), threads=threads)
            )
            writer.write_json("system", {"machine": CPU, "device": {"name": "cpu"}})
            writer.write_measurements([row("latency_ms", 30000, ms, i) for i in range(5)])
            writer.finish()
    assert "ratio to TadTR 20.0 on one machine" in _measure("C3", tmp_path).reason


@pytest.mark.parametrize(("gpu", "verdict"), [("NVIDIA H200", "reproduced"), ("NVIDIA GH200 480GB", "reproduced")])
def test_any_hopper_is_one(tmp_path: Path, gpu: str, verdict: str) -> None:
    for record in _traces(tmp_path):
        record.paths.system.write_text(json.dumps({"machine": gpu}))
        seal(record.folder)
    assert _measure("M3", tmp_path).verdict == verdict
    assert _measure("H1", tmp_path).verdict == "not comparable here"  # printed for an A10


def _traces(root: Path) -> list[RunRecord]:
    return [trace(root, synthetic=False, gpu=True, seed=seed) for seed in range(3)]


def test_hardware_claims_read_the_trace(tmp_path: Path) -> None:
    _traces(tmp_path)
    assert _measure("H1", tmp_path).verdict == "reproduced"
    assert _measure("H3", tmp_path).verdict == "not reproduced"
    assert _measure("M1", tmp_path).verdict == "reproduced"
    assert _measure("M3", tmp_path).verdict == "not comparable here"  # an A10 says nothing about Hopper


def _add_details(record: RunRecord, **details: object) -> None:
    record.paths.details.write_text(json.dumps(details))
    seal(record.folder)


def _times(root: Path, lengths: tuple[int, ...], power: float, processes: int = 3) -> RunRecord:
    rows = [row("latency_ms", n, 0.001 * n**power, sample) for n in lengths for sample in range(2)]
    records = [measured(root, "inference", "tadtr", rows, A10, seed=seed) for seed in range(processes)]
    return records[0]


LENGTHS = (100, 1000, 3000, 10000, 30000)


def test_a_curve_is_not_linear_though_its_r2_is_high(tmp_path: Path) -> None:
    _times(tmp_path / "line", LENGTHS, 1.0)
    _times(tmp_path / "curve", (*LENGTHS, 300), 1.15)
    _times(tmp_path / "three", LENGTHS[:3], 1.0)
    assert _measure("C1", tmp_path / "line").verdict == "reproduced"
    curve = _measure("C1", tmp_path / "curve")
    assert curve.value is not None and curve.value > 0.99 and "superlinear" in curve.reason
    assert curve.verdict == "not reproduced"
    assert _measure("C1", tmp_path / "three").verdict == "inconclusive"


def test_the_linearity_a_run_stored_is_the_one_that_counts(tmp_path: Path) -> None:
    record = _times(tmp_path, LENGTHS, 1.0, processes=1)
    kept = {"r2": 0.9991, "verdict": "scattered", "words": "stored", "residual_signs": "+-+", "curvature_margin": 0.1}
    _add_details(record, linearity=kept)
    stored = _measure("C1", tmp_path)
    assert (stored.value, stored.verdict, stored.further_runs) == (0.9991, "inconclusive", 2)


def test_a_curve_at_four_lengths_is_inconclusive_whatever_an_older_rule_called_it(tmp_path: Path) -> None:
    record = _times(tmp_path, (100, 200, 400, 800), 1.2)
    _add_details(record, linearity={"r2": 0.9991, "verdict": "linear", "words": "stored", "residual_signs": "+--+"})
    result = _measure("C1", tmp_path)
    assert (result.verdict, "undecided over 4 lengths" in result.reason) == ("inconclusive", True)


@pytest.mark.parametrize("power", [1.0, 1.15])
def test_a_line_through_times_of_a_busy_machine_is_not_judged(tmp_path: Path, power: float) -> None:
    record = _times(tmp_path, LENGTHS, power)
    _add_details(record, surroundings={"doubtful": ["others use 60 % of the CPU"]})
    result = _measure("C1", tmp_path)
    assert result.verdict == "inconclusive"
    assert "not quiet (others use 60 % of the CPU)" in result.reason


@pytest.mark.parametrize(
    "broken", ['{"linearity": {"r2": NaN}}', '{"linearity": {"r2": "1"}}', '{"linearity": 3}', "no JSON"]
)
def test_broken_details_judge_nothing(tmp_path: Path, broken: str) -> None:
    record = _times(tmp_path, LENGTHS, 1.0, processes=4)  # the first of them
    record.paths.details.write_text(broken)
    seal(record.folder)
    result = _measure("C1", tmp_path)
    assert result.value is None or 0.99 < result.value <= 1  # from the samples, where nothing was stored
    assert result.verdict == ("reproduced" if result.value else "not run")


@pytest.mark.parametrize(("share", "verdict"), [(20.0, "reproduced"), (70.0, "not reproduced")])
def test_kernels_are_read_off_the_profile_before_nvml(tmp_path: Path, share: float, verdict: str) -> None:
    records = _traces(tmp_path)
    seen = _measure("M2", tmp_path)
    assert (seen.verdict, "while training" in seen.reason) == ("reproduced", True)
    assert seen.value == pytest.approx(38, abs=2)  # of the training phases, not of the evaluations between them
    for record in records:
        record.paths.measurements.write_text(
            f"quantity,feature_length,sample,value,unit\ngpu_kernel_percent,0,0,{share},%\n"
        )
        seal(record.folder)
    result = _measure("M2", tmp_path)
    assert (result.verdict, result.value) == (verdict, share)
    assert result.reason.startswith("profiled")


def test_a_processor_has_no_kernels_to_judge(tmp_path: Path) -> None:
    trace(tmp_path, synthetic=False)
    assert _measure("M2", tmp_path).verdict == "not run"


def test_a_faster_core_stays_an_estimate(tmp_path: Path) -> None:
    record = trace(tmp_path, synthetic=False, gpu=True)
    assert _measure("H4", tmp_path).verdict == "not run"
    host = {"data_wait": 0.5, "synchronisation": 0.1, "operators": 0.2, "python": 0.2}
    _add_details(record, attribution={"host": host, "what_if": {"core_1.5x": 0.7}})
    result = _measure("H4", tmp_path)
    assert (result.verdict, result.value) == ("inconclusive", pytest.approx(30))
    assert "a core 1.50 times as fast to a core 1.80 times as fast" in result.reason
    busy = {"host": host, "what_if": {"core_1.5x": 0.7}, "device_account": {"kernels": 0.6, "idle": 0.35}}
    _add_details(record, attribution=busy)  # 0.65 of the step the device works: 30 % can be saved, 40 % cannot
    reason = _measure("H4", tmp_path).reason
    assert "a core 1.50 times as fast to more than any core can give" in reason


AS_PUBLISHED, EQUAL = ("uniform", "epochs", "ema"), ("uniform", "steps", "raw")
COMPLETE = ("all-classes", "steps", "raw")


def _ablation(
    root: Path, shapes: dict[tuple[str, str, str], list[float]], repeats: int, real: bool = True, noise: float = 0.3
) -> None:
    """Write video ablation runs whose mAP at 5, 10, 15 and 40 % is given by (policy, budget, weights)."""
    random = np.random.default_rng(0)
    for policy, budget in (("uniform", "epochs"), ("uniform", "steps"), ("all-classes", "steps")):
        for index, percent in enumerate((5, 10, 15, 40)):
            for seed in range(repeats):
                spec = RunSpec(
                    "ablation", "actionformer", "native", "1", {"budget": budget}, REAL if real else SYNTHETIC,
                    SubsetSpec("video", policy, percent, seed), seed,
                )  # fmt: skip
                writer = writer_of(root, spec)
                off = random.normal(0, noise)
                writer.write_json("system", {"machine": CPU})
                writer.write_metrics(
                    [
                        {"epoch": 1, "selection": "last", "weights": weights, "protocol": "af-212", "tiou": tiou,
                         "ap": (shapes.get((policy, budget, weights), QUICK)[index] + off) / 100}
                        for weights in ("ema", "raw") for tiou in (0.3, 0.4, 0.5, 0.6, 0.7)
                    ],
                    optimizer_steps=1, seconds={"total": 1.0}, table2_seconds=1.0, table2_definition="", flags=(),
                )  # fmt: skip
                finish(writer)


SLOW, QUICK = [3.0, 5.0, 15.0, 30.0], [20.0, 30.0, 37.0, 50.0]  # gaining most from 10 to 15 %, and up to 5 %


@pytest.mark.parametrize(
    ("published", "at_equal_steps", "complete", "verdict", "words"),
    [
        (SLOW, SLOW, QUICK, "reproduced", "with raw weights the gain is largest between 10 and 15 %"),
        (SLOW, QUICK, QUICK, "not reproduced", "at equal steps and with raw weights the first 5 % gain most"),
        (QUICK, QUICK, QUICK, "not reproduced", "as published the first 5 % gain most"),
        (SLOW, SLOW, SLOW, "not reproduced", "with videos of all classes then the gain is largest between 10 and"),
    ],
)
def test_acceleration_must_outlive_steps_and_averages_and_end_with_all_classes(
    tmp_path: Path, published: list[float], at_equal_steps: list[float], complete: list[float], verdict: str, words: str
) -> None:
    _ablation(tmp_path, {AS_PUBLISHED: published, EQUAL: at_equal_steps, COMPLETE: complete}, repeats=3)
    result = _measure("E11", tmp_path)
    assert result.verdict == verdict, result.reason
    assert words in result.reason
    assert result.value == (12.5 if published is SLOW else 0.0)


def test_what_chance_may_have_bent_is_no_verdict_on_acceleration(tmp_path: Path) -> None:
    """Neither a first stretch that gains most, nor a later one, counts where the spread of the runs explains it."""
    nearly_straight = [5.0, 10.3, 15.0, 39.0]
    _ablation(tmp_path / "straight", {AS_PUBLISHED: SLOW, EQUAL: nearly_straight}, repeats=3, noise=1.0)
    result = _measure("E11", tmp_path / "straight")
    assert (result.verdict, result.further_runs) == ("inconclusive", 3 * (15 - 9))
    assert "cannot tell from chance" in result.reason


def test_acceleration_needs_repeats_low_percentages_and_real_data(tmp_path: Path) -> None:
    shapes = {AS_PUBLISHED: SLOW, EQUAL: SLOW}
    _ablation(tmp_path / "once", shapes, repeats=1)
    once = _measure("E11", tmp_path / "once")
    assert (once.verdict, once.further_runs) == ("inconclusive", 3 * (15 - 3))
    assert "cannot tell from chance" in once.reason
    _ablation(tmp_path / "made-up", shapes, repeats=1, real=False)
    assert _measure("E11", tmp_path / "made-up").verdict == "not run"
    training(tmp_path / "few", "actionformer", 30.0, experiment="ablation", percent=40, synthetic=False,
             recipe={"budget": "epochs"})  # fmt: skip
    few = _measure("E11", tmp_path / "few")
    assert (few.verdict, few.value) == ("inconclusive", None)
    assert "needs 3 percentages" in few.reason


@pytest.mark.parametrize(("cpu", "gpu", "verdict"), [(0.05, 0.0, "reproduced"), (0.05, 3.0, "not reproduced")])
def test_an_idle_machine_is_idle_on_both_sides(tmp_path: Path, cpu: float, gpu: float, verdict: str) -> None:
    rows = f"idle_cpu_percent,0,0,{cpu},%\nidle_gpu_percent,0,0,{gpu},%\n"
    for record in _traces(tmp_path):
        record.paths.measurements.write_text(f"quantity,feature_length,sample,value,unit\n{rows}")
        _add_details(record, sampler={"own_cpu_percent_of_one_core": 0.08})
    result = _measure("H5", tmp_path)
    assert result.verdict == verdict
    assert "sampling cost 0.080 % of one core" in result.reason
    assert (_measure("H6", tmp_path).verdict, _measure("H6", tmp_path).value) == ("reproduced", 0.08)


@pytest.mark.parametrize(("training", "evaluating", "verdict"), [(20, 100, "reproduced"), (100, 60, "not reproduced")])
def test_a_busy_thread_is_looked_for_while_the_model_is_evaluated(
    tmp_path: Path, training: float, evaluating: float, verdict: str
) -> None:
    for record in _traces(tmp_path):
        header, *lines = record.paths.trace.read_text().splitlines()
        times = [float(line.split(",")[1]) % 2.8 for line in lines]
        busy = [training if time < 2.0 else evaluating for time in times]
        rows = [f"{line},{load}" for line, load in zip(lines, busy, strict=True)]
        record.paths.trace.write_text("\n".join([f"{header},thread_busiest_percent", *rows]) + "\n")
        seal(record.folder)
    assert _measure("H7", tmp_path).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(56.7, "reproduced"), (55.9, "not reproduced")])
def test_a_released_checkpoint_is_judged_by_one_evaluation(tmp_path: Path, value: float, verdict: str) -> None:
    training(tmp_path, "tadtr", value, experiment="released", synthetic=False)
    assert _measure("A1", tmp_path).verdict == verdict
