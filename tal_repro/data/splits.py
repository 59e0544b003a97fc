"""Which videos of a data set train and test, as its definition says; `annotations` reads them from here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tal_repro.annotations import EntryReader
from tal_repro.data.layouts import Layout
from tal_repro.errors import InputError
from tal_repro.untrusted import short


def choose_splits(entries: dict[str, dict[str, Any]], layout: Layout, reader: EntryReader) -> dict[str, dict[str, Any]]:
    """Return the entries of the definition's splits, with their subset as the kit names it.

    In THUMOS14's layouts every video must be in one; files there spell and name the subsets in several ways.
    """
    definition = layout.definition
    sides = {**dict.fromkeys(definition.train, "train"), **dict.fromkeys(definition.test, "test")}
    if not layout.defined:
        return {video_id: _known(video_id, entry, sides, reader) for video_id, entry in entries.items()}
    chosen, others = {}, Counter[str]()
    for video_id, entry in entries.items():
        if side := sides.get(str(entry.get("subset"))):
            chosen[video_id] = {**entry, "subset": side}
        else:
            others[str(entry.get("subset"))] += 1
    for name, count in sorted(others.items()):
        reader.note("subset", f"{count} videos of {short(name)}", "in neither split of the definition: left out")
    missing = [name for name in sides if not any(str(entry.get("subset")) == name for entry in entries.values())]
    if missing:
        named = ", ".join(sorted(map(short, others))) or "none other"
        raise InputError(
            f"no video of subset {short(missing[0])} (there are: {named})", definition.path, "see [splits]"
        )
    return chosen


def _known(video_id: str, entry: dict[str, Any], sides: dict[str, str], reader: EntryReader) -> dict[str, Any]:
    """Return an entry with its subset as the kit names it; None where no split has its name, which is an error."""
    named = entry.get("subset")
    side = sides.get(str(named).lower())
    if side is None:
        remedy = "write validation for a video to train on, test for one to score"
        reader.error(f"{video_id}.subset", f"{short(named)} is none of {', '.join(sides)}", remedy)
    return {**entry, "subset": side}
