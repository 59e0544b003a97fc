"""`tal-repro advise` on made-up sweeps: a steep curve, a flat one, one of too few points, and what is said of each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import tal_repro
from tal_repro.advice.build import advise, pays
from tal_repro.advice.costs import Model, choose, models
from tal_repro.advice.curves import StudyCurve, study_curves
from tal_repro.advice.section import section
from tal_repro.advice.words import sentences
from tal_repro.cli import main
from tal_repro.errors import InputError
from tal_repro.paper.report.advice_section import NOTHING
from tal_repro.paper.report.advice_section import advice as as_html
from tal_repro.runs.load import NO_RUNS, Runs, load_runs
from tests.paper.made_up_runs import A10, CPU, REAL, SYNTHETIC, training

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "advise.json").read_text(encoding="utf-8"))
PERCENTS = (10, 20, 40, 60, 80, 100)


def sweep(root: Path, model: str, top: float, bend: float, full_seconds: float, percents=PERCENTS, **kept) -> None:
    for percent in percents:
        for seed, off in enumerate((-0.05, 0.05)):
            value = top * (1 - np.exp(-percent / bend)) + off
            seconds = full_seconds * percent / 100
            training(root, model, value, percent=percent, seed=seed, seconds=seconds, **kept)


def by_class(root: Path) -> None:
    """Write TriDet's sweep with the AP of a class that still climbs and of one that does not."""
    for percent in PERCENTS:
        aps = {"Steep": 0.5 * np.log(percent) / np.log(100), "Flat": 0.8 - 0.3 * np.exp(-percent / 4)}
        kept = {"selection": "last", "weights": "ema", "protocol": "af-212", "ap": aps}
        training(root, "tridet", 100 * float(np.mean(list(aps.values()))), percent=percent, seconds=30, per_class=kept)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("advice") / "runs"
    by_class(root)
    sweep(root, "actionformer", 61, 4, 10.0)
    sweep(root, "tadtr", 60, 30, 5.0, percents=(50, 100))
    return root


@pytest.fixture(scope="module")
def runs(folder: Path) -> Runs:
    return load_runs(folder)


@pytest.fixture(scope="module")
def advice(runs: Runs) -> dict:
    return advise(runs)


def of(advice: dict, model: str) -> dict:
    return next(curve for curve in advice["curves"] if curve["model"] == model)


def test_the_advice_keeps_its_schema_and_says_that_the_data_are_made_up(advice) -> None:
    jsonschema.validate(json.loads(json.dumps(advice)), SCHEMA)
    assert advice["synthetic"] and sentences(advice)[0].startswith(f"SYNTHETIC DATA ({SYNTHETIC.name})")


def test_the_advice_opens_with_the_real_data_set_that_it_is_of(tmp_path) -> None:
    for percent in (50, 100):
        training(tmp_path / "runs", "tadtr", 60.0, percent=percent, synthetic=False)
    assert sentences(advise(load_runs(tmp_path / "runs")))[0] == f"Advice on the data set {REAL.name}."


def test_a_curve_that_climbs_pays_and_a_flat_one_is_shown_to_be_flat(advice) -> None:
    steep, flat = of(advice, "tridet"), of(advice, "actionformer")
    assert steep["pays"] == "yes"
    values = [row["prediction"] for row in steep["ahead"]]
    assert [row["percent"] for row in steep["ahead"]] == [150, 200, 300] and values == sorted(values)
    for row in steep["ahead"]:
        assert row["interval"][0] <= row["prediction"] <= row["interval"][1]
    assert flat["pays"] == "no" and flat["saturation"]["percent"] == 40
    assert flat["next_run"]["percent"] == 100


def test_too_few_points_are_a_refusal_with_the_cheapest_run_that_helps(advice) -> None:
    few = of(advice, "tadtr")
    assert few["pays"] == "cannot tell" and not any(row["answerable"] for row in few["ahead"])
    assert few["next_run"]["percent"] == 10 and "4 different shares, 2 are there" in few["next_run"]["reason"]
    assert few["next_run"]["like_seconds"] == pytest.approx(2.5)


def test_classes_that_climb_come_first(advice) -> None:
    rows = advice["classes"]["rows"]
    assert [row["class"] for row in rows] == ["Steep", "Flat"]
    assert rows[0]["pays"] == "yes" and rows[1]["pays"] != "yes"
    assert rows[1]["last_ap"] == pytest.approx(80, abs=0.01)


