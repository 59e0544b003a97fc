"""The epoch loop: train, evaluate, checkpoint, and again, until the recipe's epochs are done or somebody says stop.

Random draws: torch's generator is seeded once with the run's seed and serves, in this order, the initial weights and
then dropout, drop path and input noise step by step; its state is part of every checkpoint. Orders and crops have
their own generators (see samples). Evaluation draws nothing.
"""

from __future__ import annotations

import math
import shutil
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tal_repro import hooks
from tal_repro.console import echo
from tal_repro.engines.adapter import RunContext, StopRequested
from tal_repro.engines.native.batches import Batch, epoch_batches, epoch_plan
from tal_repro.engines.native.checkpoint import (
    REMEDY,
    check_state,
    kept_when_refused,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from tal_repro.engines.native.clock import Clock
from tal_repro.engines.native.evaluation import Evaluator
from tal_repro.engines.native.optimization import WeightAverage, build_optimizer, descend, set_learning_rates
from tal_repro.engines.native.samples import Units
from tal_repro.engines.native.schedule import Selections, is_evaluated
from tal_repro.errors import InputError
from tal_repro.models.interface import Localizer, NotFinite

LAST_GOOD = "last_good_checkpoint.pt"  # kept beside a diverged run's log


class Diverged(RuntimeError):
    """The loss is no longer a finite number: at which step, and on which samples."""


class Trainer:
    """One run's training. `run()` goes on from a checkpoint if the run folder holds one."""

    def __init__(
        self, run: RunContext, model: Localizer, units: Units, steps_per_epoch: int, evaluator: Evaluator, clock: Clock
    ) -> None:
        self.context, self.model, self.units, self.evaluator, self.clock = run, model, units, evaluator, clock
        self.recipe = model.recipe
        self.steps_per_epoch = steps_per_epoch
        self.optimizer = build_optimizer(model, self.recipe)  # type: ignore[arg-type]
        self.average = WeightAverage(model, self.recipe.ema_decay) if self.recipe.ema_decay > 0 else None  # type: ignore[arg-type]
        self.epochs_done = 0
        self.optimizer_steps = 0
        self.epoch_rows: list[dict[str, Any]] = []
        self.selections = Selections()
        self.checkpoint_path: Path = run.record.paths.checkpoint
        self._next_beat = 0.0
        self._last_batch: tuple[str, ...] = ()
        self._resume()

    @property
    def weight_sets(self) -> tuple[str, ...]:
        """Return the evaluated weight sets, the one upstream reports first."""
        return ("ema", "raw") if self.average is not None else ("raw",)

    def run(self) -> None:
        """Train until done; raise StopRequested or Diverged with the last epoch's checkpoint in place."""
        started, first = time.monotonic(), self.epochs_done
        while self.epochs_done < self.recipe.epochs and not self.selections.stops(self.recipe):
            self._poll()
            self._epoch(self.epochs_done)
            self._tell((time.monotonic() - started) / (self.epochs_done - first))
            if self.context.should_stop() and self.epochs_done < self.recipe.epochs:
                raise StopRequested

    def _epoch(self, epoch: int) -> None:
        before = self.clock.read()
        hooks.event("epoch", "start", epoch)
        try:
            with self.clock.phase("train", epoch):
                loss, rate = self._train(epoch)
            self._check_weights()
        except Diverged:
            self._keep_last_good()
            raise
        averages = self._evaluate(epoch)
        self.epochs_done = epoch + 1
        self.epoch_rows.append(self._epoch_row(epoch, loss, rate, before, averages))
        with self.clock.phase("checkpoint", epoch):
            self._save()
        hooks.metrics(epoch, {"loss": loss, "learning_rate": rate, **averages})
        hooks.event("epoch", "end", epoch)

    def _tell(self, epoch_seconds: float) -> None:
        """Say on standard error (of a study: the log) how far training is; `epoch_seconds`: of one, on average."""
        row, data = self.epoch_rows[-1], self.context.spec.data
        made_up = " (synthetic data)" if data is not None and data.synthetic else ""
        maps = [f"{100 * row[f'map_{name}']:.2f} % ({name})" for name in self.weight_sets if row[f"map_{name}"] != ""]
        scored = f", mAP{made_up} {', '.join(maps)}" if maps else ""
        left = (self.recipe.epochs - self.epochs_done) * epoch_seconds
        echo(
            f"epoch {self.epochs_done} of {self.recipe.epochs}: {self.optimizer_steps} optimizer steps, "
            f"loss {row['loss']:.4g}{scored}; {epoch_seconds:.1f} s an epoch, at most {left:.0f} s left",
            err=True,
        )

    def _epoch_row(
        self, epoch: int, loss: float, rate: float, before: dict[str, float], averages: dict[str, float]
    ) -> dict[str, Any]:
        now = self.clock.read()
        spent = {f"{name}_seconds": now[name] - before[name] for name in ("train", "eval", "data_wait")}
        maps = {f"map_{weights}": averages.get(f"map_{weights}", "") for weights in self.weight_sets}
        steps = self.optimizer_steps
        return {"epoch": epoch, "optimizer_steps": steps, "learning_rate": rate, "loss": loss, **spent, **maps}

    def _train(self, epoch: int) -> tuple[float, float]:
        """Train one epoch; return its mean loss and last learning rate."""
        self.model.train()  # type: ignore[attr-defined]
        watch = LossWatch(lag=1 if self.context.device.startswith("cuda") else 0)
        rate = 0.0
        for batch in self._batches(epoch):
            self._poll()
            self.clock.waited(batch.wait_seconds)
            rate = set_learning_rates(self.optimizer, self.recipe, self.optimizer_steps, self.steps_per_epoch)
            self._step(batch, watch)
            hooks.event("iteration", "end", self.optimizer_steps, {"data_wait_seconds": batch.wait_seconds})
            self.optimizer_steps += 1
        return watch.mean(), rate

    def _batches(self, epoch: int) -> Iterator[Batch]:
        seed = self.context.spec.seed
        plan = epoch_plan(seed, epoch, len(self.units.ids), self.recipe.batch_size, self.steps_per_epoch)
        return epoch_batches(self.units, plan, seed, self.context.device)

    def _step(self, batch: Batch, watch: LossWatch) -> None:
        self._last_batch = batch.ids
        self.optimizer.zero_grad(set_to_none=True)
        try:
            loss = batch_loss(self.model, batch, self.context.spec.precision)
        except NotFinite as error:
            where = f"at optimizer step {self.optimizer_steps}, on the batch of {', '.join(batch.ids)}"
            raise Diverged(f"{error}, {where}") from None
        watch.add(loss.detach(), self.optimizer_steps, batch.ids)
        descend(loss, self.model, self.optimizer, self.average, self.recipe.clip_norm)  # type: ignore[arg-type]

    def _evaluate(self, epoch: int) -> dict[str, float]:
        """Evaluate every weight set if it is this epoch's turn; return average mAPs by column name."""
        if not is_evaluated(self.recipe, epoch, self.context.spec.options.get("evaluate_every")):
            return {}
        averages = {}
        for number, weights in enumerate(self.weight_sets):
            reported = number == 0
            with self.clock.phase("eval", epoch, "reported_eval" if reported else None, weights=weights):
                score = self._score(epoch, weights)
            self.selections.add(weights, score, reported=reported)
            averages[f"map_{weights}"] = score["average"]
        return averages

    def _score(self, epoch: int, weights: str) -> dict[str, Any]:
        detections = self.detect(weights)
        score = self.evaluator.score(detections, epoch)
        last = epoch == self.recipe.epochs - 1
        if last or self.recipe_may_stop or self.selections.is_best(weights, score["average"]):
            score = self.evaluator.score_all(detections, score)
        return score

    @property
    def recipe_may_stop(self) -> bool:
        """Tell whether any evaluated epoch can turn out to be the last."""
        return self.recipe.patience is not None

    def detect(self, weights: str) -> Any:
        """Return the test detections of the current "raw" or "ema" weights."""
        if weights == "raw" or self.average is None:
            return self.evaluator.detect(self.model, self._poll)
        self.average.swap()
        try:
            return self.evaluator.detect(self.model, self._poll)
        finally:
            self.average.swap()

    def _poll(self) -> None:
        """Beat, and leave at once when asked to: the last epoch's checkpoint stays."""
        now = time.monotonic()
        if now >= self._next_beat:
            self.context.heartbeat()
            self._next_beat = now + 1.0
        if self.context.should_stop() == "now":
            raise StopRequested

    def _save(self) -> None:
        save_checkpoint(
            self.checkpoint_path,
            {
                "run_id": self.context.spec.run_id,
                "data_digest": self.context.spec.data_digest,
                "epochs_done": self.epochs_done,
                "optimizer_steps": self.optimizer_steps,
                "model": self.model.state_dict(),  # type: ignore[attr-defined]
                "ema": self.average.state() if self.average is not None else {},
                "optimizer": self.optimizer.state_dict(),
                "random": random_state(),
                "selections": self.selections.to_json(),
                "epoch_rows": self.epoch_rows,
                "seconds": self.clock.read(),
            },
        )

    def _resume(self) -> None:
        spec = self.context.spec
        with kept_when_refused(self.checkpoint_path):
            state = load_checkpoint(self.checkpoint_path, spec.run_id, spec.data_digest)
            if state is not None:
                self._take_up(state)

    def _take_up(self, state: dict[str, Any]) -> None:
        try:
            check_state(state, self.recipe.epochs, self.steps_per_epoch)
            self.model.load_state_dict(state["model"])  # type: ignore[attr-defined]
            if self.average is not None:
                self.average.load(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.selections = Selections.from_json(state["selections"])
            self.epochs_done, self.optimizer_steps = state["epochs_done"], state["optimizer_steps"]
            self.epoch_rows = state["epoch_rows"]
            self.clock.carry_over(state["seconds"])
            restore_random_state(state["random"])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"does not fit this run ({reason})", self.checkpoint_path, REMEDY) from None

    @torch.no_grad()
    def _check_weights(self) -> None:
        """Raise Diverged where an epoch of finite losses left weights that are not: an overflown gradient does that.

        Without it they would be evaluated, and saved over the last good checkpoint.
        """
        named = list(self.model.named_parameters())  # type: ignore[attr-defined]
        if all(torch.stack([torch.isfinite(parameter).all() for _, parameter in named]).tolist()):
            return
        spoilt = [name for name, parameter in named if not torch.isfinite(parameter).all()]
        more = f" and {len(spoilt) - 3} more" if len(spoilt) > 3 else ""
        raise Diverged(
            f"weights are not finite after optimizer step {self.optimizer_steps - 1}, though every loss was: "
            f"{', '.join(spoilt[:3])}{more}; last batch: {', '.join(self._last_batch)}"
        )

    def _keep_last_good(self) -> None:
        """Set the last checkpoint aside where the failed run's log lies; a full disk must not hide why it failed."""
        if not self.checkpoint_path.exists():
            return
        kept = self.checkpoint_path.with_name(LAST_GOOD)
        try:
            shutil.copyfile(self.checkpoint_path, kept)
        except OSError as error:
            kept.unlink(missing_ok=True)
            echo(f"the last good checkpoint could not be kept ({error.strerror})", err=True)


def batch_loss(model: Localizer, batch: Batch, precision: str) -> Tensor:
    """Return the total loss of a batch; InputError names the samples whose features cannot be used."""
    try:
        with torch.autocast(batch.features.device.type, torch.bfloat16, enabled=precision == "bf16"):
            outputs = model(batch.features, batch.lengths)
    except InputError as error:
        raise InputError(error.what, f"batch of {', '.join(batch.ids)}", error.remedy) from None
    return model.loss(outputs, batch.targets)["total"]


class LossWatch:
    """Collect an epoch's losses and stop at one that is not finite; a GPU's are looked at one step late.

    A GPU's loss is on its way to the host at once, and only that copy is waited for: reading it from the device would
    wait for all work queued since.
    """

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._pending: deque[tuple[Tensor, torch.cuda.Event | None, int, tuple[str, ...]]] = deque()
        self._values: list[float] = []

    def add(self, loss: Tensor, step: int, ids: tuple[str, ...]) -> None:
        """Note the loss of a step on the samples `ids`; raise Diverged."""
        arrived = None
        if loss.is_cuda:
            stream = torch.cuda.current_stream(loss.device)  # of this device: the current one may be another
            loss = loss.to("cpu", non_blocking=True)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(stream)
        self._pending.append((loss, arrived, step, ids))
        self._check(self._lag)

    def mean(self) -> float:
        """Return the mean loss after a last check."""
        self._check(0)
        return sum(self._values) / len(self._values)

    def _check(self, leave: int) -> None:
        while len(self._pending) > leave:
            loss, arrived, step, ids = self._pending.popleft()
            if arrived is not None:
                arrived.synchronize()
            value = float(loss)
            if not math.isfinite(value):
                raise Diverged(f"the loss is {value} at optimizer step {step}, on the batch of {', '.join(ids)}")
            self._values.append(value)
