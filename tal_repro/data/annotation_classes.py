"""ActionFormer's layout names a class by label and number in every annotation: which classes are these?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from tal_repro.data.annotation_entries import EntryReader
from tal_repro.data.dataset import AMBIGUOUS
from tal_repro.errors import InputError
from tal_repro.untrusted import short

Places = dict[str, dict[int, list[str]]]  # label -> class number -> the annotations that say so


def classes_by_id(entries: Mapping[str, Any], reader: EntryReader) -> tuple[str, ...]:
    """Return class names by their numbers; note every annotation that contradicts the others.

    Where annotations disagree, most of them are taken to be right; where as many say one thing as another, a number
    that no other label holds, or else all of them are named.
    """
    places = _places(entries, reader)
    if not places:
        raise InputError("no annotation with a label and a label_id", reader.layout.annotation_file)
    holders = Counter(number for found in places.values() for number in found)
    ids = {
        label: max(found, key=lambda number: (len(found[number]), -holders[number])) for label, found in places.items()
    }
    for label, found in places.items():
        for number, wheres in found.items():
            if number != ids[label]:
                for where in wheres:
                    reader.error(where, f"{label} is {number} here and {ids[label]} elsewhere")
    collided = _tell_collisions(places, ids, reader)
    if not collided and sorted(ids.values()) != list(range(len(ids))):
        listed = ", ".join(f"{label}={label_id}" for label, label_id in sorted(ids.items(), key=lambda pair: pair[1]))
        reader.error("label_id", f"class indices are not 0..{len(ids) - 1}, each once: {listed}")
    return tuple(sorted(ids, key=lambda label: (ids[label], label)))


def _places(entries: Mapping[str, Any], reader: EntryReader) -> Places:
    places: Places = defaultdict(lambda: defaultdict(list))
    for video_id, entry in entries.items():
        for index, action in enumerate(_annotations(entry)):
            if not isinstance(action, dict) or not isinstance(action.get("label"), str):
                continue  # told where the action itself is read
            label, label_id = action["label"], action.get("label_id")
            where = f"{video_id}.annotations[{index}].label_id"
            if label == AMBIGUOUS:
                continue
            if not isinstance(label_id, int) or isinstance(label_id, bool) or not 0 <= label_id < 10_000:
                reader.error(where, f"{short(label_id)} is not a class index" if "label_id" in action else "missing")
            else:
                places[label][label_id].append(where)
    return places


def _tell_collisions(places: Places, ids: Mapping[str, int], reader: EntryReader) -> bool:
    """Note the annotations of each label whose number belongs to one that is seen more often; tell whether any was."""
    by_number: dict[int, list[str]] = defaultdict(list)
    for label, number in ids.items():
        by_number[number].append(label)
    collided = False
    for number, labels in by_number.items():
        counts = {label: len(places[label][number]) for label in labels}
        owner = max(labels, key=lambda label: counts[label])
        tied = list(counts.values()).count(counts[owner]) > 1
        for label in labels if len(labels) > 1 else ():
            others = ", ".join(other for other in labels if other != label)
            for where in places[label][number] if tied or label != owner else ():
                reader.error(where, f"{short(label)} has the class index {number}, which is {others}'s")
                collided = True
    return collided


def _annotations(entry: Mapping[str, Any]) -> list[Any]:
    found = entry.get("annotations")
    return found if isinstance(found, list) else []
