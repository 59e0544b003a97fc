"""Does the training loop go through the units of the subset, each once an epoch, and through no others?

One of the questions of `models check`: what the loop holds and reads is compared with what `restrict` kept.
"""

from __future__ import annotations

from tal_repro.errors import InputError
from tal_repro.run.evidence import DOCS, Evidence, Undecided, video

UNSEEN = 0.5  # share of the units that may never come up, in a training of few steps


def subset(evidence: Evidence) -> str:
    """Does the training loop go through the units of the subset, and no others?"""
    used, known = set(evidence.used), evidence.videos
    seen = {name for name in evidence.ids("sample", "train") if video(name) in known}
    by_name = bool(seen) and any(name in used for name in seen)
    where = "ids of its batches"
    if not seen:
        seen, where = evidence.ids("read", "train"), "files it reads"
    if not seen:
        return _by_length(evidence)
    drawn = used if by_name else {video(name) for name in used}
    iterated = seen if by_name else {video(name) for name in seen}
    if surplus := sorted(iterated - drawn):
        raise InputError(
            f"restrict() kept {len(drawn)} of the training set, but the training loop goes through {len(surplus)} "
            f"others, the first: {surplus[0]} ({where})",
            "01-subset.patch",
            f"let the data set use what restrict() returns, before anything is derived from the list; see {DOCS}",
        )
    if len(drawn - iterated) > UNSEEN * len(drawn):
        what = f"the training loop goes through {len(iterated & drawn)} of the subset's {len(drawn)}"
        raise InputError(f"{what} ({where})", "01-subset.patch", f"where is the rest left out? See {DOCS}")
    _check_files(evidence)
    _check_passes(evidence)
    _check_batches(evidence)
    return f"the loop goes through {len(iterated)} of {len(drawn)} units of the subset and no others ({where})"


def _by_length(evidence: Evidence) -> str:
    """Compare the length of what the loader iterates with what `restrict` kept, where no ids were seen."""
    lengths = {int(note["id"]) for note in evidence.of("loader", "train")}
    kept = {int(note["kept"]) for note in evidence.of("restrict")}
    given = {int(note["given"]) for note in evidence.of("restrict")}
    if lengths & (given - kept):
        what = f"restrict() kept {min(kept)} of {max(given)}, but the loader iterates {max(lengths)}"
        raise InputError(what, "01-subset.patch", f"let the data set use what restrict() returns; see {DOCS}")
    if lengths and lengths <= kept:
        return f"the loader iterates {max(lengths)} units, as many as restrict() kept"
    raise Undecided(
        "neither ids nor files were seen while it trained (are all features read beforehand?): look whether the loop "
        "goes through what restrict() returned, and no more"
    )


def _check_files(evidence: Evidence) -> None:
    """Raise InputError where features of other videos are read while it trains, whatever the batches say."""
    used = {video(name) for name in evidence.used}
    read = {video(name) for name in evidence.ids("read", "train")}
    if surplus := sorted((read & evidence.videos) - used):
        raise InputError(
            f"while it trains, files of {len(surplus)} videos outside the subset are read, the first: {surplus[0]}",
            "01-subset.patch",
            f"is a list made before restrict() still used, by place? See {DOCS}",
        )


def _steps(evidence: Evidence) -> list[int]:
    """Return the steps of each epoch."""
    steps: list[int] = []
    for event in evidence.events:
        if (event["kind"], event["phase"]) == ("train", "start"):
            steps.append(0)
        elif (event["kind"], event["phase"]) == ("iteration", "end") and steps:
            steps[-1] += 1
    return steps


def _check_batches(evidence: Evidence) -> None:
    """Raise InputError where an epoch goes through more units than its steps can hold at the recipe's batch size.

    Of files twice as many may be read: some mix two videos in a sample.
    """
    seen: list[dict[str, set[str]]] = []
    for note in evidence.notes:
        if note["kind"] == "phase" and note["at"] == "train start":
            seen.append({"sample": set(), "read": set()})
        elif seen and note["phase"] == "train" and note["kind"] in seen[-1] and video(note["id"]) in evidence.videos:
            seen[-1][note["kind"]].add(note["id"])
    for steps, units in zip(_steps(evidence), seen, strict=False):
        for kind, share in (("sample", 1), ("read", 2)):
            if len(units[kind]) > share * steps * evidence.batch_size:
                raise InputError(
                    f"an epoch of {steps} steps goes through {len(units[kind])} units, the recipe's batch_size is "
                    f"{evidence.batch_size}",
                    "train(job)",
                    f"give the scripts the recipe's batch_size; see {DOCS}",
                )


def _check_passes(evidence: Evidence) -> None:
    """Raise InputError where an epoch takes more steps than the units that `restrict` kept fill."""
    steps = _steps(evidence)
    units = len(evidence.used) * evidence.repeats
    most = -(-units // evidence.batch_size)
    if evidence.used and max(steps, default=0) > most:
        raise InputError(
            f"an epoch takes {max(steps)} steps of {evidence.batch_size}; the units that restrict() kept fill {most}",
            "01-subset.patch",
            "is the list repeated after restrict()? Where the authors' own loader does so n times an epoch, or makes "
            f"several samples of a unit, the description says REPEATS = n; see {DOCS}",
        )
