"""The ablation's conclusion on points whose answer is known, and from run folders."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest

from tal_repro.kit import reference_folder
from tal_repro.paper.ablation import Point, ablation_runs, conclude, early_share, effects, main, points_of
from tal_repro.runs.store import RunStore
from tal_repro.spec import DataSpec, RunSpec, SubsetSpec
from tal_repro.study import load_study

TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)


def points(value: Callable[[str, str, str, float], float], model: str = "actionformer") -> list[Point]:
    """Every condition at four percentages and three seeds; seeds move all conditions alike."""
    grid = itertools.product(
        ("video", "slice"), ("epochs", "steps"), ("ema", "raw"), (12.5, 25.0, 50.0, 100.0), range(3)
    )
    return [
        Point(model, unit, budget, weights, percent, seed, value(unit, budget, weights, percent) + seed, 100,
              f"{unit}{budget}{percent}{seed}")
        for unit, budget, weights, percent, seed in grid
    ]  # fmt: skip


def test_an_average_that_lags_is_named() -> None:
    lagging = points(lambda unit, budget, weights, p: p / 2 if (budget, weights) == ("epochs", "ema") else 40 + p / 10)
    found = {effect.factor: effect for effect in effects(lagging)}
    raw = found["raw weights instead of EMA"]
    assert raw.mean == pytest.approx(sum(40 + p / 10 - p / 2 for p in (12.5, 25, 50)) / 3)
    assert raw.verdict == "raises the mAP"
    assert found["equal steps instead of equal epochs, raw"].verdict == "not resolved"
    text = conclude(lagging, made_up=True)
    assert "moving average" in text and "synthetic data" in text
    assert "video/epochs/ema 26 %" in text  # (12.5 + 1) / (50 + 1): the seeds' mean is 1
    assert "video/epochs/raw 85 %" in text


def test_without_any_effect_nothing_is_claimed() -> None:
    flat = points(lambda *_: 30.0)
    assert {effect.verdict for effect in effects(flat)} == {"not resolved"}
    assert "no factor is resolved" in conclude(flat, made_up=True)
    assert "moving average" not in conclude(flat, made_up=True)


def test_one_pair_resolves_nothing() -> None:
    lone = [
        p for p in points(lambda u, b, w, p: 10.0 if w == "ema" else 90.0) if p.seed == 0 and p.percent in (25, 100)
    ]
    assert all(effect.verdict == "not resolved" for effect in effects(lone))


def test_what_differs_beside_the_factor_is_said() -> None:
    """Slices of the whole set make another number of steps than its videos: no 'equal steps' then."""
    uneven = [p._replace(optimizer_steps=150 if p.unit == "slice" else 180) for p in points(lambda u, b, w, p: 30.0)]
    text = conclude(uneven, made_up=True)
    row = next(line for line in text.splitlines() if "slices instead of videos, at the steps" in line)
    assert "| 9 | 180 to 150 |" in row and "equal steps" not in row
    raw = next(line for line in text.splitlines() if "raw weights instead of EMA" in line)
    assert "| 9 | 180 |" in raw
    assert "Of 5 such intervals about 1 would leave out 0 by chance" in text


def test_the_shipped_conclusion_follows_from_the_shipped_points() -> None:
    folder = reference_folder() / "ablation"
    with (folder / "ablation.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    kinds = get_type_hints(Point)
    shipped = [Point(**{name: kinds[name](row[name]) for name in Point._fields}) for row in rows]
    assert conclude(shipped, made_up=True) == (folder / "ablation.md").read_text(encoding="utf-8")


def test_early_share_needs_both_ends() -> None:
    assert early_share([], 25) is None
    ends = [p for p in points(lambda u, b, w, p: p) if p[1:4] == ("video", "epochs", "ema")]
    assert early_share(ends, 25) == pytest.approx(26 / 101)
    assert early_share([p for p in ends if p.percent < 100], 25) is None


def test_the_shipped_study_crosses_all_factors() -> None:
    specs = load_study("ablation").runs()
    seen = {(s.model, s.subset.unit, s.recipe["budget"]) for s in specs if s.subset is not None}
    models = ("tadtr", "actionformer", "tridet", "temporalmaxer")
    assert seen == set(itertools.product(models, ("video", "slice"), ("epochs", "steps")))
    assert all(spec.recipe["ema_decay"] > 0 for spec in specs)


def test_figure_table_and_text_come_from_run_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RunStore(tmp_path / "runs")
    for percent, seed in itertools.product((25.0, 100.0), (0, 1)):
        spec = RunSpec(
            "ablation", "temporalmaxer", "native", "1", {"budget": "epochs"}, DataSpec("s", "1", "", True),
            SubsetSpec("video", "uniform", percent, seed), seed,
        )  # fmt: skip
        writer = store.writer(spec)
        rows = [
            {"epoch": 1, "selection": s, "weights": w, "protocol": "af-212", "tiou": t, "ap": percent / 200 + bonus}
            for s in ("last", "best-on-test")
            for w, bonus in (("ema", 0.0), ("raw", 0.1 + 0.001 * seed))
            for t in TIOUS
        ]
        writer.write_metrics(
            rows, optimizer_steps=4, seconds={}, table2_seconds=0.0, table2_definition="-",
            reported={"weights": "ema", "protocol": "af-212"},
        )  # fmt: skip
        writer.finish()
    assert len(points_of(ablation_runs(store.root))) == 2 * (2 + 4)  # the whole set counts under both budgets
    assert main(["--results", str(store.root), "--out", str(tmp_path / "out")]) == 0
    assert "TemporalMaxer" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"ablation.png", "ablation.pdf", "ablation.svg", "ablation.csv", "ablation.md"}
    with (tmp_path / "out" / "ablation.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 12


def test_invalid_runs_are_left_out_and_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RunStore(tmp_path / "runs")
    for seed, flags in enumerate(([], [], ["no-detections"])):
        spec = RunSpec(
            "ablation", "temporalmaxer", "native", "1", {"budget": "epochs"}, DataSpec("s", "1", "", True),
            SubsetSpec("video", "uniform", 25.0, seed), seed,
        )  # fmt: skip
        writer = store.writer(spec)
        rows = [
            {"epoch": 1, "selection": s, "weights": w, "protocol": "af-212", "tiou": t, "ap": 0.3}
            for s, w, t in itertools.product(("last", "best-on-test"), ("ema", "raw"), TIOUS)
        ]
        writer.write_metrics(
            rows, optimizer_steps=4, seconds={}, table2_seconds=0.0, table2_definition="-", flags=flags,
            reported={"weights": "ema", "protocol": "af-212"},
        )  # fmt: skip
        writer.finish()
    assert main(["--results", str(store.root), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "2 runs, synthetic data" in text
    assert "Left out, being invalid: 1 (no-detections)." in text


def test_no_runs_is_an_error_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path)]) == 2
    assert "tal-repro run --study ablation" in capsys.readouterr().err
