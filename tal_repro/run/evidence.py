"""Judge a small training of the authors' code by what a witness saw of it (engines/upstream/witness.py).

Each question has a function: it returns what was seen, raises InputError where that breaks the contract, and Undecided
where what was seen does not suffice. None of them believes a patch: they compare what the hooks were told with what the
code did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tal_repro import hooks
from tal_repro.errors import InputError
from tal_repro.run.prints import check_printed

DOCS = "docs/adding-a-model.md"
LEARNT = 0.20  # average mAP; below it a wrong decoding and a right one differ too little
LEFT_OUT = 0.1  # share of the test videos that an evaluation may go without
SAME_LOSS = 1e-3  # relative
LEAST_POWER = 4  # of the two by which mixed precision multiplies a loss; half a loss is a mistake
SAME_MAP = 2e-4  # of another protocol's mAP, where equal scores may stand in another order
PAIRED = ("run", "train", "eval", "checkpoint", "iteration")
Note = Mapping[str, Any]


class Undecided(Exception):
    """What was seen neither breaks the contract nor shows that it is kept; the message says what to do."""


@dataclass(frozen=True)
class Evidence:
    """A small training: what it recorded, what the witness noted, and the data it was given."""

    notes: Sequence[Note]
    events: Sequence[Mapping[str, Any]]  # of the hooks
    loss_by_epoch: Mapping[int, float]
    used: frozenset[str]  # units that restrict() kept
    own_print: Sequence[Mapping[str, Any]]  # the kit's mAPs beside the authors'
    training_ids: frozenset[str]  # of videos
    test_ids: frozenset[str]
    detected_ids: frozenset[str]  # those of the test videos in which actions are looked for
    batch_size: int = 1  # of the recipe
    repeats: int = 1  # times that the authors' own loader goes through its units in an epoch
    output: str = ""  # of their scripts
    averages: Mapping[tuple[str, str, str], float] = field(default_factory=dict)  # by selection, weights and protocol
    epochs: int = 0  # of the recipe; 0: not known
    stops_early: bool = False  # the authors' code may end before them

    def of(self, kind: str, phase: str | None = None) -> list[Note]:
        """Return the notes of a kind (in a phase), in their order."""
        return [note for note in self.notes if note["kind"] == kind and phase in (None, note["phase"])]

    @property
    def videos(self) -> frozenset[str]:
        """Return the ids of all videos."""
        return self.training_ids | self.test_ids

    def ids(self, kind: str, phase: str) -> set[str]:
        """Return the ids in the notes of a kind and phase."""
        return {str(note["id"]) for note in self.of(kind, phase)}


def video(unit: str) -> str:
    """Return the video of a unit."""
    return unit.partition(hooks.SLICE_MARK)[0]


def evaluation(evidence: Evidence) -> str:
    """Are the test videos evaluated, and no others?"""
    scored = {video(name) for note in evidence.of("detections") for name in note["videos"]}
    read = {video(name) for kind in ("sample", "read") for name in evidence.ids(kind, "eval")}
    read &= evidence.videos
    for names, what in ((scored, "detections are of"), (read, "the evaluation goes through")):
        if wrong := sorted(names - evidence.test_ids):
            raise InputError(
                f"{what} {len(wrong)} videos that are not test videos, the first: {wrong[0]}",
                "the authors' evaluation",
                "let it evaluate the test set: in the arguments that train(job) gives, or its configuration",
            )
    left_out = sorted(evidence.detected_ids - (read or scored))
    if len(left_out) > LEFT_OUT * len(evidence.detected_ids):
        share = f"{len(left_out)} of {len(evidence.detected_ids)} test videos"
        what = f"the evaluation leaves out {share}, one is {left_out[0]}"
        raise InputError(what, "the authors' evaluation", "which list of videos does it read?")
    return f"{len(scored)} of {len(evidence.test_ids)} test videos have detections, no other has"


def events(evidence: Evidence) -> str:
    """Do the events cover every epoch, optimizer step and evaluation?"""
    recorded = evidence.events
    for kind in PAIRED:
        phases = [event["phase"] for event in recorded if event["kind"] == kind and event["phase"] in ("start", "end")]
        if phases != ["start", "end"] * (len(phases) // 2):
            raise _events(f"{kind} events do not alternate between start and end ({len(phases)} of them)")
    outside = [note for note in evidence.of("step") if note["phase"] != "train"]
    steps = len(evidence.of("step"))
    if outside:
        raise _events(f"{len(outside)} of {steps} optimizer steps are outside of train start ... train end")
    _check_iterations(evidence)
    iterations = sum((event["kind"], event["phase"]) == ("iteration", "end") for event in recorded)
    losses_told = len(evidence.of("told"))
    if iterations < steps or iterations != (losses_told or iterations):
        raise _events(
            f"{iterations} iteration events for {steps} optimizer steps and {losses_told} calls of add_losses"
        )
    indices = [event["index"] for event in recorded if (event["kind"], event["phase"]) == ("epoch", "start")]
    trained = sum((event["kind"], event["phase"]) == ("train", "start") for event in recorded)
    if indices != list(range(trained)):
        raise _events(f"epoch start events of {indices} for {trained} passes of training")
    _check_epochs(trained, evidence)
    evaluated = sum((note["at"]) == "eval end" for note in evidence.of("phase"))
    if evaluated < len(evidence.of("detections")):
        raise _events(f"{evaluated} eval events for {len(evidence.of('detections'))} evaluations")
    _check_evaluated_epochs(evidence)
    early = f" of {evidence.epochs} (it stops early)" if trained < evidence.epochs else ""
    return f"{trained} epochs{early}, {steps} optimizer steps, {evaluated} evaluations, each within its events"


def _check_iterations(evidence: Evidence) -> None:
    """Raise InputError unless iteration events hold the steps of the optimizer, and not the wait for data."""
    steps = evidence.of("step")
    outside = sum(not note["iteration"] for note in steps)
    if outside > len(steps) / 2:  # a last step after the loop is the authors' own
        raise _events(f"{outside} of {len(steps)} optimizer steps are outside of iteration start ... iteration end")
    if evidence.of("waited", "train"):
        raise InputError(
            "batches are fetched between iteration start and iteration end: the wait for data counts as computing",
            "02-timing.patch",
            f"let an iteration start where its batch is there, and end before the next is asked for; see {DOCS}",
        )


def _check_epochs(trained: int, evidence: Evidence) -> None:
    """Raise InputError where more epochs are trained than the recipe says, Undecided where fewer without a reason."""
    epochs = evidence.epochs
    if epochs and trained > epochs:
        what = f"{trained} epochs are trained, the recipe says {epochs}"
        raise InputError(what, "train(job)", "give the scripts the recipe's epochs, those of a warm-up among them")
    if trained < epochs and not evidence.stops_early:
        raise Undecided(
            f"{trained} epochs are trained, the recipe says {epochs}: give the scripts the recipe's epochs; where the "
            "authors' code stops early, say so in the description: STOPS_EARLY = True"
        )


def _check_evaluated_epochs(evidence: Evidence) -> None:
    """Raise InputError where an evaluation within a training says another epoch than that trained last (-1: none)."""
    epoch = -1
    for note in evidence.notes:
        if note["kind"] == "script":
            epoch = -1  # a process of its own
        elif note["kind"] == "phase" and note["at"] == "train end":
            epoch += 1
        elif note["kind"] in ("metrics", "detections") and 0 <= epoch != note["index"] >= 0:
            raise InputError(
                f"an evaluation after epoch {epoch} is said to be of epoch {note['index']}",
                "03-metrics.patch",
                f"give metrics and detections the index that event('epoch', 'start', index) has; see {DOCS}",
            )


def _events(what: str) -> InputError:
    return InputError(what, "02-timing.patch", f"an event is missing, misplaced, or within a condition; see {DOCS}")


def losses(evidence: Evidence) -> str:
    """Are the losses that the hook is told those that are back-propagated, step by step and epoch by epoch?"""
    reported = np.array([note["loss"] for note in evidence.of("told")])
    backward = np.array([note["loss"] for note in evidence.of("backward")])
    where, remedy = "03-metrics.patch", f"call add_losses where the loss of this step is known, once a step; see {DOCS}"
    if not len(reported):
        raise InputError("add_losses is never called", where, remedy)
    if not len(backward):
        raise Undecided("no loss was seen that is back-propagated: compare the losses with the authors' log yourself")
    if len(backward) % len(reported):
        raise InputError(
            f"losses were told {len(reported)} times, back-propagated {len(backward)} times", where, remedy
        )
    backward = backward.reshape(len(reported), -1).sum(1)  # parts of one step, each with a graph of its own
    backward = _unscaled(backward, reported)
    ratio = reported / np.where(backward == 0, np.nan, backward)
    middle = float(np.nanmedian(ratio))
    away = np.abs(np.nan_to_num(ratio, nan=middle) - middle)
    if away.max() > SAME_LOSS * abs(middle):
        step = int(away.argmax())
        what = f"at step {step} the hook was told {reported[step]:.6g}, back-propagated was {backward[step]:.6g}"
        raise InputError(f"{what}: a loss of another step, or without its weights", where, remedy)
    _check_scale(evidence, middle, where)
    _check_epoch_means(evidence, where)
    return f"what was told at {len(reported)} steps is what was back-propagated"


def _unscaled(backward: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Return losses [S] without the power of two by which mixed precision multiplies them, another after an overflow.

    `told`: what the hook was told [S].
    """
    with np.errstate(all="ignore"):
        power = np.round(np.log2(backward / told))
    scaled: np.ndarray = np.where(np.isfinite(power) & (power >= LEAST_POWER), power, 0)
    return backward / 2.0**scaled


