"""Annotations in any dialect to one form, ActivityNet's. Which dialect they are is told by clear marks, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tal_repro.annotations.folders import read_folder, read_table, read_text
from tal_repro.annotations.json_forms import PLAIN, read_json_form
from tal_repro.annotations.rows import add_facts, subsets_of_ids, to_seconds
from tal_repro.annotations.source import TABLES, TEXTS, Source
from tal_repro.annotations.tables import open_table, videos_of


@dataclass(frozen=True)
class Document:
    """Annotations as ActivityNet's form has them: facts of the set and its videos' entries, unchecked.

    `bare`: the dialect itself has no place for a subset. `places`: video -> file and line of each action, where the
    dialect is one of lines.
    """

    path: Path
    content: Mapping[str, Any]  # of the set: version, classes, synthetic, ...
    entries: Mapping[str, Any]
    bare: bool
    dialect: str = PLAIN
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()  # what was passed over or taken for granted
    classes: tuple[str, ...] = ()  # their names in order, as the caller says them

    @property
    def synthetic(self) -> bool:
        """Tell whether the file says that its data are synthetic."""
        return self.content.get("synthetic") is True

    @property
    def subset_names(self) -> list[str]:
        """Return the subsets that the videos name, sorted."""
        stated = (entry.get("subset") for entry in self.entries.values() if isinstance(entry, dict))
        return sorted({subset for subset in stated if isinstance(subset, str)})

    @property
    def read_as(self) -> tuple[str, ...]:
        """Return what to tell of how it was read: nothing of a plain file of ActivityNet's form."""
        return (*((f"read as {self.dialect}",) if self.dialect != PLAIN else ()), *self.remarks)


def read_document(source: Source | Path) -> Document:
    """Read annotations of any dialect; InputError, naming file, line and what to write, for what is of none."""
    source = source if isinstance(source, Source) else Source(source)
    ending = source.path.suffix.lower()
    if source.is_folder:
        read = read_folder(source)
    elif ending == TABLES:
        read = read_table(source)
    elif ending == TEXTS:
        read = read_text(source.path)
    else:
        read = read_json_form(source.path)
    entries, remarks = read.entries, list(read.remarks)
    if source.videos is not None:
        remarks += add_facts(entries, videos_of(open_table(source.videos)), source.videos)
    if read.bare:
        remarks += subsets_of_ids(entries)
    for table, videos in read.tables.items():  # last, where nothing else tells a video's subset
        for video_id in videos:
            entries[video_id].setdefault("subset", table)
    to_seconds(entries, source)
    return Document(
        source.path, read.content, entries, read.bare, read.dialect, read.places, tuple(remarks), source.classes
    )