def test_the_model_is_the_quickest_near_the_best_and_a_budget_is_kept(runs) -> None:
    taken = {
        budget: advise(runs, delta, budget)["choice"]
        for delta, budget in ((1.0, None), (1.0, 20 / 3600), (1.0, 1 / 3600))
    }
    assert taken[None]["model"] == "tridet" and taken[None]["reason"] == "the highest mAP of the models"
    assert taken[20 / 3600]["model"] == "actionformer" and "0.00556 h" in taken[20 / 3600]["reason"]
    assert taken[1 / 3600] == {
        "model": None, "engine": None, "title": "TriDet", "budget_hours": 1 / 3600,
        "reason": "no training fits the budget",
    }  # fmt: skip
    far = advise(runs, delta=20.0)["choice"]
    assert far["model"] == "tadtr" and "within 20 mAP of the best" in far["reason"]


def test_a_model_that_is_slower_and_worse_is_not_efficient(advice) -> None:
    efficient = {row["model"]: row["efficient"] for row in advice["models"]}
    best = max(advice["models"], key=lambda row: row["map"])["model"]
    assert efficient[best] and efficient["tadtr"]


@pytest.mark.parametrize(
    ("chance", "answer"), [(None, "cannot tell"), (0.8, "yes"), (0.79, "open"), (0.21, "open"), (0.2, "no")]
)
def test_the_answer_is_read_off_the_probability(chance, answer) -> None:
    assert pays(chance) == answer


def test_what_a_model_costs_is_the_mean_of_its_timed_runs_of_one_setting(tmp_path) -> None:
    root = tmp_path / "runs"
    training(root, "tadtr", 60.0, seconds=10.0)
    training(root, "tadtr", 58.0, seed=1, seconds=0.0)
    training(root, "tadtr", 10.0, seed=2, recipe={"epochs": 1})
    (model,) = models(study_curves(load_runs(root).runs))
    assert (model.map_mean, model.runs, model.seconds) == (pytest.approx(59.0), 2, 10.0)


def test_the_time_of_another_machine_makes_no_model_quicker() -> None:
    def timed(model: str, average_map: float, seconds: float, device: str) -> Model:
        return Model(StudyCurve(model, "native", ()), 100.0, average_map, 1, seconds, (device,), True)

    best, alike = timed("tridet", 60.0, 20.0, A10), timed("tadtr", 59.5, 2.0, A10)
    chosen = [choose([best, other], 1.0, None) for other in (alike, replace(alike, devices=(CPU,)))]
    assert [model and model.curve.model for model in chosen] == ["tadtr", "tridet"]


def test_without_a_sweep_there_is_no_advice(tmp_path) -> None:
    training(tmp_path / "runs", "tadtr", 50.0, experiment="baseline")
    with pytest.raises(InputError, match="no finished run of a data sweep"):
        advise(load_runs(tmp_path / "runs"))
    assert section(NO_RUNS) is None and NOTHING in as_html(None)


def test_the_section_of_the_page_holds_the_sentences_and_the_numbers(runs, advice) -> None:
    made = section(runs)
    assert made is not None and made.sentences == sentences(advice)
    assert list(made.tables) == ["mAP at more labelled videos", "mAP against cost", "Classes"]
    page = as_html(made)
    assert "<strong>SYNTHETIC DATA" in page and "Steep" in page and "cannot tell" in page


@pytest.mark.usefixtures("every_run_counts")
def test_the_command_answers_first_and_ends_with_what_to_do_next(folder) -> None:
    result = CliRunner().invoke(main, ["advise", "--results", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"SYNTHETIC DATA ({SYNTHETIC.name})")
    assert "more labelled videos would" in result.stdout.lower()
    assert "short of videos: Steep" in " ".join(result.stdout.split())
    assert result.stdout.splitlines()[-1] == f"runs read from {folder}"
    assert result.stderr.startswith(f"next: tal-repro report --results {folder}")
    content = json.loads(CliRunner().invoke(main, ["advise", "--results", str(folder), "--json"]).stdout)
    jsonschema.validate(content, SCHEMA)


def test_an_empty_folder_is_refused_with_what_to_run(tmp_path) -> None:
    result = CliRunner().invoke(main, ["advise", "--results", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "experiment=data_sweep" in result.stderr


def test_shares_are_kept_where_as_many_runs_are_of_all_the_data(tmp_path) -> None:
    """Whole trainings are drawn under no policy: where they lead, the runs on parts of the data belong to them too."""
    sweep(tmp_path / "runs", "tadtr", 60, 30, 5.0, percents=(50, 100))
    training(tmp_path / "runs", "tadtr", 58.0, percent=100, seed=7)
    (curve,) = study_curves(load_runs(tmp_path / "runs").runs)
    assert curve.points.percent.tolist() == [50, 100] and curve.points.runs.tolist() == [2, 3]
