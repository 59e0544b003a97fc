"""The ablation's effects on rows whose answer is known, its words, and its files from run folders."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tal_repro.kit import reference_folder
from tal_repro.paper.ablation import effects as e
from tal_repro.paper.ablation.__main__ import main
from tal_repro.paper.ablation.effects import effects
from tal_repro.paper.ablation.points import Point, ablation_runs, points_of, read_rows
from tal_repro.paper.ablation.text import Source, conclude
from tal_repro.runs.store import RunStore
from tal_repro.spec import DataSpec, RunSpec, SubsetSpec
from tal_repro.study import load_study

TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
UNITS = (("video", "uniform"), ("video", "all-classes"), ("slice", "uniform"))
SOURCE = Source(made_up=True, planned=60)
Value = Callable[[str, str, str, str, float], float]


def rows(value: Value, model: str = "actionformer", seeds: int = 3) -> list[Point]:
    """Every condition at four shares and some seeds; a seed moves all conditions alike."""
    grid = itertools.product(UNITS, ("epochs", "steps"), ("ema", "raw"), (10.0, 12.5, 20.0, 100.0), range(seeds))
    return [
        Point(model, unit, policy, budget, weights, percent, seed, value(unit, policy, budget, weights, percent) + seed,
              100, 16, 60, 11, 16, f"{unit}{policy}{budget}{percent}{seed}")
        for (unit, policy), budget, weights, percent, seed in grid
        if percent < 100 or (policy, budget) == ("uniform", "epochs")
    ]  # fmt: skip


def test_an_effect_is_of_one_share_and_paired_within_a_seed() -> None:
    lagging = rows(lambda u, p, budget, weights, s: s / 2 if (budget, weights) == ("epochs", "ema") else 40.0)
    found = {(x.contrast.name, x.percent): x for x in effects(lagging)}
    for percent in (10.0, 12.5, 20.0):
        raw = found[e.RAW_AT_EPOCHS, percent]
        assert raw.mean == raw.low == raw.high == pytest.approx(40 - percent / 2) and raw.direction == 1
        assert found[e.RAW_AT_STEPS, percent].direction == 0
    assert (e.RAW_AT_EPOCHS, 100.0) not in found
    text = conclude(lagging, SOURCE)
    assert "| +35.0 (+35.0 to +35.0)" not in text and "**+35.0 (+35.0 to +35.0)**" in text
    assert f"{e.RAW_AT_EPOCHS[1:]}: higher mAP: ActionFormer at 10, 12.5 and 20 %." in text


def test_units_are_compared_between_subsets_by_welch() -> None:
    better = rows(lambda unit, policy, b, w, s: 50.0 if policy == "all-classes" else 30.0)
    (effect,) = (x for x in effects(better) if x.contrast.name == e.ALL_CLASSES_AT_STEPS and x.percent == 10)
    half = 2.776445 * (2 * 1.0 / 3) ** 0.5  # t(0.975, 4) of two samples of 3 with a std of 1
    assert (effect.low, effect.high) == (pytest.approx(20 - half, abs=1e-4), pytest.approx(20 + half, abs=1e-4))


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(20.0, "This supports a premise of the paper's reason"), (0.0, "Not resolved"), (-20.0, "This speaks against")],
)
def test_the_papers_reason_is_weighed_at_each_share(gain: float, verdict: str) -> None:
    text = conclude(rows(lambda u, policy, b, w, s: 30.0 + gain * (policy == "all-classes")), SOURCE)
    said = [line for line in text.splitlines() if f", {e.ALL_CLASSES_AT_STEPS}: " in line]
    assert len(said) == 3 and all(verdict in line for line in said)


def test_one_run_a_side_gives_no_interval() -> None:
    lone = rows(lambda u, p, b, weights, s: 10.0 if weights == "ema" else 90.0, seeds=1)
    assert all(x.direction == 0 for x in effects(lone))
    text = conclude(lone, SOURCE)
    assert "+80.0 (one run a side)" in text and "higher mAP" not in text


def test_models_that_share_a_subset_count_it_once() -> None:
    """Twice the same model under another name narrows nothing."""
    alone = rows(lambda u, policy, b, w, s: 30.0 + 20 * (policy == "all-classes"))
    both = alone + [point._replace(model="tridet") for point in alone]
    joint = [
        e.over_models([x for x in effects(p) if (x.contrast.name, x.percent) == (e.ALL_CLASSES, 10)], 0.95)
        for p in (alone, both)
    ]
    assert joint[0] == joint[1] and joint[0] is not None and joint[0][0] == pytest.approx(20)
    assert e.over_models([x for x in effects(rows(lambda *_: 1.0, seeds=1)) if x.percent == 10][:1], 0.95) is None


def test_the_whole_set_ends_every_curve_of_its_unit() -> None:
    text = conclude(rows(lambda u, p, b, w, s: s), SOURCE)
    lines = [line for line in text.splitlines() if line.startswith("- ActionFormer, ")]
    assert len(lines) == 4 and all("% gain most (p" in line or "gain is largest between" in line for line in lines)
    assert "| 100 % | 11.0 | 11.0 | 11.0 | 20.0 | 20.0 |" in text  # all of THUMOS14's classes


def test_a_curve_that_bends_with_all_classes_is_not_bent_by_new_ones() -> None:
    """Steps bend it, whatever the classes: shown at equal epochs under both policies, not at equal steps."""
    late = {10.0: 4.0, 12.5: 6.0, 20.0: 60.0, 100.0: 90.0}
    text = conclude(rows(lambda u, p, budget, w, s: late[s] if budget == "epochs" else 60 + s / 4), SOURCE)
    assert "ActionFormer, as published, videos of all classes: the gain is largest between 12.5 and 20 %" in text
    said = " ".join(text[text.index("A gain that grows is shown") :].split())
    assert said.startswith(
        "A gain that grows is shown (p < 0.05) as published for ActionFormer; as published with videos of all classes, "
        "where no class is missing, for ActionFormer; at equal steps and raw weights for no model."
    )


def test_what_holds_together_is_said_apart_from_what_holds_alone() -> None:
    """An effect that leaves out 0 by little does so at its own factor's shares only, not with all other factors'."""
    by_little = rows(lambda u, policy, b, w, s: 30.0 + 3.6 * (policy == "all-classes"), seeds=4)
    text = conclude(by_little, SOURCE)
    assert text.count("This supports a premise of the paper's reason") == 6
    assert "Where all 21 intervals are to hold together in 95 % of cases, these still leave out 0: none." in text
    much = rows(lambda u, policy, b, w, s: 30.0 + 30 * (policy == "all-classes"), seeds=4)
    assert f"leave out 0: {e.ALL_CLASSES_AT_STEPS}, at 10, 12.5 and 20 %;" in conclude(much, SOURCE)


def test_slices_are_said_to_hold_more_actions() -> None:
    """TadTR cuts videos, so its rows count an action of a video more than once; the others' are the video's."""
    plain = rows(lambda *_: 1.0)
    cut = [p._replace(model="tadtr", instances=110) for p in plain]
    doubled = [p._replace(instances=120) if p.unit == "slice" else p for p in plain + cut]
    assert "| 10 % | 60.0 | 60.0 | 120.0 |" in conclude(doubled, SOURCE)
    complete = conclude([p._replace(classes=16) for p in plain if p.percent != 12.5], SOURCE)
    assert "At 10 and 20 % any videos held all classes, too" in complete
    assert "any videos held all classes" not in conclude(plain, SOURCE)


def test_the_shipped_text_follows_from_the_shipped_rows() -> None:
    folder = reference_folder() / "ablation"
    shipped = read_rows(folder / "ablation.csv")
    planned = len(load_study("ablation").runs())
    assert conclude(shipped, Source(True, planned)) == (folder / "ablation.md").read_text(encoding="utf-8")
    ids = {spec.run_id for spec in load_study("ablation").runs()}
    assert {point.run_id for point in shipped} <= ids  # of the study as it is


def test_the_shipped_study_crosses_all_factors() -> None:
    specs = load_study("ablation").runs()
    models = ("tadtr", "actionformer", "tridet", "temporalmaxer")
    seeds: dict[tuple[object, ...], int] = {}
    for spec in specs:
        assert spec.subset is not None and spec.recipe["ema_decay"] > 0
        key = (spec.model, spec.subset.unit, spec.subset.policy, spec.recipe["budget"], spec.subset.percent)
        seeds[key] = seeds.get(key, 0) + 1
    for model, (unit, policy), budget, percent in itertools.product(
        models, UNITS, ("epochs", "steps"), (10, 12.5, 20, 50)
    ):
        assert seeds[model, unit, policy, budget, percent] == (5 if percent <= 20 else 2)
    assert all(seeds[model, unit, "uniform", "epochs", 100] == 2 for model in models for unit in ("video", "slice"))


def _finish(store: RunStore, percent: float, seed: int, flags: tuple[str, ...] = ()) -> None:
    recipe = {"budget": "epochs", "num_classes": 16}
    data, subset = DataSpec("s", "1", "", True), SubsetSpec("video", "uniform", percent, seed)
    writer = store.writer(RunSpec("ablation", "temporalmaxer", "native", "1", recipe, data, subset, seed))
    scored = [
        {"epoch": 1, "selection": s, "weights": w, "protocol": "af-212", "tiou": t, "ap": percent / 200 + bonus}
        for s in ("last", "best-on-test")
        for w, bonus in (("ema", 0.0), ("raw", 0.1 + 0.001 * seed))
        for t in TIOUS
    ]
    writer.write_metrics(
        scored, optimizer_steps=4, seconds={}, table2_seconds=0.0, table2_definition="-", flags=list(flags),
        reported={"weights": "ema", "protocol": "af-212"}, training={"units": 4, "instances": 9, "classes": 3},
    )  # fmt: skip
    writer.finish()


def test_figure_rows_and_text_come_from_run_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RunStore(tmp_path / "runs")
    for percent, seed in itertools.product((25.0, 100.0), (0, 1)):
        _finish(store, percent, seed)
    points = points_of(ablation_runs(store.root))
    assert len(points) == 8 and {(p.units, p.instances, p.classes, p.classes_total) for p in points} == {(4, 9, 3, 16)}
    assert main(["--results", str(store.root), "--out", str(tmp_path / "out")]) == 0
    assert "TemporalMaxer" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"ablation.png", "ablation.pdf", "ablation.svg", "ablation.csv", "ablation.md"}
    with (tmp_path / "out" / "ablation.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 8
    assert read_rows(tmp_path / "out" / "ablation.csv") == points


def test_invalid_runs_are_left_out_and_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RunStore(tmp_path / "runs")
    for seed, flags in enumerate(((), (), ("no-detections",))):
        _finish(store, 25.0, seed, flags)
    assert main(["--results", str(store.root), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "2 of the 3 runs" in text and "Left out, being invalid: 1 (no-detections)." in text


def test_no_runs_and_foreign_rows_are_errors_with_a_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path)]) == 2
    assert "tal-repro run --study ablation" in capsys.readouterr().err
    (tmp_path / "rows.csv").write_text("model,unit\ntadtr,slice\n")
    assert main(["--rows", str(tmp_path / "rows.csv")]) == 2
    assert "rows.csv:2" in capsys.readouterr().err
