"""What was measured for the kit, in `results/reference`: the machine-written reports that documents make tables of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError
from tal_repro.kit import reference_folder
from tal_repro.models.registry import MODELS

Json = Mapping[str, Any]


def read_report(path: Path) -> Json:
    """Return a report of `results/reference`; raise InputError for one that is missing or no JSON."""
    try:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", path, "restore the file from the repository") from None
    return found


def reports(folder: str, kind: str) -> list[Json]:
    """Return the reports `<kind>*.json` in a folder of `results/reference`, by file name."""
    paths = (reference_folder() / folder).glob(f"{kind}*.json")
    return [read_report(path) for path in sorted(paths, key=lambda path: path.stem)]


def by_model(found: list[Json]) -> list[tuple[str, Json, Json]]:
    """Return (model, what a report holds of it, the report), models in the study's order."""
    return [(name, report["models"][name], report) for name in MODELS for report in found if name in report["models"]]
