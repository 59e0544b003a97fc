"""What the authors' code does, seen from outside its patches: the evidence that `models check` judges them by.

The launcher installs it where `TAL_REPRO_WITNESS` asks for it. It writes JSON lines, each with the phase (train, eval)
that the hooks say is under way: which videos' files were read, which unit ids batches held, how long the loader's data
set is, what was back-propagated beside what the hook was given, a fingerprint of the weights that were trained or
evaluated, and whether the columns of the detections hook are in the authors' own variables.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tal_repro import hooks
from tal_repro.engines.upstream.own_columns import matches

VARIABLE = "TAL_REPRO_WITNESS"  # JSON: {"out": file, "ids": every video id and slice id of the data set}
MARK = hooks.SLICE_MARK
EVALUATED = "# tal-repro: an evaluation"  # a line of its own in the scripts' output, at each call of the metrics hook
DEPTH = 5  # of containers in a batch that are looked through for ids


class Witness:
    """Stand beside the authors' code and note; every line is written at once, also by a loader's workers."""

    def __init__(self, out: str, ids: list[str]) -> None:
        # A descriptor of its own: workers are forked with it, and a line that is short is appended whole.
        self.descriptor = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.ids = frozenset(ids)
        self.phase = ""
        self.seen: set[tuple[str, str, str]] = set()

    def note(self, kind: str, **values: Any) -> None:
        """Write a line."""
        line = {"kind": kind, "phase": self.phase, "process": os.getpid(), **values}
        os.write(self.descriptor, json.dumps(line).encode() + b"\n")

    def once(self, kind: str, name: str) -> None:
        """Write a line of an id, the first time in a phase."""
        if (kind, self.phase, name) not in self.seen:
            self.seen.add((kind, self.phase, name))
            self.note(kind, id=name)

    # What hooks say: the phase that is under way
    def event(self, kind: str, phase: str) -> None:
        """Follow the phases of the run."""
        if kind in ("train", "eval") and phase in ("start", "end"):
            if phase == "end" and kind == "train" and self.network is not None:
                self.note("weights", fingerprint=fingerprint(self.network))
            self.phase = kind if phase == "start" else ""
            self.note("phase", at=f"{kind} {phase}")
            self.network, self.waits = (None, True) if phase == "start" else (None, False)
            self.seen = {key for key in self.seen if key[1] != self.phase}
        elif kind == "iteration":
            self.iteration = phase == "start"

    iteration = False  # under way
    network: Any = None
    waits = False  # for the first network of a phase

    def called(self, module: Any) -> None:
        """Take the first module that is called in a phase: the network itself, which calls its parts."""
        if self.waits and any(True for _ in module.parameters()):
            self.waits, self.network = False, module
            if self.phase == "eval":
                self.note("weights", fingerprint=fingerprint(module))

    def opened(self, path: Any) -> None:
        """Note the video that a file which is opened is named after."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return
        name = os.path.basename(path)  # noqa: PTH119 (called at every open)
        for candidate in (name, name.partition(".")[0]):
            if candidate in self.ids:
                self.once("read", candidate)
                return

    def batch(self, batch: Any) -> None:
        """Note the ids in what a loader gave."""
        for text in texts(batch, DEPTH):
            if text in self.ids or text.partition(MARK)[0] in self.ids:
                self.once("sample", text)


def texts(value: Any, depth: int) -> Iterator[str]:
    """Yield the strings in nested containers."""
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item, depth - 1)
    elif depth and isinstance(value, list | tuple):
        for item in value:
            yield from texts(item, depth - 1)


def fingerprint(module: Any) -> str:
    """Return a digest of a network's parameters, whatever wraps it and however they are named."""
    digests = []
    for parameter in module.parameters():
        content = parameter.detach().cpu().contiguous()
        digests.append(hashlib.sha256(str(tuple(content.shape)).encode() + content.numpy().tobytes()).hexdigest())
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()[:16]


