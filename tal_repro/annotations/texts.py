"""THUMOS' and MultiTHUMOS' text files: one a class, lines of VIDEO START END; its name is CLASS, or CLASS_SUBSET."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tal_repro.annotations.rows import Row, read_time, sort_out
from tal_repro.annotations.source import TEXTS
from tal_repro.errors import InputError
from tal_repro.untrusted import decode, read_bytes, refuse_all, short

FORM = "write lines of VIDEO START END in seconds, one file a class: Diving_val.txt, Diving_test.txt"
_SUBSETS = ("val", "validation", "train", "training", "test", "testing")
_SUBSET_OF_NAME = re.compile(rf"(.+)_({'|'.join(_SUBSETS)})", re.IGNORECASE)
_NO_ACTIONS = re.compile(r"(read.?me|class|license|licence|copying|note)", re.IGNORECASE)  # how such files' names begin


def read_texts(files: Sequence[Path], root: Path) -> tuple[list[Row], list[str]]:
    """Return the actions of the class files, and what there is to say: files passed over, classes without an action.

    Raises InputError naming file and line of every line that is no action.
    """
    texts = [path for path in files if path.suffix.lower() == TEXTS]
    passed = [path for path in texts if _NO_ACTIONS.match(path.name)]
    rows: list[Row] = []
    empty: list[str] = []
    problems: list[str] = []
    for path in [path for path in texts if path not in passed]:
        sorted_rows = sort_out(_rows_of(path, path.relative_to(root).as_posix()), problems)
        rows += sorted_rows
        if not sorted_rows:
            empty.append(path.name)
    refuse_all(problems, root, FORM)
    if not rows:
        raise InputError(f"no action in {len(texts)} text files", root, FORM)
    return rows, [
        *([f"not read: {', '.join(path.name for path in passed[:5])}"] if passed else []),
        *([f"{len(empty)} files without an action, the first: {empty[0]}"] if empty else []),
    ]


def _rows_of(path: Path, name: str) -> Iterator[Row | str]:
    """Yield the row of each line, or what is wrong with it."""
    split = _SUBSET_OF_NAME.fullmatch(path.stem)
    label, subset = (split[1], split[2].lower()) if split else (path.stem, None)
    for number, line in enumerate(decode(read_bytes(path), path, FORM).splitlines(), 1):
        place = f"{name}, line {number}"
        if not line.strip():
            continue
        video_id, *times = line.rsplit(maxsplit=2)
        bounds = [read_time(text) for text in times]
        if len(bounds) == 2 and bounds[0] is not None and bounds[1] is not None:
            yield Row(video_id.strip(), bounds[0], bounds[1], label, place, subset)
        else:
            yield f"{place}: {short(line.strip())} is not VIDEO START END"
