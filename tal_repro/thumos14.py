"""THUMOS14 is what hashes to it: the facts that a data set must share to be called so, and its features to be the
paper's. They are read from its definition, which ships with the kit; this module knows nothing of runs."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

DEFINITION = Path(__file__).parent / "data" / "definitions" / "thumos14.toml"
TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)  # that its mAP is averaged over
PROTOCOL = "af-212"  # which test videos count where nobody says
LENGTH_TOLERANCE_STEPS = 2  # of a video's features against the real ones


@cache
def definition() -> dict[str, Any]:
    """Return the content of THUMOS14's definition."""
    return tomllib.loads(DEFINITION.read_text(encoding="utf-8"))


_EXPECTED = definition()["expected"]
NAME: str = definition()["name"]
ANNOTATION_HASH: str = definition()["annotation_hash"]  # as `dataset.hash_annotations` makes it of either layout
FEATURE_DIM: int = _EXPECTED["channels"]
CLASS_NAMES: tuple[str, ...] = tuple(_EXPECTED["classes"])
CLASSES = len(CLASS_NAMES)
VIDEOS_AND_ACTIONS: dict[str, tuple[int, int]] = {side: tuple(_EXPECTED[side]) for side in ("train", "test")}
