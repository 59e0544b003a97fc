"""Why no annotated video of a defined set has features: how the files that lie in their place end. Said once for all.

Beside `feature_formats`, which finds the features; `annotations`, `verify` and `set_checks` ask here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection

from tal_repro.data.feature_formats import video_ids
from tal_repro.data.layouts import Layout
from tal_repro.errors import InputError
from tal_repro.untrusted import short

SHOWN = 4


def without_features(layout: Layout, annotated: Collection[str] = ()) -> InputError:
    """Return what to say of a defined set none of whose annotated videos (where they are known) has features."""
    definition = layout.definition
    what = "no feature files"
    if annotated:
        what = f"none of the {len(annotated)} annotated videos has features, the first: {short(min(annotated))}"
    if definition.one_file:
        return InputError(f"{what}; the file holds {_held_ids(layout)}", definition.features, "correct the ids, or key")
    counts = _endings(layout, annotated)
    held = ", ".join(f"{short(ending)} ({count})" for ending, count in counts.most_common(SHOWN)) or "no file"
    what = f"{what}; files are to end in {' or '.join(map(short, definition.endings))}, the folder holds {held}"
    likely = next((ending for ending, _ in counts.most_common() if ending not in definition.endings), None)
    remedy = "extract them; each file is named after its video"
    if likely is not None:
        example = f"for example ending = {short(likely)}"
        remedy = f"correct [features] of {definition.path.name}, {example}; or extract them there"
    return InputError(what, definition.features, remedy)


def _held_ids(layout: Layout) -> str:
    ids = video_ids(layout)
    return (", ".join(map(short, ids[:SHOWN])) or "none") + (", ..." if len(ids) > SHOWN else "")


def _endings(layout: Layout, annotated: Collection[str]) -> Counter[str]:
    """Count how files in the folder of features end: behind a video's id, else by the last dot."""
    ids = set(annotated)
    try:
        with os.scandir(layout.feature_folder) as entries:
            names = [entry.name for entry in entries if not entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return Counter()
    return Counter(_ending(name, ids) for name in names)


def _ending(name: str, ids: Collection[str]) -> str:
    cuts = [place for place, letter in enumerate(name) if letter == "."]
    behind = (name[cut:] for cut in [len(name), *reversed(cuts)] if name[:cut] in ids)
    return next(behind, name[cuts[-1] :] if cuts else "")
