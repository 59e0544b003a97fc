"""The tables made from results/reference: the worst row shows, and what was not measured says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import equality, reports, speed
from benchmarks.tables.equality import equality_text, same_map_text
from benchmarks.tables.precision import precision_text
from benchmarks.tables.speed import epoch_text, gpu_speed_text, metrics_text, real_epochs_text, speed_text
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (reports, equality, speed):
        monkeypatch.setattr(module, "reference_folder", lambda: tmp_path)
    (tmp_path / "parity").mkdir()
    (tmp_path / "speed").mkdir()
    for name in MODELS:
        rows = [
            {"check": "parameters", "case": "7 against 7", "value": 0, "detail": {"native": 1234567}},
            {"check": "outputs", "case": "eval [1]", "value": 1e-9, "detail": {}},
            {"check": "outputs", "case": "eval [700]", "value": 3.25e-6, "detail": {}},
            {"check": "steps", "case": "weights, float32, in own noise", "value": 2.5, "detail": {}},
            {"check": "detections", "case": "120 at length 1", "value": 0.0, "detail": {"detections": 120}},
            {"check": "detections", "case": "200 at length 9", "value": 2e-8, "detail": {"detections": 200}},
        ]
        report = {"upstream": {name: {"commit": "0123456789abcdef"}}, "rows": rows}
        (tmp_path / "parity" / f"{name}.json").write_text(json.dumps(report))
    return tmp_path


def test_equality_shows_the_worst_row_of_each_check(folder: Path) -> None:
    row = next(line for line in equality_text().splitlines() if line.startswith("| TadTR"))
    assert row == "| TadTR | 1,234,567 | 3.2e-06 | not run | not run | 2.50 x own noise | 2.0e-08 of 320 | `01234567` |"


def test_a_missing_report_is_named(folder: Path) -> None:
    (folder / "parity" / "tridet.json").unlink()
    with pytest.raises(InputError, match="cannot be read") as caught:
        equality_text()
    assert "tridet.json" in str(caught.value)


def test_speed_joins_the_reports_and_tells_what_was_not_timed(folder: Path) -> None:
    timing = {"speedup": 1.5, "speedup_range": [1.25, 1.75]}
    found = {
        "inference_full": timing,
        "arithmetic": {"native_gflops": 60.0, "upstream_gflops": 40.0},
        "training_profile": {"matrix products and convolutions": 0.875},
    }
    for name, threads in (("tridet", 1), ("tadtr", 2)):
        report = {"threads": threads, "cpu": "A CPU", "gemm_peak_gflops": 80.0, "models": {name: found}}
        report |= {"cpu_capability": "AVX2"} if threads == 2 else {}
        (folder / "speed" / f"models-{name}.json").write_text(json.dumps(report))
    text = speed_text()
    assert "CPU, 1/2 threads" in text
    rows = [line for line in text.splitlines() if line.startswith("| T")]
    assert [row.split(" | ")[0] for row in rows] == ["| TadTR", "| TriDet"]
    assert "- TadTR: A CPU (AVX2), which multiplies at 80 GFLOP/s." in text
    assert "- TriDet: A CPU, which multiplies at 80 GFLOP/s." in text
    assert rows[1] == "| TriDet | 1.50 (1.25 to 1.75) | not timed | not timed | not timed | 75% (50%) | 88% |"


def test_a_gpu_is_named(folder: Path) -> None:
    timing = {"speedup": 1.5, "speedup_range": [1.25, 1.75]}
    (folder / "gpu-x").mkdir()
    report = {"device": "NVIDIA X", "models": {"tadtr": {"training_real": timing}}}
    (folder / "gpu-x" / "models.json").write_text(json.dumps(report))
    cells = "| TadTR | NVIDIA X | not timed | not timed | not timed | 1.50 (1.25 to 1.75) |"
    assert cells in gpu_speed_text().splitlines()


def test_an_epoch_is_told_with_its_memory(folder: Path) -> None:
    span = {"speedup": 2.0, "speedup_low": 1.5, "speedup_high": 2.5}
    found = {
        "iteration": span,
        "evaluation": span,
        "epoch_speedup": 1.9,
        "data_wait_share": 0.04,
        "peak_mib": {"native": 1227.0, "upstream": 1445.5},
    }
    (folder / "speed" / "train.json").write_text(json.dumps({"models": {"tadtr": found}}))
    cells = "| TadTR | 2.00 (1.50 to 2.50) | 2.00 (1.50 to 2.50) | 1.90 | 4.0% | 1,227 (1,446) MiB |"
    assert cells in epoch_text().splitlines()


def test_real_epochs_are_told_with_their_trainings(folder: Path) -> None:
    spread = {f"{what}_speedup": [2.0, 1.5, 2.5] for what in ("iteration", "evaluation", "epoch")}
    found = {
        **spread,
        "data_wait_share": {"native": 0.01, "upstream": 0.125},
        "runs": {"native": [1], "upstream": [1, 2]},
    }
    report = {"cpu": "A CPU", "threads": 2, "device": "cpu", "models": {"tridet": found}}
    (folder / "speed" / "epochs.json").write_text(json.dumps(report))
    text = real_epochs_text()
    assert "CPU: A CPU, 2 threads" in text
    spans = "2.00 (1.50 to 2.50) | " * 3
    assert f"| TriDet | {spans}1.0% (12.5%) | 1 + 2 |" in text.splitlines()


def test_same_map_shows_both_sides_and_the_verdict(folder: Path) -> None:
    found = {
        "native": [90.0, 92.0],
        "upstream": [91.0, 91.0],
        "n": [2, 2],
        "difference": -0.25,
        "half_width_95": 1.5,
        "verdict": "inconclusive",
    }
    kinds = (("earlier", {}, {}), ("own", {}, {"seeds": [0, 1]}), ("shared", {"starts": "shared"}, {"seeds": [0, 1]}))
    for name, report, more in kinds:
        content = {**report, "models": {"tridet": {**found, **more}}}
        (folder / "parity" / f"map-tridet-{name}.json").write_text(json.dumps(content))
    rest = "2 + 2 | 91.00 ± 1.41 | 91.00 ± 0.00 | -0.25 ± 1.50 | inconclusive |"
    rows = [line for line in same_map_text().splitlines() if line.startswith("| TriDet")]
    assert rows == [
        f"| TriDet | {starts} | {rest}" for starts in ("own, unlike seeds", "own, seeds 0 to 1", "shared, seeds 0 to 1")
    ]


def test_scoring_is_told_by_size_and_a_difference_is_not_hidden(folder: Path) -> None:
    row = {"per_video": 200, "rounds": 2, "their_cpu_seconds": 26.0, "our_cpu_seconds": 0.05, "ratio": 520.0}
    rows = [
        {"case": "soft-NMS", "ratio": 9.0},
        {**row, "same_output": True, "largest_difference": 1e-16},
        {**row, "per_video": 2000, "rounds": 1, "same_output": False, "largest_difference": 0.25},
    ]
    (folder / "speed" / "detection.json").write_text(json.dumps({"rows": rows}))
    assert [line for line in metrics_text().splitlines() if line.startswith("| 2")] == [
        "| 200 | 13.0 s | 0.025 s | 520 | 2 | yes |",
        "| 2000 | 26.0 s | 0.050 s | 520 | 1 | NO (2.5e-01) |",
    ]


TIMING = {"speedup": 1.9, "speedup_range": [1.8, 2.0]}
GAIN = {"inference": TIMING, "training_step": TIMING}
COST = {"map": {"fp32": [80.0, 82.0], "bf16": [80.5, 81.0]}, "difference": -0.25, "half_width_95": 0.75}


@pytest.mark.parametrize(
    ("native", "gain", "cost", "cells"),
    [
        (True, GAIN, COST, "1.90 (1.80 to 2.00) | 1.90 (1.80 to 2.00) | 2 | 81.00 | -0.25 ± 0.75"),
        (
            False, GAIN, None,
            "1.90 (1.80 to 2.00) emulated | 1.90 (1.80 to 2.00) emulated | 0 | not run | not run",
        ),
        (None, GAIN, None, "1.90 (1.80 to 2.00) perhaps emulated"),
        (False, None, COST, "not timed | not timed | 2 | 81.00 | -0.25 ± 0.75"),
    ],
)  # fmt: skip
def test_precision_tells_cost_and_only_a_real_gain(
    folder: Path, native: bool | None, gain: Any, cost: Any, cells: str
) -> None:
    report = {"cpu": "Zen 9", "native_bfloat16": native, "models": {"temporalmaxer": {"gain": gain, "cost": cost}}}
    (folder / "speed" / "precision.json").write_text(json.dumps(report))
    text = precision_text()
    assert f"| TemporalMaxer | {cells}" in text
    assert ("The Zen 9 of these runs computes in bfloat16." in text) == (native is True)