def total(losses: Mapping[str, Any]) -> float:
    """Return the loss that the hook is told of: `final_loss`, or the sum of its parts."""
    values = {name: float(value.detach() if hasattr(value, "detach") else value) for name, value in losses.items()}
    return values["final_loss"] if "final_loss" in values else sum(values.values())


def install() -> None:
    """Put the witness that the environment asks for in its places; nothing where it asks for none."""
    asked = os.environ.get(VARIABLE)
    if not asked:
        return
    order = json.loads(asked)
    witness = Witness(order["out"], json.loads(Path(order["ids"]).read_text(encoding="utf-8")))
    witness.note("script", script=os.path.basename(sys.argv[0]), weights=os.environ.get("TAL_REPRO_WEIGHTS", ""))  # noqa: PTH119
    sys.addaudithook(lambda event, words: witness.opened(words[0]) if event == "open" else None)
    _watch_hooks(witness)
    _watch_torch(witness)


def _watch_hooks(witness: Witness) -> None:
    event, add_losses, detections, restrict = hooks.event, hooks.add_losses, hooks.detections, hooks.restrict
    metrics, setting = hooks.metrics, hooks.setting

    def event_seen(kind: str, phase: str, *rest: Any, **named: Any) -> None:
        event(kind, phase, *rest, **named)
        witness.event(kind, phase)

    def losses_seen(losses: Mapping[str, Any]) -> None:
        add_losses(losses)
        witness.note("told", loss=total(losses))

    def detections_seen(index: int, columns: Mapping[str, Any], *rest: Any, **named: Any) -> None:
        found = matches(columns, sys._getframe(1))
        detections(index, columns, *rest, **named)
        videos = sorted({str(video) for video in columns["video_id"]})
        weights = str([*rest, *named.values(), ""][0])  # which set, where the hook is told
        witness.note("detections", index=index, columns=found, videos=videos, weights=weights)

    def metrics_seen(index: int, values: Mapping[str, Any], *rest: Any, **named: Any) -> None:
        metrics(index, values, *rest, **named)
        if "average_map" in values:
            witness.note("metrics", index=index, average_map=float(values["average_map"]))
            print(EVALUATED, flush=True)  # among what the scripts print: which numbers belong to this evaluation

    def restrict_seen(units: Any, *rest: Any, **named: Any) -> Any:
        given = list(units)
        kept = restrict(given, *rest, **named)
        witness.note("restrict", given=len(given), kept=len(kept))
        return kept

    def setting_seen(name: str, default: Any) -> Any:
        witness.note("setting", name=name)
        return setting(name, default)

    replacements: dict[str, Callable[..., Any]] = {
        "event": event_seen, "add_losses": losses_seen, "detections": detections_seen, "restrict": restrict_seen,
        "metrics": metrics_seen, "setting": setting_seen,
    }  # fmt: skip
    vars(hooks).update(replacements)


def _watch_torch(witness: Witness) -> None:
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook
    from torch.utils.data import dataloader

    tensor: Any = torch.Tensor
    iterator_class: Any = dataloader._BaseDataLoaderIter
    backward, following = tensor.backward, iterator_class.__next__

    def backward_seen(loss: Any, *rest: Any, **named: Any) -> Any:
        if loss.numel() == 1:
            witness.note("backward", loss=float(loss.detach()))
        return backward(loss, *rest, **named)

    def next_seen(iterator: Any) -> Any:
        if witness.iteration:
            witness.once("waited", "within an iteration")
        batch = following(iterator)
        witness.once("loader", str(len(iterator._dataset) if hasattr(iterator._dataset, "__len__") else -1))
        witness.batch(batch)
        return batch

    tensor.backward = backward_seen
    iterator_class.__next__ = next_seen
    after_step: Any = register_optimizer_step_post_hook
    after_step(lambda optimizer, *rest: witness.note("step", iteration=witness.iteration))
    torch.nn.modules.module.register_module_forward_pre_hook(lambda module, inputs: witness.called(module))


def read(path: Path) -> list[dict[str, Any]]:
    """Return what was noted, in its order."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
