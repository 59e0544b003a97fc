"""The form of an annotation file: ActivityNet-like JSON, with a `database` or bare. Other kinds: refused, with how."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.untrusted import read_json_object, short

_FORM = (
    '{"database": {VIDEO: {"subset": "test", "duration": SECONDS, "annotations": '
    '[{"label": CLASS, "segment": [START, END]}]}}}'
)
_OTHERS = {
    ".txt": ("THUMOS' text files are not read", "one file a class, lines of VIDEO START END"),
    ".csv": (
        "tables of annotations are not read",
        "AFSD's and G-TAD's columns video, type, start, end are VIDEO, CLASS, START, END; frames are not seconds",
    ),
}


@dataclass(frozen=True)
class Document:
    """An annotation file's top level and its videos, unchecked. `bare`: the videos are the top level."""

    path: Path
    content: Mapping[str, Any]
    entries: Mapping[str, Any]
    bare: bool

    @property
    def synthetic(self) -> bool:
        """Tell whether the file says that its data are synthetic."""
        return self.content.get("synthetic") is True

    @property
    def subset_names(self) -> list[str]:
        """Return the subsets that the videos name, sorted."""
        stated = (entry.get("subset") for entry in self.entries.values() if isinstance(entry, dict))
        return sorted({subset for subset in stated if isinstance(subset, str)})


def read_document(path: Path) -> Document:
    """Read an annotation file; InputError, with the form to write, where it is of another kind."""
    kind = _OTHERS.get(path.suffix.lower())
    folder = os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises where its folder may not be entered
    if kind or folder:
        what, how = kind or _OTHERS[".txt"] if not folder or any(path.glob("*.txt")) else ("a folder", "")
        raise InputError(what, path, f"write JSON: {_FORM}" + (f" ({how})" if how else ""))
    content = read_json_object(path)
    if "database" in content:
        if not isinstance(content["database"], dict):
            raise InputError(f"no object 'database', but {short(content['database'])}", path, f"write {_FORM}")
        return Document(path, content, content["database"], bare=False)
    if content and all(isinstance(entry, dict) and "annotations" in entry for entry in content.values()):
        return Document(path, content, content, bare=True)
    raise InputError("no object 'database', nor videos with 'annotations'", path, f"write {_FORM}")
