"""Which videos of a defined set train and test; `annotations` reads them from here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tal_repro.annotations import EntryReader
from tal_repro.data.definition import Definition
from tal_repro.errors import InputError
from tal_repro.untrusted import short


def choose_splits(
    entries: dict[str, dict[str, Any]], definition: Definition, reader: EntryReader
) -> dict[str, dict[str, Any]]:
    """Return the entries of the definition's splits, with their subset as the kit names it."""
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
    return chosen
