"""Which videos of a defined set train and test, and their segments in seconds; `annotations` reads them from here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tal_repro.annotations import EntryReader
from tal_repro.data.definition import Definition
from tal_repro.errors import InputError
from tal_repro.untrusted import is_number, short


def choose_splits(
    entries: dict[str, dict[str, Any]], definition: Definition, reader: EntryReader
) -> dict[str, dict[str, Any]]:
    """Return the entries of the definition's splits, with their subset as the kit names it and times in seconds."""
    sides = {**dict.fromkeys(definition.train, "train"), **dict.fromkeys(definition.test, "test")}
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
    for entry in chosen.values():
        _to_seconds(entry, definition)
    return chosen


def _to_seconds(entry: dict[str, Any], definition: Definition) -> None:
    """Write an entry's segments in seconds; what is no number is left for the reader to name."""
    if definition.time_unit == "seconds" or not isinstance(entry.get("annotations"), list):
        return
    rate: Any = 1000.0 if definition.time_unit == "milliseconds" else entry.get("fps", definition.fps)
    if not is_number(rate) or rate <= 0:
        return  # its fps is told where it is read
    annotations = []
    for item in entry["annotations"]:
        segment = item.get("segment") if isinstance(item, dict) else None
        if isinstance(segment, list) and all(map(is_number, segment)):
            item = {**item, "segment": [bound / rate for bound in segment]}
        annotations.append(item)
    entry["annotations"] = annotations
