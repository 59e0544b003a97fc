"""Read the annotations of either layout into one DataSet. Every bad entry becomes a Problem; none is lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from tal_repro import thumos14
from tal_repro.annotations import Classes, Document, EntryReader, Problem, read_classes, read_document
from tal_repro.data.dataset import DataSet, LayoutName, hash_annotations
from tal_repro.data.endings import without_features
from tal_repro.data.layouts import Layout, check_inside, find_layout, is_safe_id
from tal_repro.data.splits import choose_splits
from tal_repro.data.videos import read_video, stated_lengths, states_duration, with_features
from tal_repro.errors import InputError
from tal_repro.spec import DERIVED_MARK
from tal_repro.untrusted import short

ACTIVITYNET_ONLY = {"training", "testing"}
_LISTED = 10  # problems an error message spells out; `data verify` lists all


def load_dataset(root: str | Path, layout: LayoutName | Literal["auto"] = "auto") -> DataSet:
    """Read the data set in a folder; raise InputError listing what is wrong with it.

    Feature files are not opened but for ActionFormer's headers (T); `tal-repro data verify` checks their content.
    """
    dataset, problems = read_dataset(find_layout(Path(root), layout))
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        lines = [f"{problem.where}: {problem.what}" for problem in errors[:_LISTED]]
        if len(errors) > _LISTED:
            lines.append(f"and {len(errors) - _LISTED} more")
        raise InputError("\n  ".join(lines), errors[0].file, f"list all of them: tal-repro data verify {root}")
    return dataset


def read_dataset(
    layout: Layout, document: Document | None = None, steps: Mapping[str, int] | None = None
) -> tuple[DataSet, list[Problem]]:
    """Read one layout; return what could be read and every problem of its annotations.

    What the caller has read already is not read again: the `document`, and the `steps` of feature files.
    """
    for path in layout.annotations.files():
        check_inside(path, layout.annotation_root if path != layout.annotations.videos else path.parent)
    document = read_document(layout.annotations) if document is None else document
    reader = EntryReader(layout.annotation_file, places=document.places)
    for what in document.read_as:
        reader.note("annotations", what)
    if not layout.defined:
        _check_subsets(document)
    entries = choose_splits(_entries(document, reader), layout, reader)
    classes = _classes(document, layout, reader)
    info = stated_lengths(layout)
    there = with_features(layout)
    if layout.defined and entries and not there & entries.keys() and not all(map(states_duration, entries.values())):
        raise without_features(layout, entries)
    videos, numbers = {}, {name: index for index, name in enumerate(classes.names)}
    for video_id, entry in entries.items():
        length = (steps or {}).get(video_id)
        video = read_video(video_id, entry, numbers, info, length, video_id in there, layout, reader)
        if video is not None:
            videos[video_id] = video
    if reader.durations_of_features:
        reader.note("duration", f"{reader.durations_of_features} videos state none", "their features' length is taken")
    if reader.texts:
        reader.note("segment", f"{reader.texts} numbers are written as text", "read as the numbers they spell")
    version, digest = document.content.get("version"), hash_annotations(videos.values(), classes.names)
    name = _name(document.synthetic, digest, layout)
    if layout.defined and name.removeprefix("synthetic-") != layout.definition.name:
        _note_name(name, digest, layout, reader)
    dataset = DataSet(
        name=name + _derived(document.content, layout, reader),
        version=version if isinstance(version, str) else "",
        synthetic=document.synthetic,
        annotation_hash=digest,
        classes=classes.names,
        videos=videos,
        layout=layout.name,
        root=layout.root,
        defined=layout.defined,
        refused=tuple(video_id for video_id in document.entries if is_safe_id(video_id) and video_id not in videos),
    )
    return dataset, reader.problems


def _name(synthetic: bool, annotation_hash: str, layout: Layout) -> str:
    """Name a data set as its definition does, where its annotations are those that it states.

    Whoever defined it, a set with the annotations of THUMOS14 is `thumos14`, and no other is, or is named alike.
    """
    definition = layout.definition
    if annotation_hash == thumos14.ANNOTATION_HASH:
        return f"synthetic-{thumos14.NAME}" if synthetic else thumos14.NAME
    if synthetic:
        name = f"synthetic-{definition.name}"
    elif definition.annotation_hash in ("", annotation_hash):
        name = definition.name
    else:
        name = f"custom-{annotation_hash[:8]}"
    return f"custom-{name}" if layout.defined and thumos14.NAME in name.lower() else name


def _note_name(name: str, annotation_hash: str, layout: Layout, reader: EntryReader) -> None:
    """Say why a set is not named as its definition says, and what that changes."""
    stated = layout.definition.annotation_hash
    if stated not in ("", annotation_hash):
        what = f"its annotations hash to {annotation_hash[:12]}, the definition states {stated[:12]}"
        remedy = "restore the annotations, or state their hash (data verify --json prints it)"
    else:
        ours = "" if annotation_hash == thumos14.ANNOTATION_HASH else "not "
        what, remedy = f"its annotations are {ours}those of THUMOS14", "give it a name that fits"
    reader.note("name", f"{what}: runs call the set {name}, not {layout.definition.name}", remedy)


def _check_subsets(document: Document) -> None:
    """Refuse ActivityNet's subset names: its `validation` is tested on, THUMOS14's trained on, and both would be."""
    if ACTIVITYNET_ONLY & {name.lower() for name in document.subset_names}:
        raise InputError(
            f"subsets {', '.join(map(short, document.subset_names[:5]))} are named as ActivityNet's, but `validation` "
            "means training here, as in THUMOS14",
            document.path,
            "define it as a set of your own, which keeps its names: tal-repro data describe ANNOTATIONS FEATURES; or "
            "in a copy, write `train` for what to train on (ActivityNet's training) and `test` for what to score "
            "(its validation); leave out the rest",
        )


def _entries(document: Document, reader: EntryReader) -> dict[str, dict[str, Any]]:
    """Return the entries whose video id can name a file; note the others."""
    entries: dict[str, dict[str, Any]] = {}
    for video_id, entry in document.entries.items():
        if not is_safe_id(video_id):
            reader.error(f"database[{short(video_id)}]", "the video id is not a plain file name", "see docs/data.md")
        elif not isinstance(entry, dict):
            reader.error(video_id, "the entry is not an object")
        else:
            entries[video_id] = entry
    if document.entries and not any(map(is_safe_id, document.entries)):
        first = short(next(iter(document.entries)))
        raise InputError(f"no video id is a plain file name, the first: {first}", document.path, "see docs/data.md")
    return entries


def _derived(raw: Mapping[str, Any], layout: Layout, reader: EntryReader) -> str:
    """Return what the name of a data set with derived features ends in, and note it ("" for the authors' own)."""
    if "derived_from" not in raw:
        return ""
    source = raw["derived_from"]
    if source not in get_args(LayoutName) or source == layout.name:
        reader.error("derived_from", f"{short(source)} is not another layout")
        return ""
    what = f"DEVIATION: features derived from the {source} layout's, not the authors' own"
    reader.note("derived_from", what, "runs carry it in their data set's name; they judge no claim about THUMOS14")
    return f"{DERIVED_MARK}{source}"


def _classes(document: Document, layout: Layout, reader: EntryReader) -> Classes:
    """Return the classes in label order; note numbers that a model cannot be trained on."""
    before = len(reader.errors)
    classes = read_classes(document, reader)
    if not classes.names:
        raise InputError("no annotation with a label", layout.annotation_file, "label the annotations")
    for where in classes.unnumbered:
        reader.error(where, "missing, and no other annotation numbers this label", "number it as the others are")
    numbers = sorted(classes.ids)
    if classes.labelled and len(reader.errors) == before and numbers != list(range(len(numbers))):
        listed = ", ".join(f"{classes.ids[number]}={number}" for number in numbers)
        reader.error("label_id", f"class indices are not 0..{len(numbers) - 1}, each once: {listed}")
    if not classes.ids:
        reader.note("classes", "neither label_id nor a list of classes", "numbered in the order of their names")
    return classes
