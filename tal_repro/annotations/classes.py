"""The classes of annotations and their numbers: by the definition's list, label_id, the file's list, or their names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tal_repro.annotations.document import Document
from tal_repro.annotations.problems import AMBIGUOUS, EntryReader
from tal_repro.errors import InputError
from tal_repro.untrusted import short

Places = dict[str, dict[int, list[str]]]  # label -> class number -> the annotations that say so
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class Classes:
    """The class names in order, those with a `label_id` first; `ids` numbers them where the file does."""

    names: tuple[str, ...]
    ids: Mapping[int, str]
    labelled: bool  # they are numbered by the annotations' label_id
    unnumbered: tuple[str, ...]  # annotations of a label that has no number, though others have


def read_classes(document: Document, reader: EntryReader) -> Classes:
    """Return a file's classes; note every annotation whose number contradicts the others.

    Where annotations disagree, most of them are taken to be right; where as many say one thing as another, a number
    that no other label holds, or else all of them are named.
    """
    places, labels = _places(document.entries, reader)
    ids = _numbers(places, reader)
    if document.classes:
        _check_given(document.classes, ids, labels, reader)
        return Classes(document.classes, dict(enumerate(document.classes)), False, ())
    listed = _listed(document)
    order = sorted(ids, key=lambda label: (ids[label], label))
    rest = listed if listed is not None else sorted(set(labels) - set(ids))
    names = tuple(dict.fromkeys([*(label for label in order if listed is None or label in listed), *rest]))
    numbers = {ids[label]: label for label in order} or dict(enumerate(listed or ()))
    unnumbered = tuple(where for label, wheres in labels.items() if ids and label not in ids for where in wheres)
    return Classes(names, numbers, bool(ids), unnumbered)


def _check_given(
    given: Sequence[str], ids: Mapping[str, int], labels: Mapping[str, list[str]], reader: EntryReader
) -> None:
    """Note where the caller's classes contradict the annotations; numbers with gaps, or from 1 on, are replaced."""
    whole = sorted(ids.values()) == list(range(len(ids)))
    for label, number in ids.items():
        if whole and label in given and given.index(label) != number:
            what = f"{short(label)} is {number} by its label_id and {given.index(label)} in the definition"
            reader.error("classes", what, "list the classes in the order of their label_id, or leave classes out")
    for label in sorted(set(labels) - set(given)):
        reader.error("classes", f"{short(label)} is annotated, but not among the definition's", "add it to classes")
    for label in given:
        if label not in labels:
            reader.note("classes", f"{short(label)} of the definition is annotated nowhere")


def _listed(document: Document) -> list[str] | None:
    """Return the file's own list of classes without Ambiguous (None: it has none)."""
    listed = document.content.get("classes")
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        raise InputError("classes is not a list of names", document.path, "list the names, or leave classes out")
    if len(set(listed)) != len(listed):
        name = Counter(listed).most_common(1)[0][0]
        raise InputError(f"classes repeats {short(name)}", document.path, "list each name once")
    names = [name for name in listed if name != AMBIGUOUS]
    if not names:
        raise InputError("classes is empty", document.path, "name the classes of the labels, or leave classes out")
    return names


def _places(entries: Mapping[str, Any], reader: EntryReader) -> tuple[Places, dict[str, list[str]]]:
    """Return where each label has which number, and where each label has none."""
    places: Places = defaultdict(lambda: defaultdict(list))
    labels: dict[str, list[str]] = {}
    for where, action in _actions(entries, reader):
        label, number = action["label"], action.get("label_id")
        without = labels.setdefault(label, [])
        if "label_id" not in action:
            without.append(f"{where}.label_id")
        elif not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < MAX_CLASSES:
            reader.error(f"{where}.label_id", f"{short(number)} is not a class index")
        else:
            places[label][number].append(f"{where}.label_id")
    return places, labels


def _actions(entries: Mapping[str, Any], reader: EntryReader) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the annotations that have a label; what is wrong with the others is told where they are read."""
    for video_id, entry in entries.items():
        annotations = entry.get("annotations") if isinstance(entry, dict) else None
        for index, action in enumerate(annotations if isinstance(annotations, list) else ()):
            label = action.get("label") if isinstance(action, dict) else None
            if isinstance(label, str) and label not in ("", AMBIGUOUS):
                yield reader.place(video_id, index), action


def _numbers(places: Places, reader: EntryReader) -> dict[str, int]:
    """Return each label's number; note the annotations that say another, and those that claim another label's."""
    holders = Counter(number for numbers in places.values() for number in numbers)
    ids = {
        label: max(numbers, key=lambda number: (len(numbers[number]), -holders[number]))
        for label, numbers in places.items()
    }
    for label, numbers in places.items():
        for number, wheres in numbers.items():
            if number != ids[label]:
                for where in wheres:
                    reader.error(where, f"{label} is {number} here and {ids[label]} elsewhere")
    _note_collisions(places, ids, reader)
    return ids


def _note_collisions(places: Places, ids: Mapping[str, int], reader: EntryReader) -> None:
    """Note the annotations of each label whose number belongs to one that is seen more often."""
    by_number: dict[int, list[str]] = defaultdict(list)
    for label, number in ids.items():
        by_number[number].append(label)
    for number, labels in by_number.items():
        counts = {label: len(places[label][number]) for label in labels}
        owner = max(labels, key=lambda label: counts[label])
        tied = list(counts.values()).count(counts[owner]) > 1
        for label in labels if len(labels) > 1 else ():
            others = ", ".join(other for other in labels if other != label)
            for where in places[label][number] if tied or label != owner else ():
                reader.error(where, f"{short(label)} has the class index {number}, which is {others}'s")
