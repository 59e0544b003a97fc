"""The trainer end to end: same seed same bits, killed and resumed the same bits, and what a run must not do."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch

from tal_repro import hooks
from tal_repro.data import load_dataset
from tal_repro.engines.adapter import RunContext, StopRequested
from tal_repro.engines.native import adapter as adapter_module
from tal_repro.engines.native import checkpoint as checkpoint_module
from tal_repro.engines.native import trainer as trainer_module
from tal_repro.engines.native.adapter import NativeAdapter
from tal_repro.engines.native.trainer import LAST_GOOD, Diverged
from tal_repro.errors import InputError
from tal_repro.runs.record import read_json

MODELS = ("tadtr", "actionformer", "tridet", "temporalmaxer")
Make = Callable[..., RunContext]
NOT_RESULTS = ("seconds", "table2_seconds")


def train(run: RunContext) -> dict[str, Any]:
    NativeAdapter(run.spec.model).train(run)
    return outcome(run)


def outcome(run: RunContext) -> dict[str, Any]:
    """Everything of a run but its times: metrics, detections' bytes, and every tensor of its checkpoint."""
    metrics = read_json(run.record.paths.metrics)
    state = torch.load(run.record.paths.checkpoint, weights_only=True)
    tensors = {
        **{f"model.{k}": v for k, v in state["model"].items()},
        **{f"ema.{k}": v for k, v in state["ema"].items()},
    }
    tensors |= {f"adam.{i}.{k}": v for i, s in state["optimizer"]["state"].items() for k, v in s.items()}
    return {
        "metrics": {key: value for key, value in metrics.items() if key not in NOT_RESULTS},
        "detections": run.record.paths.detections.read_bytes(),
        "weights": {key: value.numpy().tobytes() for key, value in tensors.items()},
    }


