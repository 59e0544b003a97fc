"""Bad input of an upstream run, each answered by name and with what mends it; and a run that was killed before."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tal_repro import hooks
from tal_repro.data import load_dataset
from tal_repro.data.layouts import find_layout
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.engines.adapter import RunContext
from tal_repro.engines.registry import engine_for, engines_of, get_adapter
from tal_repro.engines.upstream import checkout, process, shims
from tal_repro.engines.upstream.job import Job, fresh_work_folder
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS, model_entry
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec, SubsetSpec


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "tiny"
    return write_synthetic(out, SyntheticConfig(6, 20, 16, 20, (20.0, 25.0), difficulty=0.1, seed=4))


@pytest.fixture
def run(spec: RunSpec, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunContext]:
    """Return a function that opens an upstream run; there is no checkout."""
    monkeypatch.setenv(checkout.THIRD_PARTY_VARIABLE, str(tmp_path / "nothing"))
    monkeypatch.setenv(checkout.PREPARED_VARIABLE, str(tmp_path / "prepared"))

    def make(model: str, ids: tuple[str, ...] = (), data: Path | None = data_dir, unit: str = "video") -> RunContext:
        recipe = dataclasses.asdict(model_entry(model).recipe)
        subset = SubsetSpec(unit=unit)  # type: ignore[arg-type]
        own = dataclasses.replace(spec, model=model, engine="upstream", recipe=recipe, subset=subset)
        return RunContext(own, RunStore(tmp_path / "runs").writer(own), data, "cpu", ids)

    return make


def train(context: RunContext) -> None:
    get_adapter(context.spec.model, "upstream").train(context)


@pytest.mark.parametrize("model", MODELS)
def test_a_missing_checkout_stops_the_run_before_it_starts(run: Callable[..., RunContext], model: str) -> None:
    context = run(model)
    with pytest.raises(InputError, match=r"is missing(.|\n)*make submodules"):
        train(context)
    assert not (context.record.paths.folder / "work").exists()


def test_no_data_and_the_wrong_layout_say_what_is_looked_for(
    run: Callable[..., RunContext], data_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--data DIR"):
        train(run("tridet", data=None))
    other = shutil.copytree(data_dir, tmp_path / "other")
    for file in other.rglob("thumos14.json"):
        file.unlink()
    with pytest.raises(InputError, match=r"no annotations of layout actionformer(.|\n)*annotations/thumos14\.json"):
        train(run("tridet", data=other))
    with pytest.raises(InputError, match="no such data folder"):
        train(run("tadtr", data=tmp_path / "none"))


@pytest.mark.parametrize(("model", "unit"), [("tridet", "video"), ("tadtr", "slice"), ("tadtr", "video")])
def test_an_id_that_is_not_in_the_data_is_named(run: Callable[..., RunContext], model: str, unit: str) -> None:
    with pytest.raises(InputError, match=r"1 of 1 training units are not in this data set, the first: video_nobody"):
        train(run(model, ("video_nobody_0000001",), unit=unit))


def test_a_video_without_features_is_named(run: Callable[..., RunContext], data_dir: Path, tmp_path: Path) -> None:
    """Three upstreams would leave it out without a word."""
    copy = shutil.copytree(data_dir, tmp_path / "copy")
    feature = sorted(copy.rglob("video_validation_*.npy"))[0]
    others = tuple(path.stem for path in sorted(copy.rglob("video_validation_*.npy")))
    feature.unlink()
    with pytest.raises(InputError, match=f"no feature file for {feature.stem}"):
        train(run("actionformer", others, copy))


@pytest.mark.parametrize("side", ["train", "test"])
def test_features_that_are_not_finite_are_named_before_anything_starts(
    run: Callable[..., RunContext], data_dir: Path, tmp_path: Path, side: str
) -> None:
    broken = shutil.copytree(data_dir, tmp_path / "broken")
    video = getattr(load_dataset(broken, "actionformer"), side)[0].id
    file = next(broken.rglob(f"{video}.npy"))
    rows = np.load(file)
    rows[5, 3] = np.inf
    np.save(file, rows)
    for ids in ((), tuple(one.id for one in load_dataset(broken, "actionformer").train)):
        with pytest.raises(InputError, match=f"video {video} are not finite, first at step 5"):
            train(run("tridet", ids=ids, data=broken))


def test_a_run_killed_after_its_copy_was_made_starts_over_and_says_so(
    run: Callable[..., RunContext], capsys: pytest.CaptureFixture[str]
) -> None:
    context = run("tadtr")
    work = fresh_work_folder(context)
    assert capsys.readouterr().out == ""
    (work / "half").write_text("written")
    context.record.paths.events.write_text('{"time": 1.0, "kind": "run", "phase": "start"}\n')
    assert fresh_work_folder(context) == work
    assert "starting over" in capsys.readouterr().out
    assert list(work.iterdir()) == [] and not context.record.paths.events.exists()


def test_an_evaluation_by_its_own_script_is_told_without_its_start(
    run: Callable[..., RunContext], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = run("actionformer")
    recipe = model_entry("actionformer").recipe
    job = Job(context, recipe, tmp_path, find_layout(data_dir, "actionformer"), fresh_work_folder(context))
    took = {"raw": 3.0, "ema": 2.5}

    def launch(run, tree, script, arguments, work, environment, log=None):  # type: ignore[no-untyped-def]
        weights = environment[shims.WEIGHTS_VARIABLE]
        marks = [("start", 10.0, {}), ("metrics", 11.0, {"average_map": 0.5}), ("end", 10.0 + took[weights], {})]
        events = [
            {"kind": "eval", "phase": phase, "index": 0, "time": at, "values": values} for phase, at, values in marks
        ]
        lines = "".join(json.dumps(event) + "\n" for event in events)
        Path(environment[hooks.EVENTS_VARIABLE]).write_text(lines, encoding="utf-8")
        (Path(environment[hooks.DETECTIONS_VARIABLE]) / "0.csv").write_text("", encoding="utf-8")
        return 20.0

    monkeypatch.setattr(process, "launch", launch)
    for weights in took:
        job.evaluate("eval.py", [], weights)
    seconds = job.seconds("ema")
    assert (seconds["reported_eval_after"], seconds["reported_eval"], seconds["eval_after"]) == (2.5, 0.0, 40.0)
    assert job.seconds("raw")["reported_eval_after"] == 3.0


def test_a_model_gets_the_engine_it_has() -> None:
    assert engines_of("tadtr") == ("native", "upstream")
    assert engine_for("tadtr", "upstream") == "upstream"
    with pytest.raises(InputError, match=r"unknown model 'tad'(.|\n)*tadtr"):
        get_adapter("tad", "upstream")
    with pytest.raises(InputError, match="unknown engine"):
        get_adapter("tadtr", "imaginary")