def _check_scale(evidence: Evidence, ratio: float, where: str) -> None:
    """Raise InputError unless what was told is what was back-propagated, or as many times that as share a gradient."""
    shared = len(evidence.of("backward")) / max(len(evidence.of("step")), 1)  # the last of an epoch may be fewer
    times = round(ratio)
    if not 1 <= times <= math.ceil(shared) or abs(ratio - times) > SAME_LOSS * times:
        what = f"the hook was told {ratio:.6g} times what was back-propagated, at every step"
        raise InputError(what, where, f"give it the loss whose backward() is called; see {DOCS}")


def _check_epoch_means(evidence: Evidence, where: str) -> None:
    """Raise InputError unless each epoch's loss is the mean of what was told within it."""
    means: list[list[float]] = []
    for note in evidence.notes:
        if note["kind"] == "phase" and note["at"] == "train start":
            means.append([])
        elif note["kind"] == "told" and means:
            means[-1].append(float(note["loss"]))
    for epoch, values in enumerate(means):
        mean = evidence.loss_by_epoch.get(epoch)
        if mean is None:
            raise InputError(f"epoch {epoch} has no loss", where, f"call end_losses(epoch) after its loop; see {DOCS}")
        if values and abs(mean - np.mean(values)) > SAME_LOSS * max(abs(float(np.mean(values))), 1e-9):
            what = f"the loss of epoch {epoch} is {mean:.6g}, the mean of its steps {np.mean(values):.6g}"
            raise InputError(what, where, f"end_losses has the index of another epoch, or comes too early; see {DOCS}")


