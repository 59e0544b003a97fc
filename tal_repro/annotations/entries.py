"""One annotated video's entry: checked actions come out, and a Problem for each field that is none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from tal_repro.annotations.problems import AMBIGUOUS, MAX_SECONDS, EntryReader
from tal_repro.untrusted import short

BEYOND_S = 0.1  # annotations are rounded to this
EMPTY = "action of no length"
CLAMPED = "action beyond the video's end, clamped to it"
_LOOK_UP = "look both times up at their source: which one is wrong cannot be told from here"


class Action(NamedTuple):
    """One labelled segment; the label is a class name or Ambiguous. It may reach beyond its video's end."""

    start_s: float
    end_s: float
    label: str


def read_duration(video_id: str, entry: Mapping[str, Any], reader: EntryReader) -> float | None:
    """Return a video's seconds, `duration` or as BSN and mmaction2 call it; None after noting what is wrong."""
    name = "duration_second" if "duration" not in entry and "duration_second" in entry else "duration"
    return reader.number(entry.get(name), f"{video_id}.{name}", above=0, most=MAX_SECONDS)


def read_actions(
    video_id: str, entry: Mapping[str, Any], classes: Collection[str], duration_s: float, reader: EntryReader
) -> list[Action]:
    """Return the actions of a video that the rules keep, Ambiguous ones included, in the file's order."""
    annotations = entry.get("annotations")
    if not isinstance(annotations, list):
        reader.error(f"{video_id}.annotations", "not a list" if "annotations" in entry else "missing")
        return []
    known = {*classes, AMBIGUOUS}
    actions: list[Action] = []
    seen: set[Action] = set()
    for index, item in enumerate(annotations):
        where = reader.place(video_id, index)
        action = _action(item, where, known, duration_s, reader)
        if action is None:
            continue
        if action in seen and action.label != AMBIGUOUS:
            reader.note(where, f"repeats an earlier {action.label} segment", "evaluators count it once")
        seen.add(action)
        actions.append(action)
    return actions


def _action(item: Any, where: str, known: Collection[str], duration_s: float, reader: EntryReader) -> Action | None:
    if not isinstance(item, dict):
        reader.error(where, "not an object")
        return None
    label = item.get("label")
    good = isinstance(label, str) and label in known
    if not good:
        what = f"{short(label)} is outside the {len(known) - 1} classes" if "label" in item else "missing"
        reader.error(f"{where}.label", what)
    segment = _segment(item, f"{where}.segment", duration_s, reader)
    return Action(*segment, str(label)) if segment and good else None


def _segment(item: Mapping[str, Any], where: str, duration_s: float, reader: EntryReader) -> tuple[float, float] | None:
    """Return a usable (start, end) in seconds, or None after noting what is wrong with it."""
    value = item.get("segment")
    if not isinstance(value, list) or len(value) != 2:
        reader.error(where, f"{short(value)} is not [start, end]" if "segment" in item else "missing")
        return None
    start, end = (reader.number(bound, where, most=MAX_SECONDS) for bound in value)
    if start is None or end is None:
        return None
    if start < 0:
        reader.error(where, f"starts at {start:g} s, before the video")
    elif end < start and start >= duration_s and abs(end - duration_s) <= BEYOND_S:
        _leave_out(where, CLAMPED, f"[{start:g}, {end:g}] s, the video ends at {duration_s:g} s", reader)
    elif end < start:
        reader.error(where, f"ends at {end:g} s before it starts at {start:g} s", _LOOK_UP)
    elif end == start:
        _leave_out(where, EMPTY, f"empty at {start:g} s", reader)
    else:
        if end > duration_s + BEYOND_S:
            kind = "beyond" if start >= duration_s else "reaches beyond"
            what = f"[{start:g}, {end:g}] s {kind} the video's end at {duration_s:g} s"
            reader.note(where, what, "kept; check it and the duration; protocol opentad-211 leaves such actions out")
        return start, end
    return None


def _leave_out(where: str, reason: str, what: str, reader: EntryReader) -> None:
    reader.left_out[reason] += 1
    reader.note(where, f"{reason}: {what}" if reason == CLAMPED else what, "left out of training and scoring")
