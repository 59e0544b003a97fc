"""What is written into the documents: tables, samples and numbers between markers, and pictures. Never by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.tables.architecture import architecture_svg
from benchmarks.tables.artifact import artifact_text, experiments_text
from benchmarks.tables.calibration import calibration_text, further_text
from benchmarks.tables.difficulty import difficulty_text
from benchmarks.tables.equality import equality_text, same_map_text
from benchmarks.tables.judged import (
    changes_text,
    claims_text,
    expected_text,
    labels_text,
    sentences_text,
    verdicts_text,
)
from benchmarks.tables.path_of_data import path_svg
from benchmarks.tables.precision import precision_text
from benchmarks.tables.samples import PREFIX, run_files_text, sample_text
from benchmarks.tables.speed import epoch_text, gpu_speed_text, metrics_text, real_epochs_text, speed_text
from benchmarks.tables.steps import steps_waited_text
from benchmarks.tables.synthetic_set import synthetic_text
from benchmarks.tables.tried import platforms_text, tried_text, untried_text
from benchmarks.tables.values import with_values
from benchmarks.tables.walkthrough import classes_text, steps_text
from tal_repro.errors import InputError
from tal_repro.files import write_whole

REMEDY = "write them again: make docs"


def documents(folder: Path) -> list[Path]:
    """Return every document of the repository: what stands at its top and in docs/."""
    return [*sorted(folder.glob("*.md")), *sorted((folder / "docs").glob("*.md"))]


PARTS: dict[str, Callable[[], str]] = {
    "verdicts": verdicts_text,
    "expected": expected_text,
    "classes": classes_text,
    "steps": steps_text,
    "equality": equality_text,
    "speed": speed_text,
    "gpu_speed": gpu_speed_text,
    "epoch": epoch_text,
    "real_epochs": real_epochs_text,
    "same_map": same_map_text,
    "metrics": metrics_text,
    "precision": precision_text,
    "steps_waited": steps_waited_text,
    "experiments": experiments_text,
    "artifact": artifact_text,
    "changes": changes_text,
    "claims": claims_text,
    "calibration": calibration_text,
    "further": further_text,
    "labels": labels_text,
    "sentences": sentences_text,
    "untried": untried_text,
    "run_files": run_files_text,
    "synthetic": synthetic_text,
    "difficulty": difficulty_text,
    "tried": tried_text,
    "platforms": platforms_text,
}


PICTURES: dict[str, Callable[[], str]] = {
    "docs/architecture.svg": architecture_svg,
    "docs/path-of-data.svg": path_svg,
}


def stale(folder: Path) -> dict[Path, str]:
    """Return the documents and pictures that have drifted, each with what it should say."""
    drifted = {}
    for path in documents(folder):
        text = path.read_text(encoding="utf-8")
        if (fresh := filled(text, path)) != text:
            drifted[path] = fresh
    for name, draw in PICTURES.items():
        path = folder / name
        if (fresh := draw()) != (path.read_text(encoding="utf-8") if path.is_file() else ""):
            drifted[path] = fresh
    return drifted


def filled(text: str, where: Path) -> str:
    """Return a document with every marked part and number written anew; raise InputError for a marker nobody knows."""
    opened, closed = re.findall(r"<!-- generated:(\w+)", text), re.findall(r"<!-- /generated:(\w+) -->", text)
    if opened != closed:
        raise InputError(f"markers {opened} are closed by {closed}", where, "close each marker with its own name")
    for name in opened:
        if name not in PARTS and not name.startswith(PREFIX):
            raise InputError(f"unknown marker {name!r}", where, f"use one of: {', '.join(PARTS)}")
        made = sample_text(name, where) if name.startswith(PREFIX) else PARTS[name]()
        pattern = re.compile(rf"(<!-- generated:{name}[^>]*-->\n).*?(<!-- /generated:{name} -->)", re.S)
        text = pattern.sub(lambda marks, made=made: f"{marks[1]}{made}\n{marks[2]}", text)  # type: ignore[misc]
    return with_values(text, where)


def rewrite(folder: Path) -> list[Path]:
    """Write what has drifted; return the documents written."""
    drifted = stale(folder)
    for path, text in drifted.items():
        write_whole(path, text.encode())
    return list(drifted)