def weights(evidence: Evidence) -> str:
    """Are the evaluated weights those that the description says?"""
    by_training = [row["weights"] for row in evidence.own_print if row["selection"] == "best-on-test"]
    trained, evaluated = "", dict[str, int]()
    claims = _claims(evidence, by_training[0] if by_training else "")
    for note, claimed in claims:
        if not claimed:
            trained = note["fingerprint"]
            continue
        if trained and (claimed == "raw") != (note["fingerprint"] == trained):
            seen = "weights other than those trained last" if claimed == "raw" else "the raw weights, just trained"
            raise InputError(
                f"evaluated are {seen}, described as {claimed}",
                "train(job)",
                "name the set that the script evaluates (raw, ema), and give it the checkpoint of the last epoch",
            )
        evaluated[claimed] = evaluated.get(claimed, 0) + bool(trained)
    if not sum(evaluated.values()) or not trained:
        raise Undecided("no network was seen in training or evaluation: look yourself which weights are evaluated")
    return ", ".join(f"{count} evaluations of {name} weights" for name, count in evaluated.items())


def _claims(evidence: Evidence, by_training: str) -> Iterator[tuple[Note, str]]:
    """Yield the notes of weights with what they are said to be ("": just trained), in their order."""
    script = ""
    for position, note in enumerate(evidence.notes):
        if note["kind"] == "script":
            script = str(note["weights"])
        if note["kind"] != "weights":
            continue
        if note["phase"] == "train":
            yield note, ""
            continue
        later = evidence.notes[position:]
        said = next((str(each["weights"]) for each in later if each["kind"] == "detections"), "")
        yield note, said or script or by_training or "raw"


def detections(evidence: Evidence) -> str:
    """Are the columns that the hook was given those that the authors' code holds, video by video?"""
    computed: dict[str, None] = {}
    for note in evidence.of("detections"):
        for name, match in note["columns"].items():
            if 0.5 <= match["share"] < 1:
                what = (
                    f"{name} differs from the authors' own {match['variable']} in {1 - match['share']:.1%} of the rows"
                )
                raise InputError(
                    f"{what}, first in {match['video']}", "03-metrics.patch", "give the hook what they hold"
                )
            if match["share"] < 0.5:
                computed[name] = None
    if computed:
        made = "names, or made by the patch" if "label" in computed else "made by the patch"
        return f"{', '.join(computed)}: {made}, so that the mAP alone speaks for it"
    return "every column is one of the authors' own, row by row"


def same_map(evidence: Evidence) -> str:
    """Is the kit's mAP the authors' own, and far enough from 0 to tell a right decoding from a wrong one?"""
    rows = evidence.own_print
    for row in rows:
        if not row["agrees"]:
            raise InputError(
                f"the kit's mAP is {row['kit_map']:.2%}, its own print says {row['upstream_printed_map']:.2%}",
                "03-metrics.patch",
                _why_another_map(evidence, row),
            )
    check_printed(evidence.of("metrics"), evidence.output)
    best = max((row["kit_map"] for row in rows), default=0.0)
    if best < LEARNT:
        raise Undecided(
            f"the mAP, {best:.1%} (synthetic), is too near 0 to tell a right decoding from a wrong one: train longer "
            "or with a higher rate (--set epochs=..., --budget SECONDS)"
        )
    return f"{best:.1%} (synthetic), as its own print says in {len(rows)} evaluations"


def _why_another_map(evidence: Evidence, row: Note) -> str:
    """Return what may be the reason of a mAP that differs from the print; a protocol that has the print's is named."""
    fits = [
        protocol
        for (selection, weights, protocol), average in evidence.averages.items()
        if (selection, weights) == (row["selection"], row["weights"])
        and abs(average - row["upstream_printed_map"]) <= SAME_MAP
    ]
    if fits:
        return f"under {' and '.join(fits)} it is what they print: PROTOCOL, or the annotations that lay_out writes"
    return "PROTOCOL, or the times (seconds), labels or scores that the hook is given, do not fit"