def stop_after(polls: int, how: str = "now") -> Callable[[], str]:
    count = iter(range(polls))
    return lambda: "" if next(count, None) is not None else how


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_bits_also_after_a_stop(context: Make, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(context(model, "whole"))
    stopped = replace(context(model, "stopped"), should_stop=stop_after(17))
    with pytest.raises(StopRequested):
        train(stopped)
    assert stopped.record.paths.checkpoint.exists()
    assert not stopped.record.paths.metrics.exists()
    real, steps = trainer_module.batch_loss, []
    monkeypatch.setattr(trainer_module, "batch_loss", lambda *args: steps.append(1) or real(*args))
    assert train(context(model, "stopped")) == whole
    assert 0 < len(steps) < whole["metrics"]["optimizer_steps"], "it should go on, not start again"


def test_another_seed_gives_another_result(context: Make) -> None:
    assert train(context("temporalmaxer", "a"))["weights"] != train(context("temporalmaxer", "b", seed=2))["weights"]


@pytest.mark.parametrize("polls", [1, 9, 12])
def test_kill_9_anywhere_then_resume_gives_the_same_bits(context: Make, polls: int) -> None:
    whole = train(context("temporalmaxer", "whole"))
    die = stop_after(polls)
    killed = replace(context("temporalmaxer", "killed"), should_stop=lambda: "" if not die() else kill_self())
    assert in_child(lambda: train(killed)) == -signal.SIGKILL
    assert train(context("temporalmaxer", "killed")) == whole


def test_kill_9_while_a_checkpoint_is_written(context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(context("temporalmaxer", "whole"))
    killed = context("temporalmaxer", "killed")
    syncs = stop_after(1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.os, "fsync", lambda _: kill_self() if syncs() else None)
        assert in_child(lambda: train(killed)) == -signal.SIGKILL
    folder = killed.record.paths.folder
    assert list(folder.glob(".checkpoint.pt.*.tmp")), "the child should have died with a half-written file"
    assert train(context("temporalmaxer", "killed")) == whole
    assert not list(folder.glob(".*.tmp"))


def kill_self() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def in_child(work: Callable[[], Any]) -> int:
    """Run `work` in a fork; return its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


IMPOSSIBLE: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
    ("epochs_done = 1000 of 3", lambda state: {"epochs_done": 1000}),
    ("optimizer_steps = 6 after 2 epochs of 6", lambda state: {"epochs_done": 2}),
    ("0 epoch_rows of 1 epochs", lambda state: {"epoch_rows": []}),
    ("selections without the raw", lambda state: {"selections": {"last": {}, "best": {}, "without_better": 0}}),
    ("every weight of 'model'", lambda state: {"model": {key: 0 * value for key, value in state["model"].items()}}),
    ("every weight of 'ema'", lambda state: {"ema": {key: 0 * value for key, value in state["ema"].items()}}),
    ("weights of 'ema' are not", lambda state: {"ema": {key: value / 0 for key, value in state["ema"].items()}}),
]


def test_a_checkpoint_that_no_training_left_is_refused_and_kept(context: Make) -> None:
    """Also where its digest was made anew; the next start trains from the first epoch."""
    run = replace(context("temporalmaxer", options={"evaluate_every": 1}), should_stop=lambda: "epoch")
    with pytest.raises(StopRequested):
        train(run)
    path = run.record.paths.checkpoint
    state = checkpoint_module.load_checkpoint(path, run.spec.run_id)
    assert state is not None and state["epochs_done"] == 1
    for message, change in IMPOSSIBLE:
        checkpoint_module.save_checkpoint(path, {**state, **change(state)})
        changed = path.read_bytes()
        with pytest.raises(InputError, match=f"does not fit this run .{message}(.|\\n)*start the run again"):
            adapter_module._open(run)
        assert path.with_name(checkpoint_module.REFUSED).read_bytes() == changed and not path.exists()
    assert adapter_module._open(run).epochs_done == 0


def test_stop_after_the_epoch_keeps_that_epoch(context: Make) -> None:
    run = replace(context("temporalmaxer"), should_stop=lambda: "epoch")
    with pytest.raises(StopRequested):
        train(run)
    assert torch.load(run.record.paths.checkpoint, weights_only=True)["epochs_done"] == 1


def test_a_loss_that_is_not_finite_names_its_batch_and_keeps_the_last_good_checkpoint(
    context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = context("temporalmaxer")
    real, calls = trainer_module.batch_loss, iter(range(100))

    def fails_at_step_8(*args: Any) -> Any:
        return real(*args) * (float("nan") if next(calls) == 8 else 1.0)

    monkeypatch.setattr(trainer_module, "batch_loss", fails_at_step_8)
    with pytest.raises(Diverged, match=r"nan at optimizer step 8, on the batch of video_validation_\d+, video_"):
        train(run)
    kept = torch.load(run.record.paths.folder / LAST_GOOD, weights_only=True)
    assert kept["epochs_done"] == 1
    assert all(torch.isfinite(value).all() for value in kept["model"].values())


def test_outputs_that_cannot_be_matched_are_a_divergence_too(context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = context("tadtr")
    real, calls = trainer_module.batch_loss, iter(range(1000))

    def spoils_weights(model: Any, *args: Any) -> Any:
        if next(calls) == 2:
            next(model.parameters()).data.fill_(float("nan"))
        return real(model, *args)

    monkeypatch.setattr(trainer_module, "batch_loss", spoils_weights)
    with pytest.raises(Diverged, match=r"outputs are not finite, at optimizer step 2, on the batch of video_"):
        train(run)


def spoil(monkeypatch: pytest.MonkeyPatch, step: int, how: Callable[[Any, Any], Any]) -> None:
    """Change the loss of one optimizer step: `how(loss, model)`."""
    real, calls = trainer_module.batch_loss, iter(range(100))

    def spoilt(model: Any, *args: Any) -> Any:
        loss = real(model, *args)
        return how(loss, model) if next(calls) == step else loss

    monkeypatch.setattr(trainer_module, "batch_loss", spoilt)


def infinite_gradient(loss: Any, model: Any) -> Any:
    """The loss stays what it was; the derivative of a root at 0 is infinite."""
    return loss + (next(model.parameters()) * 0).sqrt().sum()


LAST_STEP_OF_EPOCH_2 = 11


def test_weights_that_overflow_under_a_finite_loss_are_neither_scored_nor_saved(
    context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = context("temporalmaxer")
    spoil(monkeypatch, LAST_STEP_OF_EPOCH_2, infinite_gradient)
    with pytest.raises(Diverged, match=r"weights are not finite after optimizer step 11, .*; last batch: video_"):
        train(run)
    for name in (LAST_GOOD, run.record.paths.checkpoint.name):
        kept = torch.load(run.record.paths.folder / name, weights_only=True)
        assert kept["epochs_done"] == 1
        assert all(torch.isfinite(value).all() for value in kept["model"].values())


def test_an_overflow_in_the_last_step_of_all_is_no_result(context: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = context("temporalmaxer")
    spoil(monkeypatch, 17, infinite_gradient)
    with pytest.raises(Diverged, match="after optimizer step 17"):
        train(run)
    assert not run.record.paths.metrics.exists()


def test_a_loss_that_a_gpu_reports_one_step_late_keeps_the_last_good_checkpoint_too(
    context: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, watch = context("temporalmaxer"), trainer_module.LossWatch
    monkeypatch.setattr(trainer_module, "LossWatch", lambda lag: watch(1))
    spoil(monkeypatch, LAST_STEP_OF_EPOCH_2, lambda loss, _: loss * float("inf"))
    with pytest.raises(Diverged, match="inf at optimizer step 11"):
        train(run)
    assert torch.load(run.record.paths.folder / LAST_GOOD, weights_only=True)["epochs_done"] == 1


def test_a_full_disk_does_not_hide_why_a_run_diverged(
    context: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = context("temporalmaxer")
    spoil(monkeypatch, 8, lambda loss, _: loss * float("nan"))
    monkeypatch.setattr(trainer_module.shutil, "copyfile", full)
    with pytest.raises(Diverged, match="nan at optimizer step 8"):
        train(run)
    assert "could not be kept (No space left on device)" in capsys.readouterr().err


@pytest.mark.parametrize(("side", "step"), [("train", 3), ("train", 40), ("test", 3)])
def test_features_that_are_not_finite_are_named(
    context: Make, data_dir: Path, tmp_path: Path, side: str, step: int
) -> None:
    """Wherever the step lies, whether or not a crop would have held it."""
    import shutil

    import numpy as np

    broken = shutil.copytree(data_dir, tmp_path / "broken")
    video = getattr(load_dataset(broken), side)[0].id
    file = next(broken.rglob(f"{video}.npy"))
    rows = np.load(file)
    rows[step, 3] = np.nan
    np.save(file, rows)
    run = replace(context("temporalmaxer"), data_dir=broken)
    with pytest.raises(InputError, match=f"video {video} are not finite, first at step {step}(.|\n)*data verify"):
        train(run)
    assert not run.record.paths.checkpoint.exists(), "it should be found before anything is trained"


@pytest.mark.parametrize(("model", "units"), [("temporalmaxer", 3), ("tadtr", 7)])
def test_too_few_units_for_a_batch_are_refused(context: Make, data_dir: Path, model: str, units: int) -> None:
    from tal_repro.data.subsets import training_units

    ids = tuple(training_units(load_dataset(data_dir), "slice" if model == "tadtr" else "video"))[:units]
    with pytest.raises(InputError, match="zero optimizer steps"):
        train(context(model, subset_ids=ids))


def test_a_unit_that_is_not_in_the_data_is_named(context: Make) -> None:
    with pytest.raises(InputError, match="'video_validation_none'"):
        train(context("tridet", subset_ids=("video_validation_none",)))


@pytest.mark.parametrize(("key", "value"), [("feature_dim", 8), ("num_classes", 5)])
def test_a_recipe_that_does_not_fit_the_data_is_refused(context: Make, key: str, value: int) -> None:
    with pytest.raises(InputError, match=f"set {key} = "):
        train(context("temporalmaxer", **{key: value}))


def test_another_data_set_than_the_declared_one_is_refused(context: Make) -> None:
    run = context("temporalmaxer")
    assert run.spec.data is not None
    other = replace(run, spec=replace(run.spec, data=replace(run.spec.data, annotation_hash="1" * 64)))
    with pytest.raises(InputError, match="annotations are not those of the run"):
        train(other)


@pytest.mark.parametrize(("model", "unit"), [("temporalmaxer", "slice"), ("tadtr", "video")])
def test_units_may_be_counted_the_other_way(context: Make, data_dir: Path, model: str, unit: str) -> None:
    from tal_repro.data.subsets import training_units

    dataset = load_dataset(data_dir)
    ids = tuple(training_units(dataset, unit))[:12]  # type: ignore[arg-type]
    slices = [name for name in training_units(dataset, "slice") if name.split("_window_")[0] in ids]
    metrics = train(context(model, unit=unit, subset_ids=ids))["metrics"]
    counted = metrics["training"]["units"]
    assert counted == (12 if unit == "slice" else len(slices))  # a video stands for all of its slices
    assert metrics["optimizer_steps"] == 3 * (counted // (4 if model == "temporalmaxer" else 8))


def test_equal_steps_give_a_subset_the_steps_of_the_whole_set(context: Make, data_dir: Path) -> None:
    ids = tuple(video.id for video in load_dataset(data_dir).train[:8])
    by_epochs = train(context("temporalmaxer", "epochs", subset_ids=ids))["metrics"]
    by_steps = train(context("temporalmaxer", "steps", subset_ids=ids, budget="steps"))["metrics"]
    assert (by_epochs["optimizer_steps"], by_steps["optimizer_steps"]) == (3 * 2, 3 * 6)
    assert by_epochs["training"]["units"] == by_steps["training"]["units"] == 8


@pytest.mark.parametrize("model", MODELS)
def test_a_run_writes_both_selections_of_both_weight_sets(
    context: Make, model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(hooks.EVENTS_VARIABLE, str(tmp_path / "events.jsonl"))
    hooks.reset()
    run = context(model)
    train(run)
    hooks.reset()
    metrics = read_json(run.record.paths.metrics)
    found = {(row["selection"], row["weights"], row["protocol"], row["tiou"]) for row in metrics["rows"]}
    protocols, tious = ("af-212", "opentad-211", "tadtr-210"), (0.3, 0.4, 0.5, 0.6, 0.7)
    wanted = {(s, w, p, t) for s in ("last", "best-on-test") for w in ("raw", "ema") for p in protocols for t in tious}
    assert found == wanted
    assert all(0 <= row["ap"] <= 1 for row in metrics["rows"])
    assert metrics["optimizer_steps"] == 3 * metrics["steps_per_epoch"] > 0
    protocol = "tadtr-210" if model == "tadtr" else "af-212"
    assert metrics["reported"] == {"weights": "ema", "protocol": protocol}, "with an average, it is what is reported"
    keys = ("selection", "weights", "protocol")
    last = [row["ap"] for row in metrics["rows"] if tuple(map(row.get, keys)) == ("last", "ema", protocol)]
    by_class = metrics["per_class"]
    assert tuple(map(by_class.get, keys)) == ("last", "ema", protocol)
    assert mean(by_class["ap"].values()) == pytest.approx(mean(last)), "of the same detections"
    seconds = metrics["seconds"]
    phases = sum(seconds[name] for name in ("setup", "train", "eval", "checkpoint"))
    assert 0.9 * seconds["total"] < phases <= seconds["total"]
    assert 0 < metrics["table2_seconds"] <= seconds["total"]
    _check_events([json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()], metrics)


def _check_events(events: list[dict[str, Any]], metrics: dict[str, Any]) -> None:
    iterations = [event for event in events if event["kind"] == "iteration"]
    assert len(iterations) == metrics["optimizer_steps"]
    waits = sum(event["values"]["data_wait_seconds"] for event in iterations)
    assert waits == pytest.approx(metrics["seconds"]["data_wait"])
    for kind in ("run", "epoch", "train", "eval", "checkpoint"):
        phases = [event["phase"] for event in events if event["kind"] == kind and event["phase"] != "metrics"]
        assert phases == ["start", "end"] * (len(phases) // 2)
        assert len(phases) // 2 >= (1 if kind == "run" else 2 if kind == "eval" else 3)


def test_detections_are_read_back_and_computed_again_the_same(context: Make) -> None:
    run = context("actionformer")
    train(run)
    adapter = NativeAdapter("actionformer")
    written = adapter.read_detections(run)
    run.record.paths.detections.unlink()
    again = adapter.read_detections(run)
    assert len(again) > 0
    assert written["video_id"].tolist() == again["video_id"].tolist()
    assert written["score"].to_numpy() == pytest.approx(again["score"].to_numpy())


def test_bf16_trains_to_a_finite_loss(context: Make) -> None:
    run = context("temporalmaxer")
    train(replace(run, spec=replace(run.spec, precision="bf16")))
    assert read_json(run.record.paths.metrics)["optimizer_steps"] == 18


@pytest.mark.parametrize("model", MODELS)
def test_macs_are_counted_on_the_full_size_model(model: str) -> None:
    adapter = NativeAdapter(model)
    features, lengths = adapter.example_input(100)
    assert (tuple(features.shape), lengths.tolist()) == ((1, 2048, 100), [100])
    parameters = sum(parameter.numel() for parameter in adapter.build_for_macs(100).parameters())
    published = {"tadtr": 8661594, "actionformer": 29251612, "tridet": 15989604, "temporalmaxer": 7117852}
    assert parameters == pytest.approx(published[model], rel=0.001)
