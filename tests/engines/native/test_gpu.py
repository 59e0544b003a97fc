"""Training on a GPU: same seed same bits, close to a CPU's course, and no step that waits for the device unasked."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tal_repro.engines.adapter import RunContext, StopRequested
from tal_repro.engines.native import session
from tal_repro.engines.native.adapter import NativeAdapter
from tal_repro.engines.native.batches import epoch_batches, epoch_plan
from tal_repro.engines.native.clock import Clock
from tal_repro.engines.native.optimization import set_learning_rates
from tal_repro.engines.native.trainer import LossWatch, Trainer
from tal_repro.runs.record import read_json

MODELS = ("tadtr", "actionformer", "tridet", "temporalmaxer")
GPU = "cuda:0"
Make = Callable[..., RunContext]
WAITS = {"tadtr": 1}  # the matching costs go to the host, where the assignment is found

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: run it where torch.cuda.is_available()"),
]


def weights(run: RunContext) -> dict[str, torch.Tensor]:
    NativeAdapter(run.spec.model).train(run)
    state = torch.load(run.record.paths.checkpoint, weights_only=True, map_location="cpu")
    return {**state["model"], **{f"ema.{key}": value for key, value in state["ema"].items()}}


def on_gpu(run: RunContext) -> RunContext:
    return replace(run, device=GPU, spec=replace(run.spec, device_kind="cuda"))


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_bits_also_after_a_stop(context: Make, model: str) -> None:
    first, second = weights(on_gpu(context(model, "first"))), weights(on_gpu(context(model, "second")))
    differing = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert not differing
    polls = iter(range(17))
    stopped = replace(
        on_gpu(context(model, "stopped")), should_stop=lambda: "" if next(polls, None) is not None else "now"
    )
    with pytest.raises(StopRequested):
        NativeAdapter(model).train(stopped)
    resumed = weights(on_gpu(context(model, "stopped")))
    assert not [name for name, value in first.items() if not torch.equal(value, resumed[name])]


@pytest.mark.parametrize("model", MODELS)
def test_losses_follow_those_of_a_cpu(context: Make, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    off = {"dropout": 0.0} if model == "tadtr" else {"drop_path": 0.0, "input_noise_std": 0.0}
    losses = []
    for run in (context(model, "cpu", **off), on_gpu(context(model, "gpu", **off))):
        NativeAdapter(model).train(run)
        rows = run.record.paths.epochs.read_text().splitlines()
        column = rows[0].split(",").index("loss")
        losses.append([float(row.split(",")[column]) for row in rows[1:]])
        assert read_json(run.record.paths.metrics)["optimizer_steps"] > 0
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


@pytest.mark.parametrize("model", MODELS)
def test_a_step_waits_for_the_device_only_to_match(context: Make, model: str) -> None:
    run = on_gpu(context(model))
    opened, units, steps, evaluator = session.open_training(run)
    trainer = Trainer(run, opened, units, steps, evaluator, Clock(GPU))
    plan = epoch_plan(0, 0, len(units.ids), trainer.recipe.batch_size, steps)
    batches = list(epoch_batches(units, plan, 0, GPU))  # on the device already, as the loader's thread puts them
    watch = LossWatch(lag=1)
    opened.train()  # type: ignore[attr-defined]
    trainer._step(batches[0], watch)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for batch in batches[1:3]:
                set_learning_rates(trainer.optimizer, trainer.recipe, 5, steps)
                trainer._step(batch, watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [f"{one.filename}:{one.lineno}" for one in caught if "synchroniz" in str(one.message)]
    waits = [wait for wait in waits if "torch/cuda" not in wait]  # torch says there that the mode is a prototype
    assert len(waits) == 2 * WAITS.get(model, 0), waits
