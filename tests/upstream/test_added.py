"""The shipped models beyond the four, by their authors' code (marker `upstream`), each under all that a study asks for.

One study of both on synthetic data: killed, started over, trained, counted, timed, drawn. What each scores is what it
prints; TE-TAD learns more than a fifth of this set, DyFADet of its check's (tests/engines/test_contract.py).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tal_repro.data.layouts import find_layout
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.added import dyfadet, tetad
from tal_repro.engines.macs_process import count_apart
from tal_repro.engines.upstream.added import AddedAdapter
from tal_repro.engines.upstream.checkout import prepare, status
from tal_repro.engines.upstream.job import Job, fresh_work_folder
from tal_repro.models.registry import MODELS
from tal_repro.paper.figures import FIGURES
from tal_repro.run.training import plan_training
from tal_repro.run.trial import setting_words
from tal_repro.runs.store import RunStore

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(3600)]
ADDED = {"dyfadet": dyfadet, "tetad": tetad}
BEST = {"dyfadet": "checkpoints/*/epoch_*bestmodel.pth.tar", "tetad": "out/checkpoint_best_ema.pth"}
# The task, and the trace of one training: these figures are not of every model.
OF_NO_OTHER = {f"figure-{number}" for number, one in FIGURES.items() if one.module in ("task", "hardware_trace")}
STILL = {  # DyFADet adds noise while it evaluates, too
    "dyfadet": {"input_noise": 0.0, "epochs": 6},
    "tetad": {"epochs": 2, "eval_interval": 1, "learning_rate": 0.001},
}
LEAST_MAP, PADDED = 0.2, {"dyfadet": 2304, "tetad": 256}
SHORTER = {"tetad": {"epochs": 32}}  # four trainings of it
STUDY = """
schema = "tal-repro/study/1"
name = "added"
[data]
name = "added"
synthesis = { videos = 20, test = 20, feature_dim = 2048, classes = 20, seconds = [20, 40], difficulty = 0.0, seed = 5 }
[defaults]
engines = ["upstream"]
device = "cpu"
alone = []
[[experiments]]
experiment = "baseline"
models = ["dyfadet", "tetad"]
seeds = [3]
[[experiments]]
experiment = "data_sweep"
models = ["dyfadet", "tetad"]
percentages = [40, 60]
[[experiments]]
experiment = "trace"
models = ["tetad"]
options = { interval_s = 0.1 }
[[experiments]]
experiment = "macs"
models = ["dyfadet", "tetad"]
feature_lengths = [100, 200]
[[experiments]]
experiment = "inference"
models = ["dyfadet", "tetad"]
feature_lengths = [100, 200]
options = { effort = { min_samples = 1, min_seconds = 0.1, max_warmup = 1 } }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study of both."""
    for model in ADDED:
        if not status(model).present:
            pytest.skip(f"{status(model).folder} is empty: run `make submodules`, or set TAL_REPRO_THIRD_PARTY")
    path = tmp_path_factory.mktemp("added")
    recipes = [
        f"[recipes.{model}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in recipe.items())
        for model, recipe in ((model, {**file.SMALL, **SHORTER.get(model, {})}) for model, file in ADDED.items())
    ]
    (path / "added.toml").write_text(STUDY + "".join(recipes))
    return path


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tal_repro", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def call(folder: Path, *words: str) -> str:
    process = start(folder, *words)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def results(folder: Path) -> Iterator[Path]:
    """The results of the study, whose first training was killed under way."""
    run = ["run", "--study", "added.toml", "--results", "runs", "--data", "data", "--jobs", "1"]
    first = start(folder, *run, "--only", "experiment=baseline,model=dyfadet")
    deadline = time.monotonic() + 600
    while not any('"train"' in path.read_text() for path in folder.glob("runs/baseline/*/*.partial/events.jsonl")):
        assert time.monotonic() < deadline and first.poll() is None, "no training was under way"
        time.sleep(0.1)
    first.kill()
    first.communicate()
    call(folder, *run)
    yield folder / "runs"


def metrics(results: Path, model: str) -> dict[str, Any]:
    records = [record for record in RunStore(results).records() if record.spec.experiment == "baseline"]
    return dict(next(record.metrics for record in records if record.spec.model == model))


@pytest.mark.parametrize("model", list(ADDED))
def test_it_learns_and_each_weight_set_scores_what_it_prints(model: str, results: Path) -> None:
    found = metrics(results, model)
    printed = found["upstream"]["own_print"]
    sets = {"ema"} if model == "dyfadet" else {"raw", "ema"}
    assert {(row["selection"], row["weights"]) for row in printed} == {
        (selection, weights) for selection in ("last", "best-on-test") for weights in sets
    }
    assert found["flags"] == [] and all(row["agrees"] for row in printed)
    if model != "dyfadet":  # it learns on the videos and seed of its check, where test_contract asks the same of it
        assert max(row["kit_map"] for row in printed) > LEAST_MAP, printed
    assert found["table2_definition"] == "training, checkpoints and evaluations"


def test_a_killed_training_started_over_and_said_so(results: Path) -> None:
    (record,) = (
        record for record in RunStore(results).records()
        if (record.spec.experiment, record.spec.model) == ("baseline", "dyfadet")
    )  # fmt: skip
    assert record.status["attempts"] == 2
    assert "starting over" in record.paths.log.read_text()


@pytest.mark.parametrize("model", list(ADDED))
def test_its_macs_are_of_the_padded_length_and_its_inference_is_timed(model: str, results: Path) -> None:
    counted: dict[str, Any] = count_apart(model, "upstream", 100)
    assert counted["padded_length"] == PADDED[model] and counted["macs"] > 10**9
    assert ("aten::baddbmm" in counted["unsupported_ops"]) == (model == "tetad")  # of which the count warns
    kinds = {record.spec.experiment for record in RunStore(results).records() if record.spec.model == model}
    assert kinds >= {"baseline", "data_sweep", "macs", "inference"}


def test_both_are_in_every_figure_table_and_report(folder: Path, results: Path) -> None:
    call(folder, "figure", "all", "--source", "measured", "--results", "runs", "--out", "figures")
    drawn = {path.stem: path.read_text() for path in (folder / "figures").glob("*.svg")}
    assert drawn
    for model in ADDED:
        lacking = {stem for stem, text in drawn.items() if MODELS[model].title not in text}
        assert lacking <= OF_NO_OTHER, lacking
        assert MODELS[model].title in call(folder, "table", "2", "--results", "runs")
    call(folder, "report", "--results", "runs", "--out", "page")
    page = (folder / "page" / "index.html").read_text()
    assert all(MODELS[model].title in page for model in ADDED)


@pytest.mark.parametrize(("model", "pattern"), list(BEST.items()))
def test_a_checkpoint_as_its_authors_release_it_scores_what_their_training_printed(
    model: str, pattern: str, folder: Path, tmp_path: Path
) -> None:
    """The best of the EMA weights, written by their script; the training's own folder is gone when it is scored."""
    data = write_synthetic(tmp_path / "data", SyntheticConfig(20, 20, 2048, 20, (20.0, 40.0), difficulty=0.0, seed=5))
    recipe = {key: value for key, value in ADDED[model].SMALL.items() if key != "feature_dim"} | STILL.get(model, {})
    spec = plan_training(model, data, "upstream", 100.0, 3, recipe)
    run = RunContext(spec, RunStore(tmp_path / "training").writer(spec), data, "cpu")
    adapter = AddedAdapter(model)
    layout = find_layout(data, adapter.layout)
    job = Job(run, adapter.recipe(run), prepare(model).resolve(), layout, fresh_work_folder(run))
    adapter.run_scripts(job)
    checkpoint = shutil.copy(sorted(job.work.glob(pattern))[-1], tmp_path / "released.pth.tar")
    shutil.rmtree(job.work)
    words = ["released", "--model", model, "--checkpoint", str(checkpoint), "--data", str(data), "--json"]
    sizes = [word for word in setting_words(recipe) if "loader_workers" not in word]
    said = call(folder, *words, *sizes, "--out", str(tmp_path / "runs"))
    rows = json.loads(said[said.index("{") : said.rindex("}") + 1])["rows"]
    (row,) = (row for row in rows if row["protocol"] == adapter.protocol)
    assert row["average_map"] == pytest.approx(100 * job.chosen["best-on-test", "ema"].printed_map, abs=0.01)
    assert row["engine"] == "upstream" and row["published_map"] == (69.2 if model == "dyfadet" else None)
    (record,) = RunStore(tmp_path / "runs").records()
    assert [one["agrees"] for one in record.metrics["own_print"]] == [True]
